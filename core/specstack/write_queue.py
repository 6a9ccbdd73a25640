"""A bounded queue before a slow store: who puts something in does not wait, one task writes batches."""

import asyncio
import logging
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from typing import Generic, TypeVar

from specstack_wire import StorageUnavailable

T = TypeVar("T")
R = TypeVar("R")

WAIT_FOR_ROOM = 30.0
"""Seconds that `room` waits."""
BATCH_BYTES = 1 << 20
"""A batch that has reached this is not made larger."""
QUIET = 60.0
"""Seconds between two messages of one kind in the log."""
_RETRY_FIRST, _RETRY_LAST = 0.1, 5.0
"""Seconds between attempts to write, growing from the one to the other."""

_log = logging.getLogger("specstack.storage")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """`rows` and `size` (in bytes) bound what waits, `batch` what is written at once.

    A row waits `interval` seconds for others. Closing takes at most `flush` seconds. With `wait`, `room`
    holds back who comes while the queue is full, and what is put in then is taken all the same.
    """

    rows: int
    size: int
    batch: int
    interval: float
    flush: float
    wait: bool = False


@dataclass(slots=True)
class QueueCounts:
    """What became of the rows since the start, and what waits now.

    `written`; `dropped` because the queue was full or the row larger than it; `refused` for what they hold;
    `lost` because the time to write them was over or they came when the queue was closed. `failures` are
    attempts to write that met a store which was away. `rows` and `size` (in bytes) are waiting or being
    written now.
    """

    written: int = 0
    dropped: int = 0
    refused: int = 0
    lost: int = 0
    failures: int = 0
    rows: int = 0
    size: int = 0


