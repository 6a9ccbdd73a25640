"""An app for schemathesis that starts from the same state every time."""

from __future__ import annotations

import asyncio
import atexit
import inspect
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
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


class _HerePortal:
    """What schemathesis calls apps through, without its thread: the loop runs while somebody waits for it.

    Two changes of thread for each call would take more time than the call.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        atexit.register(self._loop.close)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        async def run() -> Any:
            result = function(*args)
            return await result if inspect.isawaitable(result) else result

        return self._loop.run_until_complete(run())

    def start_task_soon(self, function: Callable[..., Coroutine[Any, Any, Any]]) -> _Task:
        return _Task(self._loop, self._loop.create_task(function()))


@dataclass
class _Task:
    _loop: asyncio.AbstractEventLoop
    _task: asyncio.Task[Any]

    def done(self) -> bool:
        return self._task.done()

    def result(self) -> Any:
        return self._task.result() if self._task.done() else self._loop.run_until_complete(self._task)


asgi._PORTAL = _HerePortal()  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]


@cache
def session_with(app: Fresh, max_stream_events: int) -> asgi.ASGIClient:
    """A session of calls to the app in this process. A call starts the app where it does not run.

    Schemathesis makes one for each call otherwise, which then looks for a proxy in the environment: that is
    a tenth of the time of a run.
    """
    session = asgi.get_client(app, max_stream_events=max_stream_events)
    session.trust_env = False
    return session.__enter__()
