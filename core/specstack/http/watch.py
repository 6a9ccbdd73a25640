"""Ends a call whose client has gone or whose time is up, by cancelling the task that serves it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal

from specstack_wire import Cancellation

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

GRACE = 0.2
"""Seconds before anybody listens for a disconnect: most calls are over by then and pay one timer only."""


class Watch:
    """Watches one call from the moment its body has been read until `stop`.

    `reason` says why the task was cancelled: None means that somebody else did it. `began` says
    whether the reply's status is on its way.
    """

    __slots__ = (
        "_cancellation",
        "_expires",
        "_listener",
        "_loop",
        "_receive",
        "_task",
        "_timer",
        "began",
        "reason",
    )

    def __init__(self, receive: Receive, cancellation: Cancellation, timeout: float | None) -> None:
        loop = asyncio.get_running_loop()
        self.reason: Literal["gone", "timeout"] | None = None
        self.began = False
        self._receive = receive
        self._cancellation = cancellation
        self._loop = loop
        self._task = asyncio.current_task(loop)
        self._expires = None if timeout is None else loop.time() + timeout
        self._listener: asyncio.Task[None] | None = None
        delay = GRACE if timeout is None or timeout > GRACE else timeout
        self._timer: asyncio.TimerHandle | None = loop.call_later(delay, self._begin)

    def reply_began(self) -> None:
        """From now on only a disconnect ends the call: a long stream is no slow answer."""
        self.began = True
        self._expires = None

    def stop(self) -> None:
        """Ends the watch. The task is not cancelled after this."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._listener is not None:
            self._listener.cancel()
            self._listener = None

    async def settle(self) -> None:
        """Takes back the cancellation of the current task, delivered or not, so that it can go on."""
        task = self._task
        if task is None or not task.cancelling():
            return
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        task.uncancel()

    def _begin(self) -> None:
        self._timer = None
        if self._listener is None:
            self._listener = self._loop.create_task(self._listen())
        if self._expires is None:
            return
        if self._expires > self._loop.time():
            self._timer = self._loop.call_at(self._expires, self._begin)
            return
        self._end("timeout")

    async def _listen(self) -> None:
        whole = 0
        while whole < 2:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._end("gone")
                return
            # An operation without a body leaves one for us to skip. A second whole body means that
            # this server never tells of a disconnect.
            whole += not message.get("more_body", False)

    def _end(self, reason: Literal["gone", "timeout"]) -> None:
        if self.reason is not None or self._task is None:
            return
        self.reason = reason
        self._cancellation.request()
        self._task.cancel()
