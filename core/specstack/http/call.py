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


def observing(observers: Iterable[ObserverFor], op: Operation | None) -> Observe | None:
    """Who wants to see the calls of an operation, as one; None if nobody does.

    What an observer raises must change nothing: `show_reply`, `listener` and `show_end` see to that.
    """
    found = [_guarded(each) for one in observers if (each := one(op)) is not None]
    if len(found) < 2:
        return found[0] if found else None

    def observe(call: Call) -> Observer | None:
        seeing = [observer for one in found if (observer := one(call)) is not None]
        return _Several(seeing) if seeing else None

    return observe


def _guarded(one: Observe) -> Observe:
    def observe(call: Call) -> Observer | None:
        try:
            return one(call)
        except Exception:
            _log.exception("an observer failed")
            return None

    return observe


class _Several(Observer):
    """Many observers as one. What one of them raises does not keep anything from the others."""

    __slots__ = ("_bursts", "_observers")

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers
        self._bursts: list[Callable[[Burst[Any]], None]] = []

    @property
    def wants_events(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        found = (listener(one) for one in self._observers)
        self._bursts = [one for one in found if one is not None]
        return bool(self._bursts)

    def replied(self, reply: Payload[Any]) -> None:
        for one in self._observers:
            show_reply(one, reply)

    def burst(self, burst: Burst[Any]) -> None:
        for show in self._bursts:
            show(burst)

    def ended(self) -> None:
        for one in self._observers:
            show_end(one)


def show_reply(observer: Observer, reply: Payload[Any]) -> None:
    """Show it the whole reply."""
    try:
        observer.replied(reply)
    except Exception:
        _log.exception("an observer failed")


def show_end(observer: Observer) -> None:
    """Tell it that the call is over."""
    try:
        observer.ended()
    except Exception:
        _log.exception("an observer failed")


def listener(observer: Observer) -> Callable[[Burst[Any]], None] | None:
    """What shows it the events of the stream that begins now; None if it wants to see none."""
    try:
        if not observer.wants_events:
            return None
    except Exception:
        _log.exception("an observer failed")
        return None
    show = observer.burst

    # In quotes: it would be put together anew for every stream.
    def on_events(burst: "Burst[Any]") -> None:
        try:
            show(burst)
        except Exception:
            _log.exception("an observer failed")

    return on_events
