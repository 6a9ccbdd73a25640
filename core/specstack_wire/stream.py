"""Streams of events: server-sent events and JSON lines, relayed or built here."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Generic, Self, TypeVar

from specstack_wire.errors import UpstreamBroken
from specstack_wire.payload import UNREAD, Payload
from specstack_wire.splice import Splicer

T = TypeVar("T")
Close = Callable[[], Awaitable[None]]

_BOUNDARY = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LINE = re.compile(rb"\r\n|\n|\r")


class Event(Payload[T]):
    """One event of a stream: a payload with an optional SSE event name.

    `more` says that the next event is here already, so that both may go out as one piece.
    """

    __slots__ = ("more", "name")

    name: str | None
    more: bool

    def __init__(
        self, body: Any, raw: bytes | None, type_: Any, name: str | None = None, more: bool = False
    ) -> None:
        self._body = body
        self._raw = raw
        self._type = type_
        self.name = name
        self.more = more

    def _copy(self, body: Any, raw: bytes | None) -> Self:
        return type(self)(body, raw, self._type, self.name, self.more)

    def spliced(self, splicer: Splicer, field: str, value: str) -> "Event[T]":
        """What `replacing` gives, by a splicer of that field and value that serves a whole stream."""
        raw = None if self._raw is None or self._body is not UNREAD else splicer.splice(self._raw)
        return (
            self.replacing(field, value)
            if raw is None
            else Event(UNREAD, raw, self._type, self.name, self.more)
        )


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
    splicer = Splicer(field, value)
    try:
        async for event in source:
            yield event.spliced(splicer, field, value)
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


class SseCutter:
    """Cuts a byte stream into SSE blocks, each as soon as it is whole."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The blocks that these bytes complete."""
        data = self._rest + chunk if self._rest else chunk
        if b"\r" not in data:
            blocks = data.split(b"\n\n")
            self._rest = blocks.pop()
            # Of three line ends in a row the third belongs to no block.
            return [block.lstrip(b"\n") for block in blocks if block.strip(b"\n")]
        blocks: list[bytes] = []
        start = 0
        while found := _BOUNDARY.search(data, start):
            if found.start() > start:
                blocks.append(data[start : found.start()])
            start = found.end()
        self._rest = data[start:]
        return blocks

    def end(self) -> list[bytes]:
        """What is left when the stream ends: at most one block."""
        return [self._rest.strip(b"\r\n")] if self._rest.strip() else []


class _Relay:
    """Makes events of an upstream's blocks. `ended` is set by the closing sentinel."""

    __slots__ = ("_complete", "_end", "_type", "done", "ended", "failure")

    def __init__(self, type_: Any, end: bytes | None, complete: Callable[[bytes], bool] | None) -> None:
        self._type = type_
        self._end = end
        self._complete = complete
        self.done = end is None
        self.ended = False
        self.failure: UpstreamBroken | None = None

    def events(self, blocks: list[bytes]) -> list[Event[Any]]:
        """The events of blocks that came together, up to the sentinel or a failure."""
        events: list[Event[Any]] = []
        for block in blocks:
            name, data = parse_sse(block)
            if data is None:
                continue
            if data == self._end:
                self.ended = True
                break
            if name == "error" or data.startswith((b'{"error":', b'{"error" :', b'{ "error":')):
                told = "the upstream reported an error in the middle of its stream"
                self.failure = UpstreamBroken(told, raw=data)
                break
            if not self.done and self._complete is not None and self._complete(data):
                self.done = True
            events.append(Event(UNREAD, data, self._type, name, True))
        if events:
            events[-1].more = False
        return events


async def _relayed(
    chunks: AsyncIterator[bytes], type_: Any, end: bytes | None, complete: Callable[[bytes], bool] | None
) -> AsyncIterator[Event[Any]]:
    cutter, relay = SseCutter(), _Relay(type_, end, complete)
    try:
        async for chunk in chunks:
            for event in relay.events(cutter.feed(chunk)):
                yield event
            if relay.ended:
                return
            if relay.failure is not None:
                raise relay.failure
        for event in relay.events(cutter.end()):
            yield event
        if relay.ended:
            return
        if relay.failure is not None:
            raise relay.failure
        if not relay.done:
            raise UpstreamBroken("the upstream closed its stream before the end")
    finally:
        await close_source(chunks)
