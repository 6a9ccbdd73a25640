"""uvicorn's server as a process of ours runs it: when it says that it is ready, and how it ends."""

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn

from specstack.http.server import ServerProtocol

if TYPE_CHECKING:
    from specstack.assembly import Application
    from specstack.workers.worker import Worker

BEFORE_ANNOUNCING = 1.0
"""Seconds for which the message that the server is ready waits for providers to say what they have."""
TICK = 0.05
"""Seconds between two looks at the requests that are under way when the server is to stop."""
LAST_WORDS = 2.0
"""Seconds after the grace period in which streams may send their error event."""

_log = logging.getLogger("specstack")


class Server(uvicorn.Server):
    """Tells when it is ready; ends what is still running when the grace period is over."""

    def __init__(
        self,
        config: uvicorn.Config,
        app: "Application",
        ready: Callable[[], None],
        worker: "Worker | None",
    ) -> None:
        super().__init__(config)
        self._app = app
        self._worker = worker
        self._grace = app.config.stack.server.shutdown_grace_seconds
        self._drain_for = app.config.stack.server.shutdown_drain_seconds
        self._ready = ready
        self._announcing: asyncio.Task[None] | None = None

    async def _announce(self) -> None:
        # Requests are taken already; only the message waits for what providers have.
        await self._app.runtime.discover(BEFORE_ANNOUNCING)
        self._ready()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets if self._worker is None else [])
        if self.started:
            if self._worker is not None:
                self._join(self._worker)
            self._announcing = asyncio.create_task(self._announce())

    def _join(self, worker: "Worker") -> None:
        """Take connections beside other workers."""
        connections = self.server_state.connections
        made = partial(
            ServerProtocol, self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        door: Any = worker.opened(made, lambda: len(connections), self.config.ssl)
        self.servers.append(door)
        worker.watch(self)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # A terminal tells all processes of Ctrl-C, and the supervisor tells its workers what that means.
        if self._worker is None or sig != signal.SIGINT:
            super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._announcing is not None:
            self._announcing.cancel()
        self._app.retire()
        ending = asyncio.create_task(self._end())
        await self._drain()
        try:
            await super().shutdown(sockets)
        finally:
            ending.cancel()

    async def _drain(self) -> None:
        """Take requests still, which are told that the server is not ready, until those under way end."""
        under_way = set(self.server_state.tasks)
        began = time.monotonic()
        while not self.force_exit:
            took = time.monotonic() - began
            busy = any(not one.done() for one in under_way) and took < self._drain_for + self._grace
            if not busy and took >= self._drain_for:
                return
            await asyncio.sleep(TICK)

    async def _end(self) -> None:
        await asyncio.sleep(self._drain_for + self._grace)
        if self.server_state.tasks:
            _log.warning("ending %d requests after %g s", len(self.server_state.tasks), self._grace)
        await self._app.stop()
