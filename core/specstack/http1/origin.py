"""The connections to one server: kept while they are fresh, at most so many calls at once."""

import asyncio
from collections import deque

from specstack.http1.connection import Broken, Connection
from specstack.http1.dial import Target, dial

KEEP_ALIVE = 60.0
"""Seconds for which an idle connection is kept."""
SAME_MOMENT = 0.5
"""Seconds within which an upstream that closes a kept connection without a word is taken not to have worked
on the request: nearly always it had closed before, and the news was on its way. One that reads a request and
closes at once gets it twice."""
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})


class Origin:
    """One server's connections and the calls on them."""

    def __init__(self, target: Target, most: int) -> None:
        self._target = target
        self._free = most
        self._queue: deque[asyncio.Future[None]] = deque()
        self._idle: dict[Connection, None] = {}
        self._all: set[Connection] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._closed: Exception | None = None

    def enters(self) -> bool:
        """Take a place among the calls at once, if there is one."""
        if self._free > 0 and not self._queue:
            self._free -= 1
            return True
        return False

    async def enter(self) -> None:
        """Wait for a place; `leave` gives it back."""
        if self.enters():
            return
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.leave()  # the place came together with the cancellation
            else:
                self._queue.remove(turn)
            raise

    def leave(self) -> None:
        """Give a place back: to who waits longest, if anybody does."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    async def call(self, method: str, data: bytes, limit: float, *, whole: bool) -> Connection:
        """Send a request and wait `limit` seconds for its reply: all of it, or its head.

        Sends it again, once, where a kept connection turns out to be closed and the upstream has not begun to
        work on the request. Raises what `dial` and `Connection.answer` do.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        connection = self._kept(loop, began)
        if connection is None:
            connection = await self._dialled(loop, began, limit)
        try:
            connection.begin(data, whole=whole, bodyless=method == "HEAD")
            await connection.answer(began + limit)
            return connection
        except Broken:
            again = connection.used and not connection.answered and self._closed is None
            if not again or not (method in _IDEMPOTENT or loop.time() - began < SAME_MOMENT):
                raise
        except BaseException:
            connection.abort()
            raise
        connection = await self._dialled(loop, began, limit)
        try:
            connection.begin(data, whole=whole, bodyless=method == "HEAD")
            await connection.answer(began + limit)
        except BaseException:
            connection.abort()
            raise
        return connection

    def release(self, connection: Connection) -> None:
        """Keep a connection for the next call if it can serve one; else close it."""
        if self._closed is not None or not connection.rest():
            connection.abort()
            return
        self._idle[connection] = None
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(KEEP_ALIVE, self._sweep)

    def lost(self, connection: Connection) -> None:
        """A connection is closed."""
        self._idle.pop(connection, None)
        self._all.discard(connection)

    def close(self, why: Exception) -> None:
        """Close every connection, for good. Calls under way end with `why`."""
        self._closed = why
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        for connection in tuple(self._all):
            connection.abort(why)

    def _kept(self, loop: asyncio.AbstractEventLoop, now: float) -> Connection | None:
        while self._idle:
            connection, _ = self._idle.popitem()
            if not connection.closed and now - connection.since < KEEP_ALIVE and connection.loop is loop:
                return connection
            connection.abort()
        return None

    async def _dialled(self, loop: asyncio.AbstractEventLoop, began: float, limit: float) -> Connection:
        try:
            async with asyncio.timeout(began + limit - loop.time()):
                connection = await dial(self._target, self, loop)
        except TimeoutError:
            raise TimeoutError from None
        if self._closed is not None:
            connection.abort()
            raise self._closed
        self._all.add(connection)
        return connection

    def _sweep(self) -> None:
        """Close what has been idle for too long."""
        self._sweeping = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in tuple(self._idle):
            if now - connection.since >= KEEP_ALIVE:
                self._idle.pop(connection, None)
                connection.abort()
        if self._idle:
            self._sweeping = loop.call_later(KEEP_ALIVE / 2, self._sweep)
