"""Streams of events: server-sent events and JSON lines, relayed or built here."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Generic, Self, TypeVar

from specstack_wire.errors import UpstreamBroken
from specstack_wire.payload import UNREAD, Payload

T = TypeVar("T")
Close = Callable[[], Awaitable[None]]

_BOUNDARY = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LINE = re.compile(rb"\r\n|\n|\r")


class Event(Payload[T]):
    """One event of a stream: a payload with an optional SSE event name."""

    __slots__ = ("name",)

    name: str | None

    def __init__(self, body: Any, raw: bytes | None, type_: Any, name: str | None = None) -> None:
        super().__init__(body, raw, type_)
        self.name = name

    def _copy(self, body: Any, raw: bytes | None) -> Self:
        return type(self)(body, raw, self._type, self.name)


class Stream(Generic[T]):
    """An async iterator of events, read once, closed with `aclose`.

    Whoever gets a stream closes it; closing reaches its source at once (an upstream connection,
    a running generation). Iterating may raise an `ApiError`: the stream then failed midway.
    """

    __slots__ = ("_close", "_source")

    def __init__(self, source: AsyncIterator[Event[T]], close: Close | None = None) -> None:
        self._source = source
        self._close = close

    @classmethod
    def events(cls, source: AsyncIterator[Event[T]], *, close: Close | None = None) -> Self:
        """A stream of ready events. `close` frees what feeds it, even if it was never read."""
        return cls(source, close)

    @classmethod
    def of(
        cls,
        items: AsyncIterator[T],
        *,
        name: Callable[[T], str | None] | None = None,
        close: Close | None = None,
    ) -> Self:
        """A stream of models. `name` gives the SSE event name of an item; `close` as for `events`."""
        return cls(_events_of(items, name), close or _closing(items))

    @classmethod
    def relay(
        cls,
        chunks: AsyncIterator[bytes],
        type_: Any,
        *,
        end: str | None = "[DONE]",
        complete: Callable[[bytes], bool] | None = None,
        close: Close | None = None,
    ) -> Self:
        """The server-sent events of an upstream, passed on as bytes.

        `end` is the upstream's closing sentinel, which is swallowed. An upstream that closes without
        it is complete only if `complete` said yes to some event's data; else, or when it sends an
        `error` object, iterating raises `UpstreamBroken`. With `end=None` a clean close is complete.
        `close` frees the upstream, even if the stream was never read.
        """
        source = _relayed(chunks, type_, None if end is None else end.encode(), complete)
        return cls(source, close or _closing(chunks))

    def replacing(self, field: str, value: str) -> "Stream[T]":
        """The same stream with one top-level string field changed in every event."""
        return Stream(_replaced(self._source, field, value), self.aclose)

    def __aiter__(self) -> AsyncIterator[Event[T]]:
        return self._source

    async def aclose(self) -> None:
        """Stops the stream and frees what feeds it. Safe to call twice."""
        await close_source(self._source)
        # A generator that was never started does not run its `finally`: close what feeds it as well.
        if self._close is not None:
            await self._close()


def _closing(source: object) -> Close:
    async def close() -> None:
        await close_source(source)

    return close


async def close_source(source: object) -> None:
    """Closes an async iterator that can be closed."""
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()


async def _events_of(
    items: AsyncIterator[T], name: Callable[[T], str | None] | None
) -> AsyncIterator[Event[T]]:
    try:
        async for item in items:
            yield Event(item, None, None, None if name is None else name(item))
    finally:
        await close_source(items)


async def _replaced(source: AsyncIterator[Event[T]], field: str, value: str) -> AsyncIterator[Event[T]]:
    try:
        async for event in source:
            yield event.replacing(field, value)
    finally:
        await close_source(source)


def parse_sse(block: bytes) -> tuple[str | None, bytes | None]:
    """Event name and data of one SSE block; data is None for a block without any (a comment)."""
    if block.startswith(b"data: ") and b"\n" not in block and b"\r" not in block:
        return None, block[6:]
    name: str | None = None
    data: list[bytes] = []
    for line in _LINE.split(block):
        field, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return name, b"\n".join(data) if data else None


async def sse_blocks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Cuts a byte stream into SSE blocks, each as soon as it is whole."""
    buffer = b""
    async for chunk in chunks:
        buffer = buffer + chunk if buffer else chunk
        start = 0
        while found := _BOUNDARY.search(buffer, start):
            if found.start() > start:
                yield buffer[start : found.start()]
            start = found.end()
        buffer = buffer[start:] if start else buffer
    if buffer.strip():
        yield buffer.strip(b"\r\n")


async def _relayed(
    chunks: AsyncIterator[bytes], type_: Any, end: bytes | None, complete: Callable[[bytes], bool] | None
) -> AsyncIterator[Event[Any]]:
    done = end is None
    try:
        async for block in sse_blocks(chunks):
            name, data = parse_sse(block)
            if data is None:
                continue
            if data == end:
                return
            if name == "error" or data.startswith((b'{"error":', b'{"error" :', b'{ "error":')):
                raise UpstreamBroken("the upstream reported an error in the middle of its stream", raw=data)
            done = done or (complete is not None and complete(data))
            yield Event(UNREAD, data, type_, name)
        if not done:
            raise UpstreamBroken("the upstream closed its stream before the end")
    finally:
        await close_source(chunks)
