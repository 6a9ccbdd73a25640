"""HTTP/1.1 on a socket: uvicorn's protocol with a shorter way from bytes to call and back.

What differs: a request is served within the read that brought it, as far as that goes without waiting; head
and body of a reply leave in one write; a connection has one lazy timer instead of one per request; what most
requests and replies have in common is not taken apart again; heads have a limit, and trailers are no headers.
Everything else (WebSockets, pipelining, flow control, shutdown) is uvicorn's.
"""

import asyncio
import sys
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from specstack.http.cycle import Cycle

MOST_QUIET = 1 << 16
"""Bytes that may come without any of a body or the end of a request: no head or trailer is as long."""

MOST_BEHIND = 1 << 16
"""Bytes that are still read after a request that waits for the one before it, so that a client that
leaves is noticed. More stay with the client until all of its waiting requests have begun."""

_HASH = ord("#")
_MOST_PLACES, _LONGEST_PLACE = 256, 64
"""How many request targets are kept taken apart, and of how many bytes each at most."""

_places: dict[bytes, tuple[str, bytes, bytes]] = {}


class Intake(FlowControl):
    """Flow control that does not read on while as much waits as may wait, whoever asks for it."""

    full = False

    def resume_reading(self) -> None:
        if self.read_paused and not self.full:
            super().resume_reading()


class ServerProtocol(HttpToolsProtocol):
    """One connection of a client."""

    _idle_since = 0.0
    _moved = False
    _quiet = 0
    _begun: "Cycle | None" = None
    _running: RequestResponseCycle | None = None  # known only if others wait for it: else it is `cycle`
    _behind = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self.flow = self._intake = Intake(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        timer, self.timeout_keep_alive_task = self.timeout_keep_alive_task, None
        if timer is not None:
            timer.cancel()
        running, self._running = self._running, None
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._idle_since = 0.0
        parser: Any = self.parser
        waiting = len(self.pipeline)
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
        if self.pipeline:
            self._read_on(len(data) if waiting else 0)
        if self._moved:
            self._moved = False
            self._quiet = 0
            return
        self._quiet += len(data)
        if self._quiet > MOST_QUIET and not self.transport.is_closing():
            self.logger.warning("Closed a connection: the head of its request is too long.")
            self.send_400_response("The head of the request is too long.")

    def _read_on(self, count: int) -> None:
        """Read on although a request waits, or no longer: `count` more bytes have come meanwhile."""
        if self.transport.is_closing():
            return
        self._behind += count
        if self._behind <= MOST_BEHIND:
            self.flow.resume_reading()
            return
        self._intake.full = True
        self.flow.pause_reading()

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
        before: Any = self.cycle
        waits = before is not None and not before.response_complete
        if waits and not self.pipeline:
            self._running = before
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
        cycle = Cycle(self, scope, keep_alive, self.expect_100_continue)
        self.cycle = cycle
        if waits:
            self.pipeline.appendleft((cycle, _app_of(self)))
        else:
            self._begun = cycle

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
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._running = cycle
            if not self.pipeline:
                self._behind = 0
                self._intake.full = False
                self.flow.resume_reading()
            self._start_asgi_task(cycle, app)
            return
        self.flow.resume_reading()
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


def _place(url: bytes) -> tuple[str, bytes, bytes] | None:
    """Path, path as it came, and query of a request target; None when it is anything else."""
    if not url.startswith(b"/") or _HASH in url or url.startswith(b"//"):
        return None
    raw_path, _, query = url.partition(b"?")
    path = raw_path.decode("ascii")
    place = unquote(path) if "%" in path else path, raw_path, query
    if len(_places) < _MOST_PLACES and len(url) <= _LONGEST_PLACE:
        _places[url] = place
    return place
