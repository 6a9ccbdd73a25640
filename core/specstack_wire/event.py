"""One event of a stream."""

from collections.abc import Sequence
from typing import Any, Self, TypeVar

from specstack_wire.payload import Payload

T = TypeVar("T")


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


Burst = Sequence[Event[T]]
"""Events that came together, and may go on together."""
