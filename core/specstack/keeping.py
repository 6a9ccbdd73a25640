"""Calls that core services keep, as the operations say with `x-record`."""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, runtime_checkable

from specstack.descriptors import Operation
from specstack.http.call import Call, Observe, ObserverFor
from specstack.http.settings import Hook
from specstack.runtime import Runtime
from specstack.startup import StartupError
from specstack.write_queue import QueueCounts


@runtime_checkable
class Keeper(Protocol):
    """A core service that keeps calls of operations which name it in `x-record`.

    `counts` tells what became of them until now.
    """

    @property
    def counts(self) -> QueueCounts: ...

    def recorder(self, op: Operation) -> Observe | None:
        """Who watches the calls of the operation; None if none are kept."""
        ...

    async def settled(self, limit: float) -> None:
        """Have everything kept that was answered before; wait at most `limit` seconds."""
        ...

    def admission(self, op: Operation) -> Hook | None:
        """What runs before each call of the operation and may hold it back; None if nothing does."""
        ...


def keepers(runtime: Runtime) -> Mapping[str, Keeper]:
    """The services that keep calls of what is served, by their names in the spec.

    Raises StartupError for one that is none, which a package from outside may name.
    """
    found: dict[str, Keeper] = {}
    for op in runtime.operations():
        if op.record is None or op.record.service in found:
            continue
        name = op.record.service
        if name not in runtime.server.services:
            raise StartupError(f"{op.id}: x-record names the service {name}, which answers no operation")
        service = runtime.service(name)
        if not isinstance(service, Keeper):
            missing = ", ".join(one for one in _KEEPS if not hasattr(service, one))
            raise StartupError(
                f"{op.id}: x-record names the service {name}, which keeps no calls: no {missing}"
            )
        found[name] = service
    return found


_KEEPS = ("counts", "recorder", "settled", "admission")


def observing_kept(runtime: Runtime) -> ObserverFor:
    """The observers of operations whose calls are kept."""

    def observer_for(op: Operation | None) -> Observe | None:
        if op is None or op.record is None:
            return None
        keeper: Keeper = runtime.service(op.record.service)
        return keeper.recorder(op)

    return observer_for


def watch_kept(runtime: Runtime) -> None:
    """Metrics of what becomes of kept calls, read whenever somebody asks."""
    known = keepers(runtime)
    meters = runtime.telemetry.meters

    def outcomes() -> Iterator[tuple[tuple[str, str], float]]:
        for name, keeper in known.items():
            one = keeper.counts
            yield (name, "written"), one.written
            yield (name, "dropped"), one.dropped
            yield (name, "refused"), one.refused
            yield (name, "lost"), one.lost

    def each(read: Callable[[QueueCounts], int]) -> Callable[[], Iterator[tuple[tuple[str], float]]]:
        return lambda: (((name,), read(one.counts)) for name, one in known.items())

    meters.watch("kept", outcomes, "service", "outcome")
    meters.watch("kept_waiting", each(lambda one: one.rows), "service")
    meters.watch("kept_waiting_size", each(lambda one: one.size), "service")
    meters.watch("kept_failures", each(lambda one: one.failures), "service")


def admission(runtime: Runtime) -> tuple[Hook, ...]:
    """The hook that holds back calls which cannot be kept now; none where no service wants that."""
    gates: dict[str, Hook] = {}
    for op in runtime.operations():
        if op.record is None:
            continue
        keeper: Keeper = runtime.service(op.record.service)
        gate = keeper.admission(op)
        if gate is not None:
            gates[op.id] = gate

    async def admit(call: Call) -> None:
        if call.op is not None and call.op.id in gates:
            await gates[call.op.id](call)

    return (admit,) if gates else ()
