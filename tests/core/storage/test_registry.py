"""The distribution registry: what clients register is there after a restart, and in other processes."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, ClassVar

import pytest

from specstack.descriptors import ResourceSpec
from specstack.routing import Entry, Member, Registration, RoutingTable
from specstack.sources import SystemClock
from specstack.storage.kv import KVBackend
from specstack.storage.registry import DistributionRegistry
from specstack_wire import SHARED, ApiError, Principal, RequestContext, StorageUnavailable
from support.services import Make, Service

ANN = RequestContext(request_id="r", tenant="acme", principal=Principal("ann"))
CTX = RequestContext(request_id="r")


class NotFound(ApiError):
    status = 404


class Conflict(ApiError):
    status = 409


class Table(RoutingTable[str, str]):
    resource: ClassVar[ResourceSpec] = ResourceSpec(
        name="thing",
        plural="things",
        manages="things",
        routes="work",
        id_style="provider-prefixed",
        not_found=NotFound,
        conflict=Conflict,
        wrong_attribute=Conflict,
        attributes={"kind": ("big", "small")},
    )

    def record(self, entry: Entry) -> str:
        return entry.identifier


class Process:
    """What one server process has: a connection, a registry and a table."""

    def __init__(self, backend: KVBackend, providers: tuple[str, ...] = ("a", "b")) -> None:
        self.backend = backend
        self.store = backend.namespace("registry")
        self.table = Table(roles={}, clock=SystemClock(), log=logging.getLogger("t"))
        for name in providers:
            self.table.join(name, Member(name))
        self.registry = DistributionRegistry(self.store, {"thing": self.table})

    def ids(self) -> list[str]:
        return [entry.identifier for entry in self.table.known()]

    async def end(self) -> None:
        await self.registry.stop()
        await self.backend.aclose()


Start = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start(make: Make, backend: KVBackend) -> AsyncIterator[Start]:
    """Starts processes over one store, which is empty at first."""
    for item in await backend.namespace("registry").scan(SHARED):
        await backend.namespace("registry").delete(SHARED, item.key)
    started: list[Process] = []

    async def begin(*providers: str, config: Registration | None = None) -> Process:
        process = Process(make(), providers or ("a", "b"))
        if config is not None:
            process.table.add(CTX, config, source="config")
        await process.registry.start()
        started.append(process)
        return process

    yield begin
    for one in started:
        await one.end()


def thing(identifier: str, provider_id: str = "a", **more: Any) -> Registration:
    return Registration(identifier=identifier, provider_id=provider_id, **more)


async def seen(check: Callable[[], bool]) -> None:
    """Within a second, as promised."""
    deadline = time.monotonic() + 1
    while not check():
        assert time.monotonic() < deadline, "not seen within a second"
        await asyncio.sleep(0.01)


async def test_a_registration_is_there_after_a_restart_whole(start: Start) -> None:
    first = await start()
    more = {"provider_resource_id": "own", "metadata": {"n": [1, "ü"]}, "attributes": {"kind": "small"}}
    made = await first.table.enter(ANN, thing("x\0y", **more))
    long = await first.table.enter(CTX, thing("l" * 5000))
    await first.registry.stop()
    second = await start()
    kept = {entry.identifier: entry for entry in second.table.known()}
    assert kept == {"x\0y": made, long.identifier: long}
    entry = kept["x\0y"]
    assert (entry.tenant, entry.owner, entry.source) == ("acme", "ann", "registered")
    assert (await second.table.resolve(CTX, "x\0y")).provider_resource_id == "own"
    assert await second.table.enter(CTX, thing("x\0y", **more)) is entry


async def test_another_process_sees_registrations_and_deletes_within_a_second(start: Start) -> None:
    one, two = await start(), await start()
    await one.table.enter(CTX, thing("x"))
    await seen(lambda: two.ids() == ["x"])
    await two.table.enter(CTX, thing("y"))
    await two.table.unregister(CTX, "x")
    await seen(lambda: one.ids() == ["y"])
    with pytest.raises(NotFound):
        await one.table.resolve(CTX, "x")


async def test_a_change_knows_what_others_have_changed_before(start: Start) -> None:
    one, two = await start(), await start()
    await one.table.enter(CTX, thing("x"))
    with pytest.raises(Conflict, match="exists already with other values, at the provider 'a'"):
        await two.table.enter(CTX, thing("x", "b"))
    await two.table.unregister(CTX, "x")
    await one.table.enter(CTX, thing("x", "b"))
    with pytest.raises(NotFound):
        await two.table.unregister(CTX, "gone")


async def test_of_two_that_register_one_id_at_once_one_wins_everywhere(start: Start) -> None:
    one, two = await start(), await start()

    async def enter(process: Process, provider: str, name: str) -> bool:
        with suppress(Conflict):
            return (await process.table.enter(CTX, thing(name, provider))).provider_id == provider
        return False

    for name in "pqrst":
        won = await asyncio.gather(enter(one, "a", name), enter(two, "b", name))
        assert sum(won) == 1
    await asyncio.gather(one.registry.sync(), two.registry.sync())
    assert one.table.known() == two.table.known()


async def test_same_registrations_at_once_are_one(start: Start) -> None:
    one, two = await start(), await start()
    tables = [one.table, two.table] * 5
    found = await asyncio.gather(*(table.enter(CTX, thing("x")) for table in tables))
    assert len({(entry.identifier, entry.provider_id) for entry in found}) == 1


async def test_resources_of_providers_that_are_gone_are_not_served(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    first = await start("a", "b")
    await first.table.enter(CTX, thing("x", "b"))
    await first.table.enter(CTX, thing("y", "a"))
    without = await start("a")
    assert without.ids() == ["y"]
    assert "the registered thing 'x' is not served: its provider 'b' is not configured" in caplog.text
    assert (await without.table.enter(CTX, thing("x", "a"))).provider_id == "a"
    assert (await start("a", "b")).table.known()[0].provider_id == "a"


async def test_the_run_config_is_the_truth(start: Start) -> None:
    first = await start()
    await first.table.enter(CTX, thing("x", "b"))
    second = await start(config=thing("x", "a"))
    assert [(entry.provider_id, entry.source) for entry in second.table.known()] == [("a", "config")]
    with pytest.raises(Conflict, match="stands in the run config"):
        await second.table.unregister(CTX, "x")


async def test_what_a_provider_has_deleted_is_forgotten_everywhere(start: Start) -> None:
    one, two = await start(), await start()
    await one.table.enter(CTX, thing("x"))
    await one.table.forget(CTX, await one.table.removable(CTX, "x"))
    await seen(lambda: two.ids() == [])
    assert (await start()).ids() == []


async def test_a_record_that_cannot_be_read_spoils_nothing(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    first = await start()
    await first.table.enter(CTX, thing("x"))
    await first.store.set(SHARED, "thing/bad", "{]")
    second = await start()
    assert second.ids() == ["x"]
    assert "'thing/bad' of the registry cannot be read" in caplog.text
    await second.table.enter(CTX, thing("bad"))
    await seen(lambda: first.ids() == ["bad", "x"])


async def test_a_process_that_died_between_record_and_counter_is_noticed(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await start(), await start()

    async def die(*_: Any, **__: Any) -> int:
        raise StorageUnavailable("dead")

    with monkeypatch.context() as patch:
        patch.setattr(first.backend, "incr", die)
        with pytest.raises(StorageUnavailable):
            await first.table.enter(CTX, thing("x"))
    await second.registry.sync()
    assert second.ids() == []
    monkeypatch.setattr("specstack.storage.registry.REREAD", 0.0)
    await seen(lambda: second.ids() == ["x"])


async def test_the_table_serves_on_while_the_store_is_away(
    start: Start, service: Service | None, caplog: pytest.LogCaptureFixture
) -> None:
    if service is None:
        pytest.skip("this backend has no server that the suite could stop")
    one, two = await start(), await start()
    await one.table.enter(CTX, thing("x"))
    await seen(lambda: two.ids() == ["x"])
    await asyncio.to_thread(service.stop)
    try:
        with pytest.raises(StorageUnavailable):
            await one.table.enter(CTX, thing("y"))
        assert (await one.table.resolve(CTX, "x")).provider == "a"
        assert one.ids() == ["x"]
    finally:
        await asyncio.to_thread(service.start)
    assert await one.table.enter(CTX, thing("y"))
    deadline = time.monotonic() + 15  # the other one may be waiting for a connection
    while two.ids() != ["x", "y"]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
