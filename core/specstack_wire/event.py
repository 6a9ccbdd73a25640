"""One event of a stream."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, Self, TypeVar

from specstack_wire.payload import UNREAD, Payload

T = TypeVar("T")

DATA = b"data: "
BLOCK_END = b"\n\n"


class Event(Payload[T]):
    """One event of a stream: a payload with an optional SSE event name."""

    __slots__ = ("name",)

    name: str | None

    def __init__(self, body: Any, raw: bytes | None, type_: Any, name: str | None = None) -> None:
        self._body = body
        self._raw = raw
        self._type = type_
        self.name = name

    def _copy(self, body: Any, raw: bytes | None) -> Self:
        return type(self)(body, raw, self._type, self.name)


_event: Callable[..., Event[Any]] = Event
"""Not `Event[T]`: to call that takes many times as long."""


class Burst(Generic[T]):
    """Events that came together, and may go on together; one at least.

    A part is an event, or the bytes of several as they stand in an event stream, each one line of data
    without a name: these become objects when somebody reads them. `last` says that the end of the stream
    came with them.
    """

    __slots__ = ("_events", "_type", "last", "parts")

    def __init__(self, parts: Sequence[bytes | Event[T]], type_: Any = None, *, last: bool = False) -> None:
        self.parts = parts
        self.last = last
        self._type = type_
        self._events: list[Event[T]] | None = None

    @property
    def events(self) -> list[Event[T]]:
        """The events one by one."""
        if self._events is None:
            found: list[Event[T]] = []
            self._events = found
            for part in self.parts:
                if isinstance(part, bytes):
                    found += [_event(UNREAD, raw, self._type) for raw in data_of(part)]
                else:
                    found.append(part)
        return self._events


def data_of(part: "bytes | Event[Any]") -> list[bytes]:
    """The data of the events in a part of a burst."""
    if not isinstance(part, bytes):
        return [part.raw]
    start = len(DATA)
    return [block[start:] for block in part[: -len(BLOCK_END)].split(BLOCK_END)]
