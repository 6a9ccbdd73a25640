"""Serves an ASGI app from a thread of the test process, with uvicorn as in production."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import uvicorn

from specstack.http.server import ServerProtocol

READY_WITHIN = 20.0
"""Seconds that an app may take to start, and as long to stop."""


@contextlib.contextmanager
def serving(app: Any, **config: Any) -> Iterator[str]:
    """The base URL of `app`, served on a loopback port until the block ends. `config` goes to uvicorn.

    The port is a free one unless `config` names it.

    Fails when the app does not start or does not stop.
    """
    settings: dict[str, Any] = {"port": 0, "http": ServerProtocol, "log_level": "critical", **config}
    server = uvicorn.Server(uvicorn.Config(app, **settings))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + READY_WITHIN
    while not server.started:
        assert thread.is_alive() and time.monotonic() < deadline, "the app did not start"
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(READY_WITHIN)
    assert not thread.is_alive(), "the app did not stop"
