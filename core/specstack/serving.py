"""Running an application: one process, one event loop, a socket, and an orderly end."""

import asyncio
import gc
import logging
import socket
import ssl
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from specstack.give_back import kept_small
from specstack.http.dispatch import AsgiApp
from specstack.http.hosts import Doorkeeper, is_loopback
from specstack.startup import StartupError
from specstack.tls import server_context

if TYPE_CHECKING:
    import uvicorn

    from specstack.assembly import Application
    from specstack_api.run_config import ServerConfig

_BACKLOG = 2048
_BEFORE_ANNOUNCING = 1.0
"""Seconds for which the message that the server is ready waits for providers to say what they have."""
_TICK = 0.05
"""Seconds between two looks at the requests that are under way when the server is to stop."""
_LAST_WORDS = 2.0
"""Seconds after the grace period in which streams may send their error event."""

_log = logging.getLogger("specstack")


def serve(app: "Application", ready: Callable[[str], None], *, insecure: bool = False) -> None:
    """Serve until SIGINT or SIGTERM. `ready` is called with the base URL once requests are taken.

    Raises StartupError when the server cannot start, and when it would take requests of other machines
    without knowing who asks, unless `insecure` allows that.
    """
    settings = app.config.stack.server
    context = server_context(settings.tls) if settings.tls is not None else None
    anywhere = insecure or knows_callers(settings)
    listener = _listen(settings.host, settings.port, anywhere=anywhere)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(app, listener, context, ready))
    except KeyboardInterrupt:
        _log.info("stopped")
    finally:
        listener.close()


def knows_callers(settings: "ServerConfig") -> bool:
    """Whether everybody who is served has shown who he is: by a key, or by a certificate."""
    return settings.auth.provider_config is not None or (
        settings.tls is not None and settings.tls.cafile is not None
    )


def guarded(app: "Application", address: str) -> AsgiApp:
    """The started application as a listener on `address` may show it: to hosts and pages that it knows."""
    settings = app.config.stack.server
    hosts = settings.allowed_hosts
    if hosts is None:
        hosts = [] if is_loopback(address) else ["*"]
    names = None if "*" in hosts else hosts
    # Foreign pages cannot put a key into a request. A certificate goes along by itself.
    keyed = settings.auth.provider_config is not None
    origins = None if keyed else frozenset(settings.cors.allow_origins or ())
    return Doorkeeper(app.front, app.http.settings.errors, names, origins)


async def _serve(
    app: "Application",
    listener: socket.socket,
    context: ssl.SSLContext | None,
    ready: Callable[[str], None],
) -> None:
    import uvicorn

    from specstack.http.server import ServerProtocol

    await app.start()
    host, port = listener.getsockname()[:2]
    grace = app.config.stack.server.shutdown_grace_seconds
    config = uvicorn.Config(
        guarded(app, host),
        http=ServerProtocol,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(grace + _LAST_WORDS) + 1,
        ws_max_size=app.config.stack.server.body_limit_bytes,
        # Otherwise any process of this machine could say in a header which address it calls from.
        proxy_headers=False,
    )
    shown = f"[{host}]" if ":" in host else host
    if context is not None:
        config.ssl_context_factory = _always(context)
    scheme = "http" if context is None else "https"
    # What start-up made lives as long as the process: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    gc.enable()
    async with kept_small():
        await _server_class()(config, app, lambda: ready(f"{scheme}://{shown}:{port}")).serve([listener])


def _always(
    context: ssl.SSLContext,
) -> "Callable[[uvicorn.Config, Callable[[], ssl.SSLContext]], ssl.SSLContext]":
    def made(config: "uvicorn.Config", default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        return context

    return made


def _server_class() -> "Callable[[uvicorn.Config, Application, Callable[[], None]], uvicorn.Server]":
    import uvicorn

    class Server(uvicorn.Server):
        """Tells when it is ready; ends what is still running when the grace period is over."""

        def __init__(self, config: uvicorn.Config, app: "Application", ready: Callable[[], None]) -> None:
            super().__init__(config)
            self._app = app
            self._grace = app.config.stack.server.shutdown_grace_seconds
            self._drain_for = app.config.stack.server.shutdown_drain_seconds
            self._ready = ready
            self._announcing: asyncio.Task[None] | None = None

        async def _announce(self) -> None:
            # Requests are taken already; only the message waits for what providers have.
            await self._app.runtime.discover(_BEFORE_ANNOUNCING)
            self._ready()

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                self._announcing = asyncio.create_task(self._announce())

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
                await asyncio.sleep(_TICK)

        async def _end(self) -> None:
            await asyncio.sleep(self._drain_for + self._grace)
            if self.server_state.tasks:
                _log.warning("ending %d requests after %g s", len(self.server_state.tasks), self._grace)
            await self._app.stop()

    return Server


def _listen(host: str, port: int, *, anywhere: bool) -> socket.socket:
    """A listening socket, taken before anything slow happens. Raises StartupError.

    Unless it may listen `anywhere`, it takes loopback addresses alone.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        address: str = listener.getsockname()[0]
        # The address counts, not the name: a name may stand for anything.
        if not anywhere and not is_loopback(address):
            listener.close()
            raise StartupError(
                f"server.host: {host} takes requests from other machines, and nothing says who may ask: "
                "set server.auth in the run config (`specstack keys new` makes a key), or allow everybody "
                "with --insecure"
            )
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise StartupError(f"server: cannot listen on {host}:{port}: {_why(error)}") from None
    listener.setblocking(False)
    return listener


def _why(error: OSError) -> str:
    import errno

    if error.errno == errno.EADDRINUSE:
        return "another program does; stop it or choose a port with --port"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "not permitted; choose a port above 1023 with --port"
    return f"{error.strerror}; choose another address with --host"


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where there is one."""
    if sys.platform == "win32":
        return None
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


loop_factory = _loop_factory
"""For others who keep a loop of their own for an application."""
