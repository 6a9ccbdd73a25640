"""Ends a call whose client has gone or whose time is up, by cancelling the task that serves it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal
from weakref import WeakKeyDictionary

from specstack_wire import Cancellation

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

TICK = 0.2
"""Seconds between two looks at the calls in flight. Most calls are over before anybody looks, so that
they pay for neither a timer nor a task of their own."""


class Watch:
    """Watches one call from the moment its body has been read until `stop`.

    `reason` says why the task was cancelled: None means that somebody else did it. `began` says
    whether the reply's status is on its way.
    """

    __slots__ = ("_cancellation", "_expires", "_listener", "_receive", "_rounds", "_task", "began", "reason")

    def __init__(self, receive: Receive, cancellation: Cancellation, timeout: float | None) -> None:
        self.reason: Literal["gone", "timeout"] | None = None
        self.began = False
        self._receive = receive
        self._cancellation = cancellation
        self._task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        self._expires = None if timeout is None else loop.time() + timeout
        self._listener: asyncio.Task[None] | None = None
        known, rounds = _last
        self._rounds = rounds = rounds if known is loop and rounds is not None else _rounds_of(loop)
        rounds.watches.add(self)
        if not rounds.armed:
            rounds.arm(loop)

    def reply_began(self) -> None:
        """From now on only a disconnect ends the call: a long stream is no slow answer."""
        self.began = True

    def stop(self) -> None:
        """Ends the watch. The task is not cancelled after this."""
        self._rounds.discard(self)
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

    def look(self, now: float) -> None:
        """Starts to listen for a disconnect, and ends the call when its time is up."""
        if self._listener is None:
            self._listener = asyncio.get_running_loop().create_task(self._listen())
        if self._expires is not None and now >= self._expires and not self.began:
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


class _Rounds:
    """The calls in flight of one event loop, looked at every `TICK` seconds while there are any."""

    __slots__ = ("armed", "discard", "watches")

    def __init__(self) -> None:
        self.watches: set[Watch] = set()
        self.armed = False
        self.discard = self.watches.discard

    def arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self.armed = True
        loop.call_later(TICK, self._tick)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for watch in tuple(self.watches):
            watch.look(now)
        self.armed = False
        if self.watches:
            self.arm(loop)


_all_rounds: WeakKeyDictionary[asyncio.AbstractEventLoop, _Rounds] = WeakKeyDictionary()
_last: tuple[asyncio.AbstractEventLoop | None, _Rounds | None] = (None, None)


def _rounds_of(loop: asyncio.AbstractEventLoop) -> _Rounds:
    global _last
    rounds = _all_rounds.setdefault(loop, _Rounds())
    _last = (loop, rounds)
    return rounds
