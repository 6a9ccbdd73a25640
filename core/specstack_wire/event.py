"""One event of a stream."""

from collections.abc import Sequence
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


class Burst(Generic[T]):
    """Events that came together, and may go on together; one at least.

    `framed` is how they stand in an event stream, each as one line of data without a name, where that is
    known; their objects are made when somebody reads them.
    """

    __slots__ = ("_events", "_type", "framed")

    def __init__(
        self, events: Sequence[Event[T]] | None, framed: bytes | None = None, type_: Any = None
    ) -> None:
        self._events = events
        self.framed = framed
        self._type = type_

    @property
    def events(self) -> Sequence[Event[T]]:
        """The events one by one."""
        if self._events is None:
            assert self.framed is not None
            start, end = len(DATA), len(BLOCK_END)
            blocks = self.framed[:-end].split(BLOCK_END)
            self._events = [Event[T](UNREAD, block[start:], self._type) for block in blocks]
        return self._events
