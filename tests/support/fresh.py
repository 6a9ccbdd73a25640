"""An app for schemathesis that starts from the same state every time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager
from functools import cache
from typing import Any

from schemathesis.python import asgi

Asgi = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]


class Fresh:
    """An ASGI app that is made anew with each lifespan. `started` gives it running and filled."""

    def __init__(self, started: Callable[[], AbstractAsyncContextManager[Asgi]]) -> None:
        self.started = started
        self._app: Asgi | None = None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            assert self._app is not None, "the lifespan has not begun"
            await self._app(scope, receive, send)
            return
        await receive()
        async with self.started() as self._app:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


@cache
def session_with(app: Fresh, max_stream_events: int) -> asgi.ASGIClient:
    """A session of calls to the app in this process. A call starts the app where it does not run.

    Schemathesis makes one for each call otherwise, which then looks for a proxy in the environment: a tenth of
    the time of a run.
    """
    session = asgi.get_client(app, max_stream_events=max_stream_events)
    session.trust_env = False
    return session.__enter__()
