"""Server-sent events of an upstream: cut from its bytes and passed on, mostly unread."""

import re
from collections.abc import AsyncIterator, Callable
from typing import Any

from specstack_wire.errors import UpstreamBroken, UpstreamError
from specstack_wire.event import BLOCK_END, DATA, Burst, Event
from specstack_wire.payload import UNREAD
from specstack_wire.splice import Splicer

_BOUNDARY = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LINE = re.compile(rb"\r\n|\n|\r")
_ERROR = (b'{"error":', b'{"error" :', b'{ "error":')


def parse_sse(block: bytes) -> tuple[str | None, bytes | None]:
    """Event name and data of one SSE block; data is None for a block without any (a comment)."""
    if block.startswith(DATA) and b"\n" not in block and b"\r" not in block:
        return None, block[len(DATA) :]
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


class Relay:
    """Makes events of an upstream's bytes. `over` is set by the closing sentinel and by an error."""

    __slots__ = ("_complete", "_end", "_rest", "_splicers", "_type", "done", "failure", "over")

    def __init__(self, type_: Any, end: bytes | None, complete: Callable[[bytes], bool] | None) -> None:
        self._type = type_
        self._end = end
        self._complete = complete
        self._splicers: list[Splicer] = []
        self._rest = b""
        self.done = end is None
        self.over = False
        self.failure: UpstreamBroken | None = None

    def replace(self, field: str, value: str) -> None:
        """Change a top-level string field in every event from now on."""
        self._splicers.append(Splicer(field, value))

    def feed(self, chunk: bytes) -> Burst[Any] | None:
        """The events that these bytes complete, up to the sentinel or a failure; None if there is none."""
        data = self._rest + chunk if self._rest else chunk
        if b"\r" in data:
            return self._burst(self._blocks(data))
        cut = data.rfind(BLOCK_END) + len(BLOCK_END)
        if cut < len(BLOCK_END):
            self._rest = data
            return None
        self._rest = data[cut:]
        whole = data[:cut]
        framed = self._alike(whole)
        if framed is not None:
            return Burst(None, framed, self._type)
        # Of three line ends in a row the third belongs to no block.
        return self._burst([found for block in whole.split(BLOCK_END) if (found := block.lstrip(b"\n"))])

    def last(self) -> Burst[Any] | None:
        """The event that is left when the stream ends, if any."""
        rest = self._rest.strip(b"\r\n")
        return self._burst([rest]) if rest.strip() else None

    def _blocks(self, data: bytes) -> list[bytes]:
        blocks: list[bytes] = []
        start = 0
        while found := _BOUNDARY.search(data, start):
            if found.start() > start:
                blocks.append(data[start : found.start()])
            start = found.end()
        self._rest = data[start:]
        return blocks

    def _alike(self, whole: bytes) -> bytes | None:
        """Events that begin as the one before did, their field changed in one go: most of most streams."""
        if len(self._splicers) != 1:
            return None
        framed = self._splicers[0].splice_each(whole, DATA, BLOCK_END)
        if framed is not None and not self.done and self._complete is not None:
            self.done = self._complete(whole)
        return framed

    def _burst(self, blocks: list[bytes]) -> Burst[Any] | None:
        events: list[Event[Any]] = []
        for block in blocks:
            name, data = parse_sse(block)
            if data is None:
                continue
            if data == self._end:
                self.over = self.done = True
                break
            if name == "error" or data.startswith(_ERROR):
                told = "the upstream reported an error in the middle of its stream"
                self.failure = UpstreamBroken(told, raw=data)
                self.over = True
                break
            if not self.done and self._complete is not None:
                self.done = self._complete(data)
            raw: bytes | None = data
            for splicer in self._splicers:
                raw = splicer.splice(raw)
                if raw is None:
                    break
            if raw is None:
                events.append(self._parsed(data, name))
            else:
                events.append(Event(UNREAD, raw, self._type, name))
        return Burst(events) if events else None

    def _parsed(self, data: bytes, name: str | None) -> Event[Any]:
        event = Event[Any](UNREAD, data, self._type, name)
        for splicer in self._splicers:
            event = event.replacing(splicer.field, splicer.value)
        return event


async def relayed(
    chunks: AsyncIterator[bytes], relay: Relay, failed: Callable[[UpstreamError], Exception] | None
) -> AsyncIterator[Burst[Any]]:
    """The events that `relay` makes of an upstream's bytes; what goes wrong is raised as `failed` says."""
    try:
        async for chunk in chunks:
            burst = relay.feed(chunk)
            if burst is not None:
                yield burst
            if relay.over:
                break
        else:
            burst = relay.last()
            if burst is not None:
                yield burst
        if relay.failure is not None:
            raise relay.failure
        if not relay.done:
            raise UpstreamBroken("the upstream closed its stream before the end")
    except UpstreamError as error:
        if failed is None:
            raise
        raise failed(error) from error
    finally:
        await close_source(chunks)


async def close_source(source: object) -> None:
    """Closes an async iterator that can be closed."""
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()
