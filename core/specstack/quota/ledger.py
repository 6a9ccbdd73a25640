"""Counting in a KVStore: what is asked of one counter while a call to it is under way goes to it as one.

So a counter that everybody shares costs one call at a time, however many requests there are. The share of
each is still exact: it gets the value that the counter would have had after it had been added in its turn.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from specstack.quota.limits import Counter
from specstack_wire import KVStore, Scope

PATIENCE = 2.0
"""Seconds that a call may take; one that hangs would hold up all behind it."""
_LAST = 2.0
"""Seconds that additions under way have at the end."""

_Place = tuple[Scope, str]


class _Share(NamedTuple):
    """What one call adds; 0 only looks."""

    by: int
    result: "asyncio.Future[int]"


class _Line:
    """What waits for one counter, and the task that takes it to the store."""

    __slots__ = ("task", "waiting")

    def __init__(self) -> None:
        self.waiting: list[_Share] = []
        self.task: asyncio.Task[None] | None = None


class Ledger:
    """Counters of one process in `store`, which other processes may share."""

    def __init__(self, store: KVStore) -> None:
        self._store = store
        self._lines: dict[_Place, _Line] = {}

    async def add(self, counter: Counter, by: int) -> int:
        """The counter's value after `by` was added. Raises what the store raises."""
        return await self._enqueued(counter, by)

    def put(self, counter: Counter, by: int, failed: Callable[[BaseException], None]) -> None:
        """Add without waiting; `failed` is told of an addition that did not come about."""

        def done(result: "asyncio.Future[int]") -> None:
            error = None if result.cancelled() else result.exception()
            if error is not None:
                failed(error)

        self._enqueued(counter, by).add_done_callback(done)

    async def read(self, counter: Counter) -> int:
        """The counter's value, with all that this process has added. Raises what the store raises."""
        return await self._enqueued(counter, 0)

    async def aclose(self) -> None:
        """Wait for the additions under way, for a short time."""
        tasks = [line.task for line in self._lines.values() if line.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=_LAST)

    def _enqueued(self, counter: Counter, by: int) -> "asyncio.Future[int]":
        place = (counter.scope, counter.key)
        loop = asyncio.get_running_loop()
        share = _Share(by, loop.create_future())
        line = self._lines.get(place)
        if line is None:
            line = self._lines[place] = _Line()
            line.waiting.append(share)
            line.task = loop.create_task(self._carry(counter, line))
        else:
            line.waiting.append(share)
        return share.result

    async def _carry(self, counter: Counter, line: _Line) -> None:
        try:
            while line.waiting:
                batch, line.waiting = line.waiting, []
                await self._settle(counter, batch)
        finally:
            del self._lines[counter.scope, counter.key]
            for share in line.waiting:
                share.result.cancel()

    async def _settle(self, counter: Counter, batch: list[_Share]) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                value = await self._before(counter, sum(share.by for share in batch))
        except BaseException as error:
            for share in batch:
                if not share.result.done():
                    share.result.set_exception(error if isinstance(error, Exception) else _Ended())
            if not isinstance(error, Exception):
                raise
            return
        for share in batch:
            value += share.by
            # Who asked may have gone meanwhile; it was counted all the same.
            if not share.result.done():
                share.result.set_result(value)

    async def _before(self, counter: Counter, total: int) -> int:
        """Add `total` and give what the counter held before."""
        if total:
            return await self._store.incr(counter.scope, counter.key, total, ttl=counter.ttl) - total
        value = await self._store.get(counter.scope, counter.key)
        return 0 if value is None else int(value)


class _Ended(Exception):
    """The event loop ended before the addition came about."""
