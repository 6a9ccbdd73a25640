"""What readiness is made of: it asks at once, holds what it found, and names parts, not their secrets."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from specstack import readiness
from specstack.readiness import Readiness
from specstack.runtime import Runtime
from specstack_wire import Health, StorageUnavailable


class Part:
    """A provider or backend in some state; counts how often it is asked."""

    def __init__(self, state: str = "ok") -> None:
        self.state = state
        self.asked = 0

    async def health(self) -> Health:
        self.asked += 1
        if self.state == "slow":
            await asyncio.sleep(60)
        if self.state == "broken":
            raise RuntimeError("canary at /srv/canary")
        return Health(self.state, "canary: http://user:canary@10.0.0.9")  # type: ignore

    async def ping(self) -> None:
        self.asked += 1
        if self.state == "slow":
            await asyncio.sleep(60)
        if self.state == "away":
            raise StorageUnavailable("the SQLite file /srv/canary.db: gone")
        if self.state == "broken":
            raise RuntimeError("/srv/canary")


def runtime(
    *providers: tuple[str, str, Part],
    storage: dict[str, tuple[Part, set[str]]] | None = None,
    mode: str = "allow",
) -> Any:
    """As much of a runtime as readiness looks at, its own way of asking providers included."""
    backends = storage or {}
    running = [
        SimpleNamespace(configured=SimpleNamespace(api=api, provider_id=name), provider=part)
        for api, name, part in providers
    ]
    found = SimpleNamespace(
        phase="running",
        running=running,
        storage=SimpleNamespace(
            in_use=lambda: {name: part for name, (part, _) in backends.items()},
            stores_in=lambda name: backends[name][1],
        ),
        config=SimpleNamespace(
            stack=SimpleNamespace(
                server=SimpleNamespace(quota=SimpleNamespace(when_unavailable=mode)),
                storage=SimpleNamespace(
                    stores=SimpleNamespace(
                        registry=SimpleNamespace(backend="kv"),
                        providers=SimpleNamespace(backend="kv"),
                        kept=SimpleNamespace(when_full="drop"),
                        surely=SimpleNamespace(when_full="wait"),
                    )
                ),
            )
        ),
    )
    found.health = lambda asked, limit: Runtime.health(found, asked, limit)
    return found


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "LIMIT", 0.05)


@pytest.mark.parametrize("state", ["error", "broken", "slow"])
async def test_an_api_without_a_provider_that_is_well(state: str, hurried: None) -> None:
    made = runtime(("a", "one", Part(state)), ("a", "two", Part("error")), ("b", "three", Part()))
    assert (await Readiness(made).report()).reasons == ("no provider of the API a is well: one, two",)


@pytest.mark.parametrize("state", ["ok", "unknown"])
async def test_one_provider_that_is_well_is_enough(state: str) -> None:
    found = await Readiness(runtime(("a", "one", Part("error")), ("a", "two", Part(state)))).report()
    assert found.reasons == ()
    assert [(one.name, one.status) for one in found.checks] == [("a/one", "error"), ("a/two", state)]


async def test_a_server_without_providers_is_ready() -> None:
    found = await Readiness(runtime()).report()
    assert (found.reasons, found.checks) == ((), ())


@pytest.mark.parametrize("state", ["away", "broken", "slow"])
@pytest.mark.parametrize(
    ("stores", "mode", "ready"),
    [
        ({"registry"}, "allow", False),
        ({"quota"}, "allow", True),
        ({"quota"}, "refuse", False),
        ({"quota", "providers"}, "allow", False),
        ({"kept"}, "allow", True),
        ({"kept", "surely"}, "allow", False),
    ],
)
async def test_storage(state: str, stores: set[str], mode: str, ready: bool, hurried: None) -> None:
    found = await Readiness(runtime(storage={"kv": (Part(state), stores)}, mode=mode)).report()
    assert found.checks == (readiness.Check("storage", "kv", "error", "does not answer"),)
    assert found.reasons == (() if ready else ("the storage backend 'kv' does not answer",))


async def test_nothing_of_what_parts_say_reaches_anybody(hurried: None) -> None:
    states = ("error", "broken", "slow")
    parts = [("a", f"p{number}", Part(state)) for number, state in enumerate(states)]
    backends = {state: (Part(state), {"registry"}) for state in ("away", "broken")}
    assert "canary" not in str(await Readiness(runtime(*parts, storage=backends)).report())


async def test_many_probes_ask_once(monkeypatch: pytest.MonkeyPatch) -> None:
    part, backend = Part(), Part()
    made = Readiness(runtime(("a", "one", part), storage={"kv": (backend, {"registry"})}))
    await asyncio.gather(*(made.report() for _ in range(50)))
    for _ in range(50):
        await made.report()
    assert (part.asked, backend.asked) == (1, 1)
    monkeypatch.setattr(readiness, "HELD", 0)
    await made.report()
    assert (part.asked, backend.asked) == (2, 2)


async def test_a_probe_that_gives_up_spoils_nothing() -> None:
    part = Part("slow")
    made = Readiness(runtime(("a", "one", part)))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(made.report(), 0.01)
    part.state = "ok"
    assert (await made.report()).reasons == ("no provider of the API a is well: one",)
    assert part.asked == 1


@pytest.mark.parametrize("phase", ["starting", "stopping"])
async def test_a_server_that_starts_or_stops_asks_nobody(phase: str) -> None:
    part = Part()
    base = runtime(("a", "one", part))
    made = Readiness(base)
    await made.report()
    base.phase = phase
    assert (await made.report()).reasons == (f"the server is {phase}",)
    assert part.asked == 1


async def test_changes_are_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(readiness, "HELD", 0)
    part = Part("error")
    made = Readiness(runtime(("a", "one", part)))
    with caplog.at_level(logging.WARNING, "specstack.ready"):
        for state in ("ok", "error", "error", "ok", "ok"):
            part.state = state
            await made.report()
    assert [one.message for one in caplog.records] == [
        "not ready: no provider of the API a is well: one",
        "ready again",
    ]
