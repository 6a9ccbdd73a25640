"""Routing tables: ids, precedence, conflicts, discovery."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest

from specstack import discovery, routing
from specstack.descriptors import ResourceSpec
from specstack.listing import Listing
from specstack.routing import Entry, Member, Registration, RoutingTable
from specstack_wire import ApiError, RequestContext

CTX = RequestContext(request_id="r")


class NotFound(ApiError):
    status = 404


class Conflict(ApiError):
    status = 409


class WrongKind(ApiError):
    status = 400


class Invalid(ApiError):
    status = 400


class NoSuchProvider(ApiError):
    status = 404


class NameOne(ApiError):
    status = 400


ROLES = {"invalid": Invalid, "provider_not_found": NoSuchProvider, "provider_required": NameOne}


class Owner:
    """A provider: `has` is what it announces, or an error to raise."""

    def __init__(self, *has: str, fails: BaseException | None = None, hangs: bool = False) -> None:
        self.has = list(has)
        self.fails = fails
        self.hangs = hangs
        self.asked = 0
        self.seen: list[RequestContext] = []

    async def things(self, ctx: RequestContext) -> list[str]:
        self.asked += 1
        self.seen.append(ctx)
        if self.hangs:
            await asyncio.sleep(60)
        if self.fails:
            raise self.fails
        return self.has


class Table(RoutingTable[str, Owner]):
    resource: ClassVar[ResourceSpec] = ResourceSpec(
        name="thing",
        plural="things",
        manages="things",
        routes="work",
        id_style="provider-prefixed",
        not_found=NotFound,
        conflict=Conflict,
        wrong_attribute=WrongKind,
        attributes={"kind": ("big", "small")},
        discover="list_things",
        offered="the_list",
    )

    def record(self, entry: Entry) -> str:
        return f"{entry.identifier} {entry.source}"

    def registration(self, body: Any) -> Registration:
        return Registration(**body)

    async def discover(self, ctx: RequestContext, provider: Owner) -> Sequence[Registration]:
        return [
            Registration(identifier=name, attributes={"kind": kind or "big"})
            for name, _, kind in (one.partition("=") for one in await provider.things(ctx))
        ]


class Plain(Table):
    resource: ClassVar[ResourceSpec] = ResourceSpec(
        name="shelf",
        plural="shelves",
        manages="shelves",
        routes="work",
        id_style="plain",
        not_found=NotFound,
        conflict=Conflict,
        wrong_attribute=WrongKind,
    )


class Clock:
    def now(self) -> float:
        return 1000.0

    def created(self) -> int:
        return 1000


def table(kind: type[Table] = Table, *, default: str | None = None, **owners: Owner) -> Table:
    found = kind(roles=ROLES, clock=Clock(), log=logging.getLogger("table"))
    for name, owner in owners.items():
        found.join(name, Member(owner, discovers=True), default=name == default)
    return found


async def test_announced_ids_are_prefixed_and_answer_to_their_bare_form() -> None:
    a, b = Owner("x", "org/y:8b"), Owner("z")
    found = table(a=a, b=b)
    assert await found.list(CTX) == ["a/org/y:8b discovered", "a/x discovered", "b/z discovered"]
    for name in ("a/x", "x"):
        route = await found.resolve(CTX, name)
        assert (route.provider, route.provider_resource_id) == (a, "x")
    assert (await found.resolve(CTX, "org/y:8b")).provider_resource_id == "org/y:8b"
    assert (await found.entry(CTX, "a/x")).created == 1000


async def test_a_bare_id_of_two_providers_names_none() -> None:
    found = table(a=Owner("x"), b=Owner("x"))
    with pytest.raises(
        NotFound, match=r"Several providers have the thing 'x'; use 'a/x' or 'b/x'."
    ) as caught:
        await found.resolve(CTX, "x", param="body.thing")
    assert caught.value.param == "body.thing"


async def test_a_configured_id_wins_over_announced_ones() -> None:
    a, b = Owner("x"), Owner("x")
    found = table(a=a, b=b)
    wanted = Registration(identifier="x", provider_id="b", provider_resource_id="x")
    found.add(CTX, wanted, source="config")
    await found.refresh(CTX)
    assert (await found.resolve(CTX, "x")).provider is b
    assert (await found.resolve(CTX, "a/x")).provider is a


async def test_any_id_after_a_providers_name_reaches_it_unasked() -> None:
    a = Owner(hangs=True)
    found = table(a=a, b=Owner())
    began = time.monotonic()
    route = await found.resolve(CTX, "a/never/heard:of", requires={"kind": ["small"]})
    assert (route.provider, route.provider_resource_id, route.entry) == (a, "never/heard:of", None)
    assert time.monotonic() - began < 0.1
    with pytest.raises(NotFound):
        await found.get(CTX, "a/never/heard:of")


async def test_an_unknown_id_names_close_ones() -> None:
    found = table(a=Owner("llama3.2=big", "qwen"))
    with pytest.raises(NotFound, match=r"The thing 'lama3.2' does not exist. Did you mean '(a/)?llama3.2'"):
        await found.resolve(CTX, "lama3.2")
    with pytest.raises(NotFound, match=r"does not exist. Known are, for example, 'a/llama3.2' and 'a/qwen'."):
        await found.resolve(CTX, "0000000")
    with pytest.raises(NotFound, match="No things are known"):
        await table(a=Owner()).resolve(CTX, "x")


async def test_a_huge_unknown_id_is_cut_and_cheap() -> None:
    found = table(a=Owner(*(f"model-{n}" for n in range(1000))))
    await found.refresh(CTX)
    began = time.process_time()
    with pytest.raises(NotFound) as caught:
        await found.resolve(CTX, "m" * 1_000_000)
    assert len(caught.value.message) < 500
    assert time.process_time() - began < 0.1


async def test_registered_ids_are_taken_as_they_are() -> None:
    a = Owner("x")
    found = table(a=a, b=Owner())
    wanted = Registration(identifier="mine", provider_id="a", provider_resource_id="x", metadata={"m": 1})
    assert await found.register(CTX, wanted) == "mine registered"
    route = await found.resolve(CTX, "mine")
    assert (route.provider, route.provider_resource_id) == (a, "x")
    assert (await found.resolve(CTX, "a/mine")).provider_resource_id == "x"
    assert (await found.entry(CTX, "mine")).metadata == {"m": 1}


async def test_the_provider_of_a_registration() -> None:
    a, b = Owner(), Owner()
    found = table(a=a, b=b)
    assert found.add(CTX, Registration(identifier="b/new")).provider_id == "b"
    assert (await found.resolve(CTX, "b/new")).provider_resource_id == "new"
    with pytest.raises(NameOne, match=r"Name the provider that the thing is for \(providers: a, b\)"):
        found.add(CTX, Registration(identifier="new"))
    with pytest.raises(NoSuchProvider, match=r"No provider 'bb' serves things; did you mean 'b'?") as caught:
        found.add(CTX, Registration(identifier="new", provider_id="bb"))
    assert caught.value.param == "provider_id"
    assert table(a=a).add(CTX, Registration(identifier="new")).provider_id == "a"
    assert table(a=a, b=b, default="b").add(CTX, Registration(identifier="new")).provider_id == "b"


async def test_the_same_registration_twice_is_fine_and_another_is_a_conflict() -> None:
    found = table(a=Owner("x"), b=Owner())
    wanted = Registration(identifier="mine", provider_id="a", provider_resource_id="x")
    assert await found.register(CTX, wanted) == await found.register(CTX, wanted)
    with pytest.raises(Conflict, match="'mine' exists already with other values, at the provider 'a'"):
        await found.register(CTX, Registration(identifier="mine", provider_id="b"), param="model_id")
    found.add(CTX, Registration(identifier="fixed", provider_id="a"), source="config")
    with pytest.raises(Conflict):
        await found.register(CTX, Registration(identifier="fixed", provider_id="b"))


async def test_an_announced_id_cannot_be_turned_to_another_provider() -> None:
    found = table(a=Owner("x"), b=Owner())
    await found.refresh(CTX)
    with pytest.raises(Conflict, match="of the provider 'a'"):
        await found.register(
            CTX, Registration(identifier="a/x", provider_id="b", provider_resource_id="evil")
        )
    await found.register(CTX, Registration(identifier="a/x", attributes={"kind": "small"}))
    assert (await found.entry(CTX, "a/x")).attributes == {"kind": "small"}
    await found.unregister(CTX, "a/x")
    assert (await found.entry(CTX, "a/x")).source == "discovered"


async def test_an_id_of_one_provider_cannot_be_taken_for_another() -> None:
    a, b = Owner(), Owner()
    found = table(a=a, b=b)
    for own_id in (None, "evil"):
        wanted = Registration(identifier="b/x", provider_id="a", provider_resource_id=own_id)
        with pytest.raises(Conflict, match=r"that of a thing of the provider 'b'.*such as 'a/x'"):
            await found.register(CTX, wanted, param="thing_id")
        with pytest.raises(Conflict):
            found.add(CTX, wanted, source="config")
    assert (await found.resolve(CTX, "b/x")).provider is b
    assert await found.register(CTX, Registration(identifier="org/x", provider_id="a")) == "org/x registered"
    assert await found.register(CTX, Registration(identifier="b", provider_id="a")) == "b registered"
    plain = table(Plain, a=a, b=b)
    assert await plain.register(CTX, Registration(identifier="b/x", provider_id="a")) == "b/x registered"


async def test_the_bare_id_of_one_provider_does_not_hide_another() -> None:
    broker, direct = Owner("direct/x", "org/y"), Owner(fails=OSError("away"))
    found = table(broker=broker, direct=direct)
    await found.refresh(CTX)
    assert (await found.resolve(CTX, "org/y")).provider is broker
    assert (await found.resolve(CTX, "broker/direct/x")).provider is broker
    route = await found.resolve(CTX, "direct/x")
    assert (route.provider, route.provider_resource_id) == (direct, "x")


async def test_only_what_a_provider_offers_can_be_registered() -> None:
    found = table(a=Owner())
    found.join("b", Member(Owner(), offers=frozenset({"x"})))
    for wanted in (
        Registration(identifier="b/y"),
        Registration(identifier="mine", provider_id="b"),
        Registration(identifier="b/x", provider_resource_id="y"),
    ):
        with pytest.raises(Conflict, match=r"would never be served: '(y|mine)' is not in the_list of its"):
            await found.register(CTX, wanted)
    assert await found.register(CTX, Registration(identifier="b/x")) == "b/x registered"
    mine = Registration(identifier="mine", provider_id="b", provider_resource_id="x")
    assert await found.register(CTX, mine) == "mine registered"
    kept = [found.add(CTX, mine)]
    found.join("b", Member(Owner(), offers=frozenset({"z"})))
    found.take(kept)
    assert [entry.identifier for entry in found.known()] == [], "the run config leaves it out now"


async def test_only_registered_ones_can_be_unregistered() -> None:
    found = table(a=Owner("x"))
    found.add(CTX, Registration(identifier="fixed"), source="config")
    found.add(CTX, Registration(identifier="mine"))
    assert (await found.unregister(CTX, "mine")).identifier == "mine"
    with pytest.raises(NotFound):
        await found.get(CTX, "mine")
    with pytest.raises(Conflict, match="'fixed' cannot be removed here: it stands in the run config"):
        await found.unregister(CTX, "fixed")
    with pytest.raises(Conflict, match="'a/x' cannot be removed here: its provider 'a' announces it"):
        await found.unregister(CTX, "x")
    with pytest.raises(NotFound):
        await found.unregister(CTX, "nothing")


async def test_what_its_provider_deletes_is_forgotten() -> None:
    found = table(a=Owner("x", "y"))
    found.add(CTX, Registration(identifier="mine"))
    for name in ("mine", "a/x"):
        await found.forget(CTX, await found.removable(CTX, name))
    assert await found.list(CTX) == ["a/y discovered"]
    found.add(CTX, Registration(identifier="fixed"), source="config")
    with pytest.raises(Conflict):
        await found.removable(CTX, "fixed")


async def test_attributes() -> None:
    found = table(a=Owner("x=small", "odd=huge"))
    await found.refresh(CTX)
    assert (await found.resolve(CTX, "x", requires={"kind": ["small"]})).provider_resource_id == "x"
    with pytest.raises(WrongKind, match="The thing 'x' has kind 'small'; this operation needs big") as caught:
        await found.resolve(CTX, "x", param="model", requires={"kind": ["big"]})
    assert caught.value.param == "model"
    assert (await found.entry(CTX, "odd")).attributes == {"kind": "big"}
    with pytest.raises(Invalid, match="'kind' of a thing is one of: big, small"):
        found.add(CTX, Registration(identifier="n", attributes={"kind": "huge"}))


async def test_plain_ids_have_no_prefix() -> None:
    found = table(Plain, a=Owner())
    found.add(CTX, Registration(identifier="s/1", provider_id="a"))
    assert (await found.resolve(CTX, "s/1")).provider_resource_id == "s/1"
    for name in ("a/s/1", "a/other"):
        with pytest.raises(NotFound):
            await found.resolve(CTX, name)


async def test_a_provider_that_hangs_delays_a_listing_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "FIRST_WAIT", 0.2)
    found = table(a=Owner(hangs=True), b=Owner("x"))
    began = time.monotonic()
    assert await found.list(CTX) == ["b/x discovered"]
    assert 0.15 < time.monotonic() - began < 1
    await found.stop()


async def test_a_failure_is_logged_once_and_asked_again_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 100.0
    monkeypatch.setattr(discovery.time, "monotonic", lambda: now)
    a = Owner("x", fails=NotFound("no such path"))
    found = table(a=a)
    assert await found.list(CTX) == []
    assert await found.list(CTX) == []
    assert a.asked == 1
    now += discovery.RETRY_AFTER + 1
    await found.list(CTX)
    await settle(lambda: a.asked == 2)
    assert [one.message for one in caplog.records] == [
        "provider a does not say what it has (no such path); asked again from 30 s on, when somebody needs it"
    ]
    a.fails = None
    now += discovery.RETRY_AFTER + 1
    await found.list(CTX)
    await settle(lambda: a.asked == 3)
    assert await found.list(CTX) == ["a/x discovered"]


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError()])
async def test_a_provider_that_ends_the_process_when_asked(error: BaseException) -> None:
    found = table(a=Owner(fails=error), b=Owner("y"))
    assert await found.list(CTX) == ["b/y discovered"]


async def test_answers_are_kept_for_their_time_and_through_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(discovery.time, "monotonic", lambda: now)
    a = Owner("x")
    found = table(a=a)
    await found.list(CTX)
    a.has = ["y"]
    assert await found.list(CTX) == ["a/x discovered"]
    now += discovery.TIME_TO_LIVE + 1
    assert await found.list(CTX) == ["a/x discovered"]
    await settle(lambda: a.asked == 2)
    assert await found.list(CTX) == ["a/y discovered"]
    a.fails = RuntimeError("gone")
    await found.refresh(CTX)
    assert await found.list(CTX) == ["a/y discovered"]


async def test_discovery_never_uses_a_callers_credentials() -> None:
    a = Owner("x")
    await table(a=a).list(RequestContext(request_id="r", provider_data={"key": "secret"}))
    assert not a.seen[0].provider_data


async def test_many_callers_ask_once() -> None:
    a = Owner("x")
    found = table(a=a)
    await asyncio.gather(*(found.resolve(CTX, "x") for _ in range(50)))
    assert a.asked == 1


async def test_a_list_reply_is_made_anew_when_the_table_has_changed_and_only_then() -> None:
    a = Owner("x")
    found = table(a=a)
    listing = Listing(found, lambda records: {"data": records})

    async def listed() -> list[str]:
        reply = await listing.reply(CTX)
        assert await listing.reply(CTX) is reply
        assert json.loads(reply.raw) == reply.body == {"data": await found.list(CTX)}
        return reply.body["data"]

    assert await listed() == ["a/x discovered"]
    await found.register(CTX, Registration(identifier="mine", provider_id="a"))
    assert await listed() == ["a/x discovered", "mine registered"]
    await found.register(CTX, Registration(identifier="a/x", provider_id="a"))
    assert await listed() == ["a/x registered", "mine registered"]
    await found.unregister(CTX, "mine")
    a.has = ["x", "y"]
    await found.refresh(CTX)
    assert await listed() == ["a/x registered", "a/y discovered"]


async def test_a_known_id_is_found_within_two_microseconds() -> None:
    found = table(a=Owner(*(f"m{n}" for n in range(1000))))
    await found.refresh(CTX)
    best = 1.0
    for _ in range(20):
        began = time.perf_counter()
        for _ in range(1000):
            await found.resolve(CTX, "a/m7", param="model", requires={"kind": ["big"]})
        best = min(best, (time.perf_counter() - began) / 1000)
    assert best < 2e-6


async def settle(done: Callable[[], bool]) -> None:
    for _ in range(100):
        if done():
            break
        await asyncio.sleep(0)
    assert done()
    await asyncio.sleep(0)