class WriteQueue(Generic[T, R]):
    """Rows on their way to a store, in their order.

    `prepare` makes of what was put in what is written; an item that cannot be read gives nothing. `write`
    raises StorageUnavailable when the same rows may be written later, and anything else when one of
    them can never be. Neither `put` nor the start of the writing task wait; both need a running event loop.
    """

    def __init__(
        self,
        what: str,
        limits: QueueLimits,
        prepare: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        write: Callable[[Sequence[R]], Awaitable[None]],
    ) -> None:
        self._counts = QueueCounts()
        self._what = what
        self._limits = limits
        self._prepare = prepare
        self._write = write
        # What waits, oldest first, and how many bytes each has.
        self._items: list[T] = []
        self._sizes: list[int] = []
        # Bytes that wait or are being written; rows that are being written, and how many may wait besides.
        self._size = 0
        self._writing = 0
        self._places = limits.rows
        # Of so many waiting rows the task wants to know.
        self._told_of = frozenset((1, limits.batch))
        self._done = 0
        self._task: asyncio.Task[None] | None = None
        self._some = asyncio.Event()
        self._enough = asyncio.Event()
        self._settling: list[tuple[int, asyncio.Future[None]]] = []
        self._catching_up: set[asyncio.Future[None]] = set()
        self._away: str | None = None
        self._again = asyncio.Event()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed = False
        self._drops = _Notice("%d %s were not kept: the queue before the database is full")
        self._late = _Notice("%d %s were not kept: the server is stopping")
        self._unread = _Notice("%d %s were not kept: they cannot be read or have no usable id")
        self._failing = _Notice("%d attempts to write %s failed and are repeated: %s")

    def put(self, item: T, size: int) -> bool:
        """Put in an item of so many bytes. False when there is no room; then it is counted as dropped."""
        items = self._items
        many, total = len(items), self._size + size
        if (many >= self._places or total > self._limits.size) and not self._taken_beyond(size):
            return False
        self._size = total
        items.append(item)
        self._sizes.append(size)
        if many + 1 in self._told_of:
            self._tell(many + 1)
        return True

    @property
    def counts(self) -> QueueCounts:
        """What became of the rows: one object, brought up to date."""
        counts = self._counts
        counts.rows, counts.size = self._rows, self._size
        return counts

    @property
    def _rows(self) -> int:
        return len(self._items) + self._writing

    def _tell(self, many: int) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name=f"write {self._what}")
        if many == 1:
            self._some.set()
        if many == self._limits.batch:
            self._enough.set()

    def _taken_beyond(self, size: int) -> bool:
        """Whether an item is put in though there is no room for it; counts it if not."""
        if self._closed:
            self._counts.lost += 1
            self._late.count(self._what)
            return False
        if self._limits.wait and size <= self._limits.size:
            return True
        self._counts.dropped += 1
        self._drops.count(self._what)
        return False

    async def room(self) -> None:
        """Wait until there is room. Raises StorageUnavailable when that takes too long."""
        try:
            async with asyncio.timeout(WAIT_FOR_ROOM):
                while self._full():
                    waiter = asyncio.get_running_loop().create_future()
                    self._waiting.append(waiter)
                    await waiter
        except TimeoutError:
            message = f"The database is behind with keeping {self._what}. Try again later."
            raise StorageUnavailable(message, message=message, headers={"retry-after": "5"}) from None

    async def settled(self, limit: float) -> None:
        """Have everything written that was put in before; wait at most `limit` seconds."""
        if self._rows:
            await asyncio.wait([self._waiter()], timeout=limit)

    async def caught_up(self, limit: float) -> None:
        """The same for who cannot go on without it: raises StorageUnavailable as soon as writing fails.

        When it has failed before, that is at once, and it is tried again meanwhile.
        """
        if not self._rows:
            return
        if self._away is None:
            waiter = self._waiter()
            self._catching_up.add(waiter)
            await asyncio.wait([waiter], timeout=limit)
            self._catching_up.discard(waiter)
        if self._away is not None:
            self._again.set()
            raise StorageUnavailable(self._away)

    def _waiter(self) -> asyncio.Future[None]:
        """Is done when everything is written that was put in so far."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._settling.append((self._done + self._rows, waiter))
        self._enough.set()
        return waiter

    async def aclose(self) -> None:
        """Write what is left, within the limit; nothing can be put in any more."""
        self._closed = True
        self._places = 0
        task, self._task = self._task, None
        if task is None:
            return
        await self.settled(self._limits.flush)
        task.cancel()
        await asyncio.wait([task])
        left = self._rows
        if left:
            self._counts.lost += left
            _log.error("%d %s are lost: they could not be written in time", left, self._what)
        self._drops.rest(self._what)
        self._unread.rest(self._what)

    # -- the task --------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            if not self._items:
                self._some.clear()
                await self._some.wait()
            await self._gather()
            batch, size = self._batch()
            try:
                rows = await self._prepare(batch)
                if len(rows) < len(batch):
                    self._counts.refused += len(batch) - len(rows)
                    self._unread.count(self._what, by=len(batch) - len(rows))
                await self._insert(rows)
            except Exception:
                # Whatever it is, the rows that come after must not suffer.
                _log.exception("%d %s are lost", len(batch), self._what)
                self._counts.lost += len(batch)
            self._finished(len(batch), size)

    async def _gather(self) -> None:
        """Give a batch its time to grow."""
        self._enough.clear()
        full = len(self._items) >= self._limits.batch or self._size >= BATCH_BYTES
        if full or self._settling or not self._limits.interval:
            return
        try:
            async with asyncio.timeout(self._limits.interval):
                await self._enough.wait()
        except TimeoutError:
            return

    def _batch(self) -> tuple[list[T], int]:
        items, sizes = self._items, self._sizes
        together = list(accumulate(sizes[: self._limits.batch]))
        many = min(bisect_left(together, BATCH_BYTES) + 1, len(together))
        self._items, self._sizes = items[many:], sizes[many:]
        self._under_way(many)
        return items[:many], together[many - 1]

    def _under_way(self, more: int) -> None:
        """So many rows more are being written."""
        self._writing += more
        self._places = 0 if self._closed else self._limits.rows - self._writing

    async def _insert(self, rows: Sequence[R]) -> None:
        pause = _RETRY_FIRST
        while rows:
            try:
                await self._write(rows)
            except StorageUnavailable as error:
                self._counts.failures += 1
                self._failing.count(self._what, error.reason)
                self._is_away(error.reason)
                await self._rest(pause)
                pause = min(pause * 2, _RETRY_LAST)
            except Exception as error:
                self._away = None
                if len(rows) == 1:
                    self._counts.refused += 1
                    # The type alone: a driver's message may quote the row.
                    _log.error("one of the %s cannot be kept: %s", self._what, type(error).__name__)
                    return
                # One of them is at fault: look for it in halves.
                middle = len(rows) // 2
                await self._insert(rows[:middle])
                rows = rows[middle:]
            else:
                self._away = None
                self._counts.written += len(rows)
                self._failing.over(self._what)
                return

    def _is_away(self, reason: str) -> None:
        """Tell those who cannot go on."""
        self._away = reason
        for waiter in self._catching_up:
            if not waiter.done():
                waiter.set_result(None)

    async def _rest(self, pause: float) -> None:
        """Wait before the next attempt; not for all of the pause if somebody asks for what waits."""
        self._again.clear()
        await asyncio.sleep(_RETRY_FIRST)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause - _RETRY_FIRST):
                await self._again.wait()

    def _finished(self, rows: int, size: int) -> None:
        self._done += rows
        self._under_way(-rows)
        self._size -= size
        still: list[tuple[int, asyncio.Future[None]]] = []
        for until, waiter in self._settling:
            if waiter.done():
                continue
            if until <= self._done:
                waiter.set_result(None)
            else:
                still.append((until, waiter))
        self._settling = still
        while self._waiting and not self._full():
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)

    def _full(self) -> bool:
        return self._rows >= self._limits.rows or self._size >= self._limits.size


class _Notice:
    """A warning that may have cause to be given often, and is given once in a while, with a number."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._count = 0
        self._said = -QUIET
        self._told = False

    def count(self, *details: str, by: int = 1) -> None:
        self._count += by
        now = time.monotonic()
        if now - self._said >= QUIET:
            self._said = now
            self._say(details)

    def rest(self, *details: str) -> None:
        """What has not been said yet."""
        if self._count:
            self._say(details)

    def over(self, *details: str) -> None:
        """It works again."""
        if self._told:
            self._told, self._count, self._said = False, 0, -QUIET
            _log.warning("%s are written again", *details)

    def _say(self, details: tuple[str, ...]) -> None:
        _log.warning(self._text, self._count, *details)
        self._count = 0
        self._told = True
