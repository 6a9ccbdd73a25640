"""One request on a server's connection, and its reply as bytes: uvicorn's cycle with a shorter way."""

import asyncio
import re
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

_NAME = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_SAID_AGAIN = frozenset({b"content-type", b"cache-control", b"x-accel-buffering", b"vary"})
_MOST_LINES = 256

_lines: dict[tuple[bytes, bytes], bytes] = {}
_names: dict[bytes, tuple[bytes, bytes]] = {}
_common: tuple[object, bytes] = (None, b"")


class Cycle(RequestResponseCycle):
    """One request and its reply."""

    def __init__(
        self, protocol: HttpToolsProtocol, scope: Any, keep_alive: bool, expect_100_continue: bool
    ) -> None:
        self.scope = scope
        self.protocol = protocol
        self.transport = protocol.transport
        self.flow = protocol.flow
        self.logger = protocol.logger
        self.message_event: Any = Bell()
        self.on_response = protocol.on_response_complete
        self.disconnected = False
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = expect_100_continue
        self.received = b""
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self.chunked_encoding = None
        self.expected_content_length = 0
        self.task: asyncio.Task[None] | None = None
        self._head = b""

    async def run_asgi(self, app: ASGI3Application) -> None:
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException as error:
            self.logger.error("Exception in ASGI application\n", exc_info=error)
            if self.response_started:
                self.transport.close()
            else:
                await self.send_500_response()
        else:
            if not (self.response_complete or self.disconnected):
                await self._give_up()
        finally:
            self.on_response = _nothing
            if self.task is not None:
                # Not by a callback of the task: the loop would go round once more for it.
                self.protocol.tasks.discard(self.task)
                self.task = None

    async def _give_up(self) -> None:
        """The app has returned and left the reply unfinished."""
        if self.response_started:
            self.logger.error("ASGI callable returned without completing response.")
            self.transport.close()
        else:
            self.logger.error("ASGI callable returned without starting response.")
            await self.send_500_response()

    async def receive(self) -> Any:
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            if self.message_event.rung:
                self.message_event.rung = False
            else:
                await self.message_event.wait()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self.received = self.received, b""
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: Any) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if not self.response_started:
            if kind != "http.response.start":
                raise RuntimeError(f"Expected ASGI message 'http.response.start', but got '{kind}'.")
            self.response_started = True
            self.waiting_for_100_continue = False
            # It leaves together with the first piece of the body.
            self._head = self._first_lines(message["status"], message.get("headers", ()))
            return
        if self.response_complete:
            raise RuntimeError(f"Unexpected ASGI message '{kind}' sent, after response already completed.")
        if kind != "http.response.body":
            raise RuntimeError(f"Expected ASGI message 'http.response.body', but got '{kind}'.")
        more: bool = message.get("more_body", False)
        data = self._framed(message.get("body", b""), more)
        if self._head:
            data = self._head + data
            self._head = b""
        if data:
            self.transport.write(data)
        if more:
            return
        if self.expected_content_length != 0:
            raise RuntimeError("Response content shorter than Content-Length")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def _framed(self, body: bytes, more: bool) -> bytes:
        """A piece of the body as it stands on the wire."""
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            return b""
        if self.chunked_encoding:
            if not body:
                return b"" if more else b"0\r\n\r\n"
            return b"%x\r\n%b\r\n%b" % (len(body), body, b"" if more else b"0\r\n\r\n")
        if len(body) > self.expected_content_length:
            raise RuntimeError("Response content longer than Content-Length")
        self.expected_content_length -= len(body)
        return body

    def _first_lines(self, status: int, headers: Any) -> bytes:
        """Status line and headers as bytes; notes how the body is framed."""
        lines = [STATUS_LINE[status], _common_lines(self.protocol.server_state.default_headers)]
        closing = False
        for header in headers:
            line = _lines.get(header)
            if line is not None:
                lines.append(line)
                continue
            name, value = header
            name, start = _names.get(name) or _named(name)
            # Numbers and ids need no closer look.
            if not value.replace(b"_", b"").isalnum() and _CONTROL.search(value):
                raise RuntimeError("Invalid HTTP header value.")
            line = start + value + b"\r\n"
            lines.append(line)
            if name in _SAID_AGAIN:
                if len(_lines) < _MOST_LINES:
                    _lines[header] = line
            elif name == b"content-length":
                if self.chunked_encoding is None:
                    self.expected_content_length = int(value)
                    self.chunked_encoding = False
            elif name == b"transfer-encoding" and value.lower() == b"chunked":
                self.expected_content_length = 0
                self.chunked_encoding = True
            elif name == b"connection" and b"close" in {one.strip() for one in value.lower().split(b",")}:
                self.keep_alive = False
                closing = True
        if not self.keep_alive and not closing:
            lines.append(b"connection: close\r\n")
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in (204, 304):
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)


class Bell:
    """An event that mostly has happened before anybody waits for it: it makes its machinery only then."""

    __slots__ = ("_real", "rung")

    def __init__(self) -> None:
        self.rung = False
        self._real: asyncio.Event | None = None

    def set(self) -> None:
        if self._real is None:
            self.rung = True
        else:
            self._real.set()

    async def wait(self) -> None:
        """Wait for the next ring."""
        if self._real is None:
            self._real = asyncio.Event()
        await self._real.wait()
        self._real.clear()


def _nothing() -> None:
    """A reply is over, and its connection is another's."""


def _named(name: bytes) -> tuple[bytes, bytes]:
    """A header's name in lower case, and its line up to the value. Raises RuntimeError for no name."""
    if not _NAME.fullmatch(name):
        raise RuntimeError("Invalid HTTP header name.")
    lower = name.lower()
    named = lower, lower + b": "
    if len(_names) < _MOST_LINES:
        _names[name] = named
    return named


def _common_lines(headers: list[tuple[bytes, bytes]]) -> bytes:
    """The headers of all replies, such as the date. The server makes a new list when they change."""
    global _common
    known, lines = _common
    if known is not headers:
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        _common = (headers, lines)
    return lines
