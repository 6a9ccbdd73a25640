"""Replies on the wire: JSON, event streams, JSON lines, binary data and errors."""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from specstack.descriptors import StreamSpec
from specstack.foreign import is_failure
from specstack.http.errors import ErrorReply
from specstack_wire import Binary, Event, Stream
from specstack_wire.event import Burst
from specstack_wire.relay import close_source

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON_TYPE: Header = (b"content-type", b"application/json")
HEADERS_WITHIN = 1.0
"""Seconds after which a stream's headers go out even if there is no event yet. Until then a failure
of the first event can still be told with its own HTTP status."""

_CR = 13
_LF = 10
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(;[\x20-\x7e]*)?")


async def send_whole(send: Send, status: int, headers: list[Header], body: bytes) -> None:
    """A reply that is ready in memory."""
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, reply: ErrorReply, request_id: str, added: Sequence[Header] = ()) -> None:
    """An error reply, with the headers `added` to its own."""
    headers = [JSON_TYPE, (b"x-request-id", request_id.encode()), *reply.headers, *added]
    await send_whole(send, reply.status, headers, reply.body)


async def send_empty(send: Send, status: int, headers: list[Header]) -> None:
    """A reply without a body."""
    if status != 204:
        headers.append((b"content-length", b"0"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


class Framer:
    """How the events of one operation look on the wire."""

    __slots__ = ("_frame", "_property", "end", "media")

    def __init__(self, spec: StreamSpec) -> None:
        self.media = spec.media.encode()
        self._property = spec.event
        if spec.media == "text/event-stream":
            self._frame: Callable[[Event[Any]], bytes] = _sse if spec.event is None else self._named_sse
            self.end = b"" if spec.end is None else sse_frame(None, spec.end.encode())
        else:
            self._frame = _json_line
            self.end = b"" if spec.end is None else spec.end.encode() + b"\n"

    def frames(self, burst: Burst[Any]) -> bytes:
        """Events as they go out together."""
        frame = self._frame
        if frame is not _sse:
            return b"".join([frame(event) for event in burst.events])
        return b"".join(
            [part if type(part) is bytes else _sse(cast("Event[Any]", part)) for part in burst.parts]
        )

    def error(self, envelope: bytes) -> bytes:
        """An error in the middle of a stream; event streams with names call it `error`."""
        if self._frame == _json_line:
            return _one_line(envelope) + b"\n"
        return sse_frame(None if self._property is None else "error", envelope)

    def _named_sse(self, event: Event[Any]) -> bytes:
        name = event.name
        if name is None:
            value = _property_of(event.body, cast(str, self._property))
            name = value if isinstance(value, str) else None
        return sse_frame(name, event.raw)


def _property_of(body: Any, name: str) -> Any:
    return cast("dict[str, Any]", body).get(name) if isinstance(body, dict) else getattr(body, name, None)


def sse_frame(name: str | None, data: bytes) -> bytes:
    """One server-sent event."""
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(data.splitlines())
    if name is None:
        return b"data: " + data + b"\n\n"
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def _sse(event: Event[Any]) -> bytes:
    data = event.raw
    if event.name is None and _LF not in data and _CR not in data:
        return b"data: " + data + b"\n\n"
    return sse_frame(event.name, data)


def _json_line(event: Event[Any]) -> bytes:
    return _one_line(event.raw) + b"\n"


def _one_line(raw: bytes) -> bytes:
    """JSON without line breaks, which stand between values only: within strings they are escaped."""
    return raw.replace(b"\r", b"").replace(b"\n", b"") if b"\n" in raw or b"\r" in raw else raw


class _Head:
    """Sends the start of a reply once: with the first event, or earlier when that takes long."""

    __slots__ = ("_early", "_message", "_on_start", "_send", "started")

    def __init__(self, send: Send, message: MutableMapping[str, Any], on_start: Callable[[], None]) -> None:
        self._send = send
        self._message = message
        self._on_start = on_start
        self._early: asyncio.Task[None] | None = None
        self.started = False

    def go_early(self) -> None:
        self.started = True
        self._on_start()
        self._early = asyncio.get_running_loop().create_task(self._start())

    async def go(self) -> None:
        if not self.started:
            self.started = True
            self._on_start()
            await self._send(self._message)
        elif self._early is not None:
            early, self._early = self._early, None
            await early

    async def _start(self) -> None:
        await self._send(self._message)
        # Servers write headers with the first piece of the body.
        await self._send({"type": "http.response.body", "body": b"", "more_body": True})


async def send_stream(
    send: Send,
    stream: Stream[Any],
    framer: Framer,
    headers: list[Header],
    on_start: Callable[[], None],
    failed: Callable[[BaseException], ErrorReply],
    on_events: Callable[[Burst[Any]], None] | None = None,
) -> None:
    """A stream of events, sent as they come, in one piece what came together; closes the stream in any case.

    `on_start` is called when the reply can no longer change its status. A failure before that is
    raised to the caller; one after it becomes an error event, and the closing sentinel is left out.
    `on_events` sees events before they are sent.
    """
    headers += (
        (b"content-type", framer.media),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),
    )
    head = _Head(send, {"type": "http.response.start", "status": 200, "headers": headers}, on_start)
    loop = asyncio.get_running_loop()
    timer = loop.call_later(HEADERS_WITHIN, head.go_early)
    frames = framer.frames
    last = framer.end
    piece = b""
    try:
        async for burst in stream.bursts():
            piece = frames(burst)
            if on_events is not None:
                on_events(burst)
            if timer is not None:
                timer.cancel()
                timer = None
                await head.go()
            if not burst.last:  # the end is here already and goes along
                ready, piece = piece, b""
                await send({"type": "http.response.body", "body": ready, "more_body": True})
    except (Exception, asyncio.CancelledError) as exc:
        if not head.started or not is_failure(exc):
            raise
        last = framer.error(failed(exc).body)
    finally:
        if timer is not None:
            timer.cancel()
        await stream.aclose()
    await head.go()
    await send({"type": "http.response.body", "body": piece + last, "more_body": False})


async def send_binary(
    send: Send, binary: Binary, status: int, headers: list[Header], on_start: Callable[[], None]
) -> None:
    """A binary reply. `on_start` is called when the reply can no longer become an error."""
    media = binary.media_type if _MEDIA_TYPE.fullmatch(binary.media_type) else "application/octet-stream"
    headers.append((b"content-type", media.encode()))
    if binary.filename is not None:
        headers.append((b"content-disposition", disposition(binary.filename)))
    source = binary.source
    if isinstance(source, bytes):
        on_start()
        await send_whole(send, status, headers, source)
        return
    length = binary.length
    if isinstance(source, Path):
        length = (await asyncio.to_thread(source.stat)).st_size
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    chunks = binary.chunks()
    try:
        piece = await anext(chunks, None)
        on_start()
        await send({"type": "http.response.start", "status": status, "headers": headers})
        while piece is not None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            piece = await anext(chunks, None)
        await send({"type": "http.response.body", "body": b""})
    finally:
        await close_source(chunks)
        await close_source(source)


def disposition(filename: str) -> bytes:
    """A content-disposition header for a download under any file name."""
    plain = "".join(char for char in filename.replace("\\", "/").rpartition("/")[2] if char.isprintable())
    if plain.isascii() and '"' not in plain:
        return b'attachment; filename="' + plain.encode() + b'"'
    fallback = plain.encode("ascii", "replace").replace(b"?", b"_").replace(b'"', b"_")
    return b'attachment; filename="' + fallback + b"\"; filename*=UTF-8''" + quote(plain, safe="").encode()
