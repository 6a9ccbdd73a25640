"""One call as hooks and observers see it, from its first byte to its last."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from specstack.descriptors import Operation
from specstack_wire import ApiError, Event, Payload, Request, RequestContext
from specstack_wire.event import Burst

_log = logging.getLogger("specstack.http")


@dataclass(slots=True, eq=False)
class Call:
    """A call that is under way. `op` is None for what the spec does not describe.

    `headers` go out with the reply, whatever it is; hooks add to them. `request` is there once it has been
    read and found valid. `status` is the reply's, 0 before there is one (and to the end if the client did not
    wait for it), 101 for a WebSocket. `error` is what went wrong, also in the middle of a stream; `whole`
    tells whether all of a successful reply went out. `started` is in seconds of `time.perf_counter`.
    """

    op: Operation | None
    scope: dict[str, Any]
    ctx: RequestContext
    headers: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])
    request: Request[Any, Any] | None = None
    status: int = 0
    error: ApiError | None = None
    whole: bool = False
    started: float = field(default_factory=perf_counter)


class Observer:
    """Sees one call. Methods are quick and do not wait; what they raise is logged and changes nothing.

    Subclasses override what they need. `wants_events` says whether `event` or `burst` is one of it, and is
    asked when the stream begins: one that nobody wants to see is not slowed.
    """

    __slots__ = ()

    wants_events = False

    def replied(self, reply: Payload[Any]) -> None:
        """The whole JSON reply, before it goes out."""

    def event(self, event: Event[Any]) -> None:
        """An event of a stream, before it goes out."""

    def burst(self, burst: Burst[Any]) -> None:
        """Events that go out together: each goes to `event`, unless a subclass overrides this."""
        for event in burst.events:
            try:
                self.event(event)
            except Exception:
                _log.exception("an observer failed")

    def ended(self) -> None:
        """The call is over, however that came."""


Observe = Callable[[Call], Observer | None]
"""Asked at the start of every call, before hooks; None if this one is of no interest."""

ObserverFor = Callable[[Operation | None], Observe | None]
"""Asked once per operation at start-up (None: all that the spec does not describe)."""


def observing(observers: Iterable[ObserverFor], op: Operation | None) -> tuple[Observe, ...]:
    """Who wants to see the calls of an operation."""
    return tuple(found for one in observers if (found := one(op)) is not None)


class Audience:
    """The observers of one call."""

    __slots__ = ("_observers",)

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers

    def listener(self) -> Callable[[Burst[Any]], None] | None:
        """Who sees the events of the stream that begins now; None if nobody does."""
        listeners: list[Callable[[Burst[Any]], None]] = []
        for one in self._observers:
            try:
                if one.wants_events:
                    listeners.append(one.burst)
            except Exception:
                _log.exception("an observer failed")
        return _guarded(listeners) if listeners else None

    def replied(self, reply: Payload[Any]) -> None:
        """Show the reply to all."""
        for one in self._observers:
            try:
                one.replied(reply)
            except Exception:
                _log.exception("an observer failed")

    def ended(self) -> None:
        """Tell all that the call is over."""
        for one in self._observers:
            try:
                one.ended()
            except Exception:
                _log.exception("an observer failed")


def audience(observe: Sequence[Observe], call: Call) -> Audience | None:
    """Those of `observe` that want to see this call; None if nobody does."""
    found: list[Observer] = []
    for one in observe:
        try:
            observer = one(call)
        except Exception:
            _log.exception("an observer failed")
            continue
        if observer is not None:
            found.append(observer)
    return Audience(found) if found else None


def _guarded(listeners: list[Callable[[Burst[Any]], None]]) -> Callable[[Burst[Any]], None]:
    # In quotes: it would be put together anew for every stream.
    def on_events(burst: "Burst[Any]") -> None:
        for listen in listeners:
            try:
                listen(burst)
            except Exception:
                _log.exception("an observer failed")

    return on_events
