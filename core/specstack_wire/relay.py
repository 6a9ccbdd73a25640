"""Server-sent events of an upstream: cut from its bytes and passed on, mostly unread."""

import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

from specstack_wire.errors import UpstreamBroken, UpstreamError
from specstack_wire.event import BLOCK_END, DATA, Burst, Event
from specstack_wire.payload import UNREAD
from specstack_wire.splice import Splicer

# Atomic: the two bytes of one line end are not two line ends.
_BOUNDARY = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE = re.compile(rb"\r\n|\n|\r")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONGEST_BOUNDARY = 4
_LARGEST_EVENT = 32 << 20
_CR = 13
_LF = 10
_ERROR = b'"error"'
_NEAR_END = 16384
_FIRST = re.compile(rb'\s*\{\s*"error"\s*:')
_GIVEN = re.compile(rb'"error"\s*:(?!\s*(?:null|false|"")\s*[,}])')


def parse_sse(block: bytes) -> tuple[str | None, bytes | None]:
    """Event name and data of one SSE block; data is None for a block without any (a comment, say)."""
    if block.startswith(DATA) and _LF not in block and _CR not in block:
        return None, block[len(DATA) :] or None
    name: str | None = None
    data: list[bytes] = []
    for line in _LINE.split(block.removeprefix(_BYTE_ORDER_MARK)):
        field, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return name, b"\n".join(data) or None


def tells_error(data: bytes) -> bool:
    """Whether the JSON object of an upstream has an error at its top level, whatever the status says.

    In a large one it is looked for near the start and the end only: between them stand many vectors.
    """
    ends = data if len(data) <= 2 * _NEAR_END else data[:_NEAR_END] + data[-_NEAR_END:]
    if ends.rfind(_ERROR) < 0 or _GIVEN.search(data) is None:
        return False
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return _FIRST.match(data) is not None
    return isinstance(body, dict) and cast(Any, body).get("error") not in (None, False, "")


def _is_cut(block: bytes, end: bytes | None) -> bool:
    """Whether a block that nothing follows lacks a part of its event, not only the blank line."""
    name, data = parse_sse(block)
    if data is None:
        line = _LINE.split(block)[-1]
        return name is not None or line.startswith(b"data:") or (line != b"" and b":" not in line)
    if data == end:
        return False
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return True
    return False


class Relay:
    """Makes events of an upstream's bytes. `over` is set by the closing sentinel and by an error."""

    __slots__ = ("_complete", "_end", "_held", "_splicers", "_start", "_type", "done", "failure", "over")

    def __init__(self, type_: Any, end: bytes | None, complete: Callable[[bytes], bool] | None) -> None:
        self._type = type_
        self._end = end
        self._complete = complete
        self._splicers: list[Splicer] = []
        self._held = bytearray()
        self._start = b""
        self.done = end is None
        self.over = False
        self.failure: UpstreamBroken | None = None

    def replace(self, field: str, value: str) -> None:
        """Change a top-level string field in every event from now on."""
        self._splicers.append(Splicer(field, value))

    def feed(self, chunk: bytes) -> Burst[Any] | None:
        """The events that these bytes complete, up to the sentinel or a failure; None if there is none."""
        data = self._joined(chunk) if self._held else chunk
        # Searching backwards takes half the time of `in`.
        wary = data.rfind(_ERROR) >= 0
        if wary or _CR in data:
            return self._burst(self._blocks(data), wary)
        blocks = data.split(BLOCK_END)
        rest = blocks.pop()
        if rest:
            self._held += rest
        return self._burst(blocks) if blocks else None

    def last(self) -> Burst[Any] | None:
        """The event that is left when the stream ends, if any. One that is cut is a failure."""
        block = bytes(self._held).strip(b"\r\n")
        if _is_cut(block, self._end):
            self._fail(UpstreamBroken("the upstream broke off in the middle of an event"))
            return None
        return self._burst([block], _ERROR in block)

    def _joined(self, chunk: bytes) -> bytes:
        """What is held and `chunk` behind it; b"" if no event ends there, and then all of it is held.

        Only what is new is searched: else the time for a long event would grow with its square.
        """
        held = self._held
        start = max(len(held) - _LONGEST_BOUNDARY + 1, 0)
        held += chunk
        ends = held.find(BLOCK_END, start) >= 0
        if ends or (held.find(b"\r", start) >= 0 and _BOUNDARY.search(held, start)):
            self._held = bytearray()
            return bytes(held)
        if len(held) > _LARGEST_EVENT:
            self._held = bytearray()
            size = _LARGEST_EVENT >> 20
            self._fail(UpstreamBroken(f"the upstream sent an event of more than {size} MB"))
        return b""

    def _blocks(self, data: bytes) -> list[bytes]:
        blocks: list[bytes] = []
        start = 0
        while found := _BOUNDARY.search(data, start):
            blocks.append(data[start : found.start()])
            start = found.end()
        self._held += data[start:]
        return blocks

    def _burst(self, blocks: list[bytes], wary: bool = False) -> Burst[Any] | None:
        """What goes out of some blocks. With `wary`, each is looked at for an error."""
        parts: list[bytes | Event[Any]] = []
        alike: list[bytes] = []
        start = b"" if wary else self._start
        for block in blocks:
            if start and block.startswith(start):
                alike.append(block)
                continue
            if alike:
                self._put_alike(alike, parts)
                alike = []
            self._put(block, parts, wary)
            if self.over:
                break
            start = b"" if wary else self._start
        if alike:
            self._put_alike(alike, parts)
        return Burst(parts, self._type, last=self.over and self.failure is None) if parts else None

    def _put_alike(self, blocks: list[bytes], parts: list[bytes | Event[Any]]) -> None:
        """Events that begin as the one before did, their field changed in one go: most of most streams."""
        framed = self._splicers[0].splice_each(blocks, DATA, BLOCK_END)
        if framed is None:
            for block in blocks:
                self._put(block, parts)
            return
        parts.append(framed)
        self._ask(framed)

    def _put(self, block: bytes, parts: list[bytes | Event[Any]], wary: bool = False) -> None:
        name, data = parse_sse(block)
        if data is None:
            return
        if data == self._end:
            self.over = self.done = True
        elif name == "error" or (wary and tells_error(data)):
            self._fail(UpstreamBroken("the upstream reported an error in the middle of its stream", raw=data))
        else:
            self._ask(data)
            try:
                parts.append(self._changed(data, name))
            except UpstreamBroken as error:
                self._fail(error)

    def _fail(self, failure: UpstreamBroken) -> None:
        """Ends the stream; what came before goes out first."""
        self.failure = failure
        self.over = True

    def _ask(self, data: bytes) -> None:
        if not self.done and self._complete is not None:
            self.done = self._complete(data)

    def _changed(self, data: bytes, name: str | None) -> Event[Any]:
        raw: bytes | None = data
        for splicer in self._splicers:
            raw = splicer.splice(raw)
            if raw is None:
                return self._parsed(data, name)
        if len(self._splicers) == 1:
            self._start = DATA + self._splicers[0].before
        return Event(UNREAD, raw, self._type, name)

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
