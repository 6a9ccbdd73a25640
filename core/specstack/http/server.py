"""HTTP/1.1 on a socket: uvicorn's protocol with a shorter way from bytes to call and back.

What differs: head and body of a reply leave in one write, a connection has one lazy timer instead of one per
request, what most requests and replies have in common is not taken apart again, and heads have a limit.
Everything else (WebSockets, pipelining, flow control, shutdown) is uvicorn's.
"""

import asyncio
import re
import sys
from collections.abc import MutableMapping
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

Message = MutableMapping[str, Any]

MOST_QUIET = 1 << 16
"""Bytes that may come without any of a body or the end of a request: no head or trailer is as long."""

_NAME = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_SAID_AGAIN = frozenset({b"content-type", b"cache-control", b"x-accel-buffering", b"vary"})
_MOST_LINES = 256
_HASH = ord("#")

_SHORT = 64

_lines: dict[tuple[bytes, bytes], bytes] = {}
_places: dict[bytes, tuple[str, bytes, bytes]] = {}
_common: tuple[object, bytes] = (None, b"")


class ServerProtocol(HttpToolsProtocol):
    """One connection of a client."""

    _idle_since = 0.0
    _moved = False
    _quiet = 0
    _begun: "Cycle | None" = None

    def connection_lost(self, exc: Exception | None) -> None:
        timer, self.timeout_keep_alive_task = self.timeout_keep_alive_task, None
        if timer is not None:
            timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._idle_since = 0.0
        parser: Any = self.parser
        try:
            parser.feed_data(data)
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("Invalid HTTP request received.")
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            else:
                self._unsupported_upgrade_warning()
        if self._begun is not None:
            cycle, self._begun = self._begun, None
            _begin(cycle, self)
        if self._moved:
            self._moved = False
            self._quiet = 0
            return
        self._quiet += len(data)
        if self._quiet > MOST_QUIET and not self.transport.is_closing():
            self.logger.warning("Closed a connection: the head of its request is too long.")
            self.send_400_response("The head of the request is too long.")

    # -- the parser's side -----------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        url, headers = self.url, self.headers
        parser: Any = self.parser
        upgrades = parser.should_upgrade() and self._should_upgrade()
        place = _places.get(url) or _place(url)
        if upgrades or self.limit_concurrency is not None or self.root_path or place is None:
            super().on_message_begin()
            self.url, self.headers = url, headers
            self.scope["headers"] = headers
            super().on_headers_complete()
            return
        version: str = parser.get_http_version()
        keep_alive: bool = parser.should_keep_alive() and version != "1.0"
        path, raw_path, query = place
        scope: Any = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "method": parser.get_method().decode("ascii"),
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": "",
            "headers": headers,
            "state": self.app_state.copy(),
        }
        self.scope = scope
        self.headers = []  # where trailers go: what a head did not say they must not say either
        before: Any = self.cycle
        cycle = Cycle(self, scope, keep_alive, self.expect_100_continue)
        self.cycle = cycle
        if before is None or before.response_complete:
            self._begun = cycle
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, _app_of(self)))

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        self._moved = True
        if type(cycle) is not Cycle:
            super().on_body(body)
            return
        if cycle.response_complete:
            return
        cycle.received = cycle.received + body if cycle.received else body
        if len(cycle.received) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        self._moved = True
        cycle = self.cycle
        if type(cycle) is not Cycle:
            super().on_message_complete()
        elif not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()

    # -- keeping the connection ------------------------------------------------------------

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self._look)

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = 0.0

    def _look(self) -> None:
        """Close the connection if it has been idle for long enough, or look again when it may be."""
        self.timeout_keep_alive_task = None
        if not self._idle_since:
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0.001:
            self.timeout_keep_alive_task = self.loop.call_later(left, self._look)
        else:
            self.timeout_keep_alive_handler()


class Cycle(RequestResponseCycle):
    """One request and its reply."""

    access_log = False
    disconnected = False
    more_body = True
    response_started = False
    response_complete = False
    chunked_encoding: bool | None = None
    expected_content_length = 0
    received = b""
    task: "asyncio.Task[None] | None" = None
    _head = b""

    def __init__(
        self, protocol: ServerProtocol, scope: Any, keep_alive: bool, expect_100_continue: bool
    ) -> None:
        self.scope = scope
        self.protocol = protocol
        self.transport = protocol.transport
        self.flow = protocol.flow
        self.logger = protocol.logger
        self.message_event: Any = _Bell()
        self.on_response = protocol.on_response_complete
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = expect_100_continue

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
            if not _NAME.fullmatch(name):
                raise RuntimeError("Invalid HTTP header name.")
            if _CONTROL.search(value):
                raise RuntimeError("Invalid HTTP header value.")
            name = name.lower()
            line = b"%b: %b\r\n" % (name, value)
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


class _Bell:
    """An event that mostly has happened before anybody waits for it: it makes its machinery only then."""

    rung = False
    _real: asyncio.Event | None = None

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


if sys.version_info >= (3, 12):

    def _begin(cycle: Cycle, protocol: ServerProtocol) -> None:
        """Serve a request at once, as far as that goes without waiting."""
        task = asyncio.Task(cycle.run_asgi(_app_of(protocol)), loop=protocol.loop, eager_start=True)
        if not task.done():
            cycle.task = task
            protocol.tasks.add(task)

else:

    def _begin(cycle: Cycle, protocol: ServerProtocol) -> None:
        """Serve a request."""
        task = cycle.task = protocol.loop.create_task(cycle.run_asgi(_app_of(protocol)))
        protocol.tasks.add(task)


def _app_of(protocol: ServerProtocol) -> ASGI3Application:
    # Its declaration names other kinds of apps too, which our servers are not.
    return cast("ASGI3Application", protocol.app)


def _nothing() -> None:
    """A reply is over, and its connection is another's."""


def _common_lines(headers: list[tuple[bytes, bytes]]) -> bytes:
    """The headers of all replies, such as the date. The server makes a new list when they change."""
    global _common
    known, lines = _common
    if known is not headers:
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        _common = (headers, lines)
    return lines


def _place(url: bytes) -> tuple[str, bytes, bytes] | None:
    """Path, path as it came, and query of a request target; None when it is anything else."""
    if not url.startswith(b"/") or _HASH in url or url.startswith(b"//"):
        return None
    raw_path, _, query = url.partition(b"?")
    path = raw_path.decode("ascii")
    place = unquote(path) if "%" in path else path, raw_path, query
    if len(_places) < _MOST_LINES and len(url) <= _SHORT:
        _places[url] = place
    return place
