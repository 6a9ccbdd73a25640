"""Server-sent events of an upstream: cut from its bytes and passed on, mostly unread."""

import re
from collections.abc import AsyncIterator, Callable
from typing import Any

from specstack_wire.errors import UpstreamBroken, UpstreamError
from specstack_wire.event import Burst, Event
from specstack_wire.payload import UNREAD
from specstack_wire.splice import Splicer

_BOUNDARY = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LINE = re.compile(rb"\r\n|\n|\r")
_ERROR = (b'{"error":', b'{"error" :', b'{ "error":')


def parse_sse(block: bytes) -> tuple[str | None, bytes | None]:
    """Event name and data of one SSE block; data is None for a block without any (a comment)."""
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
            if data.startswith(b"\n") or b"\n\n\n" in data:
                # Of three line ends in a row the third belongs to no block.
                return [block.lstrip(b"\n") for block in blocks if block.strip(b"\n")]
            return blocks
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


class Relay:
    """Makes events of an upstream's blocks. `over` is set by the closing sentinel and by an error."""

    __slots__ = ("_complete", "_end", "_splicers", "_type", "done", "failure", "over")

    def __init__(self, type_: Any, end: bytes | None, complete: Callable[[bytes], bool] | None) -> None:
        self._type = type_
        self._end = end
        self._complete = complete
        self._splicers: list[Splicer] = []
        self.done = end is None
        self.over = False
        self.failure: UpstreamBroken | None = None

    def replace(self, field: str, value: str) -> None:
        """Change a top-level string field in every event from now on."""
        self._splicers.append(Splicer(field, value))

    def burst(self, blocks: list[bytes]) -> list[Event[Any]]:
        """The events of blocks that came together, up to the sentinel or a failure."""
        events: list[Event[Any]] = []
        type_, splicers = self._type, self._splicers
        for block in blocks:
            name: str | None = None
            data: bytes | None
            if block.startswith(b"data: ") and b"\n" not in block and b"\r" not in block:
                data = block[6:]
            else:
                name, data = parse_sse(block)
                if data is None:
                    continue
            if data == self._end:
                self.over = self.done = True
                break
            if data.startswith(_ERROR) or name == "error":
                told = "the upstream reported an error in the middle of its stream"
                self.failure = UpstreamBroken(told, raw=data)
                self.over = True
                break
            raw: bytes | None = data
            for splicer in splicers:
                raw = splicer.splice(raw)
                if raw is None:
                    break
            events.append(self._parsed(data, name) if raw is None else Event(UNREAD, raw, type_, name))
        if events and not self.done and self._complete is not None:
            self.done = self._complete(b"\n".join([event.raw for event in events]))
        return events

    def _parsed(self, data: bytes, name: str | None) -> Event[Any]:
        event = Event[Any](UNREAD, data, self._type, name)
        for splicer in self._splicers:
            event = event.replacing(splicer.field, splicer.value)
        return event


async def relayed(
    chunks: AsyncIterator[bytes], relay: Relay, failed: Callable[[UpstreamError], Exception] | None
) -> AsyncIterator[Burst[Any]]:
    """The events that `relay` makes of an upstream's bytes; what goes wrong is raised as `failed` says."""
    cutter = SseCutter()
    try:
        async for chunk in chunks:
            burst = relay.burst(cutter.feed(chunk))
            if burst:
                yield burst
            if relay.over:
                break
        else:
            burst = relay.burst(cutter.end())
            if burst:
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
