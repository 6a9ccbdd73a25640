"""Running an application: a socket, an event loop in one process or several, and an orderly end."""

import asyncio
import gc
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from specstack.give_back import kept_small
from specstack.http.dispatch import AsgiApp
from specstack.http.hosts import Doorkeeper, is_loopback
from specstack.startup import StartupError
from specstack.tls import server_context

if TYPE_CHECKING:
    import uvicorn

    from specstack.assembly import Application
    from specstack.workers.worker import Worker
    from specstack_api.run_config import ServerConfig

_BACKLOG = 2048

_log = logging.getLogger("specstack")


def serve(
    app: "Application",
    describe: Callable[[str], str],
    tell: Callable[[str], None],
    *,
    insecure: bool = False,
) -> None:
    """Serve until SIGINT or SIGTERM, with as many processes as the run config says.

    Once requests are taken, `tell` gets what `describe` says of the base URL; that is called where the
    application runs. Raises StartupError when the server cannot start, and when it would take requests of
    other machines without knowing who asks, unless `insecure` allows that.
    """
    settings = app.config.stack.server
    context = server_context(settings.tls) if settings.tls is not None else None
    anywhere = insecure or knows_callers(settings)
    if settings.workers > 1:
        _check_workers(app)
    listener = _listen(settings.host, settings.port, anywhere=anywhere)
    try:
        if settings.workers > 1:
            _serve_with_workers(app, listener, context, describe, tell)
        else:
            _run(app, listener, context, lambda url: tell(describe(url)))
    except KeyboardInterrupt:
        _log.info("stopped")
    finally:
        listener.close()


def _run(
    app: "Application",
    listener: socket.socket,
    context: ssl.SSLContext | None,
    ready: Callable[[str], None],
    worker: "Worker | None" = None,
) -> None:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(app, listener, context, ready, worker))


def _check_workers(app: "Application") -> None:
    """Whether an application can be served by several processes. Raises StartupError."""
    if not hasattr(os, "fork"):
        raise StartupError("server.workers: several workers need a system that can fork; say --workers 1")
    if app.recording:
        raise StartupError(
            "server.workers: calls are recorded or replayed in their order, by one process; say --workers 1"
        )
    workers = app.config.stack.server.workers
    for one in app.config.providers:
        if one.spec.provider_type.startswith("inline::"):
            _log.warning(
                "each of the %d workers runs the provider %s (%s) for itself: what it loads is in memory "
                "%d times, and all compute on the same cores",
                *(workers, one.provider_id, one.spec.provider_type, workers),
            )


def _serve_with_workers(
    app: "Application",
    listener: socket.socket,
    context: ssl.SSLContext | None,
    describe: Callable[[str], str],
    tell: Callable[[str], None],
) -> None:
    from specstack.workers.supervisor import Supervisor

    def work(worker: "Worker") -> None:
        app.seat = worker.seat

        def ready(url: str) -> None:
            if worker.seat.number == 1:
                worker.say(describe(url))

        _run(app, listener, context, ready, worker)

    with _meeting_place(app) as folder:
        ended = Supervisor(listener, app.config.stack.server.workers, work, tell, folder).run()
    if ended == signal.SIGINT:
        raise KeyboardInterrupt
    # As one process would have ended.
    signal.signal(ended, signal.SIG_DFL)
    signal.raise_signal(ended)


@contextmanager
def _meeting_place(app: "Application") -> Generator[Path | None]:
    """A directory of this server's processes, if they need one: to tell metrics that are asked of any."""
    if not app.config.stack.telemetry.prometheus:
        yield None
        return
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="specstack-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


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
    worker: "Worker | None",
) -> None:
    import uvicorn

    from specstack.http.server import ServerProtocol
    from specstack.server_process import LAST_WORDS, Server

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
        timeout_graceful_shutdown=int(grace + LAST_WORDS) + 1,
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
        await Server(config, app, lambda: ready(f"{scheme}://{shown}:{port}"), worker).serve([listener])


def _always(
    context: ssl.SSLContext,
) -> "Callable[[uvicorn.Config, Callable[[], ssl.SSLContext]], ssl.SSLContext]":
    def made(config: "uvicorn.Config", default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        return context

    return made


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
