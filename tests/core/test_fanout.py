"""One call to several providers."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

import pytest

from core.test_routing import CTX, NotFound, Owner, Table, table
from specstack.fanout import fan_out, scatter
from specstack.routing import Registration
from specstack_wire import ApiModel, OperationNotSupported, Payload, Request


class Page(ApiModel):
    kind: str
    data: list[str]


class Scores(ApiModel):
    name: str
    results: dict[str, str] | list[str]


class Wanted(ApiModel):
    things: dict[str, int] | list[str]


async def page(*data: str, kind: str = "page", after: float = 0) -> Payload[Page]:
    await asyncio.sleep(after)
    return Payload[Page].of(Page(kind=kind, data=list(data)))


async def failing(error: Exception) -> Payload[Page]:
    raise error


async def merged(**calls: Awaitable[Payload[Page]]) -> Payload[Page]:
    return await fan_out(CTX, calls, lambda call: call, merge="data")


async def test_lists_are_joined_in_the_providers_order() -> None:
    reply = await merged(a=page("1", "2", kind="first", after=0.05), b=page("3"), c=page())
    assert (reply.body.kind, reply.body.data) == ("first", ["1", "2", "3"])


async def test_calls_run_side_by_side() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await merged(a=page(after=0.2), b=page(after=0.2), c=page(after=0.2))
    assert loop.time() - began < 0.5


async def test_a_lone_reply_is_passed_on_as_it_is() -> None:
    reply = Payload[Page].from_raw(b'{"kind": "k",  "data": []}', Page)

    async def given() -> Payload[Page]:
        return reply

    assert await merged(a=given(), b=failing(OperationNotSupported("no"))) is reply


async def test_a_failing_provider_is_logged_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    async def unreadable() -> Payload[Page]:
        return Payload[Page].from_raw(b'{"data": 1}', Page)

    with caplog.at_level(logging.WARNING):
        reply = await merged(
            a=failing(RuntimeError("boom")),
            b=page("x"),
            c=unreadable(),
            d=failing(OperationNotSupported("no")),
        )
    assert reply.body.data == ["x"]
    assert [record.args[1] for record in caplog.records if isinstance(record.args, tuple)] == ["a", "c"]


async def test_all_failing_is_the_first_failure() -> None:
    with pytest.raises(NotFound):
        await merged(
            a=failing(OperationNotSupported("no")), b=failing(NotFound("b")), c=failing(RuntimeError())
        )
    with pytest.raises(OperationNotSupported, match="no"):
        await merged(a=failing(OperationNotSupported("no")))
    with pytest.raises(OperationNotSupported, match="No provider is configured"):
        await merged()


async def filled() -> tuple[Table, dict[Owner, str]]:
    a, b = Owner("x", "y"), Owner("z")
    found = table(a=a, b=b)
    await found.refresh(CTX)
    found.add(CTX, Registration(identifier="mine", provider_id="b", provider_resource_id="own"))
    return found, {a: "a", b: "b"}


async def scattered(things: dict[str, int] | list[str], *, as_list: bool = False) -> tuple[Any, list[Any]]:
    found, names = await filled()
    asked: list[Any] = []

    async def call(provider: Owner, part: Request[Wanted, Any]) -> Payload[Scores]:
        wanted = part.body.things
        asked.append((names[provider], wanted))
        await asyncio.sleep(0.05 if names[provider] == "a" else 0)
        if "y" in wanted:
            raise NotFound("y is broken")
        results: Any = [f"{names[provider]}:{one}" for one in wanted]
        if not as_list:
            results = dict(zip(wanted, results, strict=True))
        return Payload[Scores].of(Scores(name="n", results=results))

    request = Request[Wanted, Any].of(Wanted(things=things))
    reply = await scatter(CTX, found, request, call, key="things", merge="results")
    return reply.body.results, asked


async def test_a_map_is_split_and_put_together_in_the_clients_words() -> None:
    results, asked = await scattered({"mine": 1, "a/x": 2, "z": 3})
    assert list(results.items()) == [("mine", "b:own"), ("a/x", "a:x"), ("z", "b:z")]
    assert sorted(asked) == [("a", {"x": 2}), ("b", {"own": 1, "z": 3})]


async def test_a_list_keeps_its_order() -> None:
    results, asked = await scattered(["mine", "a/x", "b/z", "x"], as_list=True)
    assert results == ["b:own", "a:x", "b:z", "a:x"]
    assert sorted(asked) == [("a", ["x", "x"]), ("b", ["own", "z"])]


async def test_any_failure_fails_the_call() -> None:
    with pytest.raises(NotFound, match="y is broken"):
        await scattered({"y": 1, "z": 2})
    with pytest.raises(NotFound, match="The thing 'nothing' does not exist"):
        await scattered({"x": 1, "nothing": 2})


async def test_nothing_to_ask() -> None:
    with pytest.raises(OperationNotSupported, match="'things' names no thing"):
        await scattered({})
