"""Threads that compute for all requests in turn, in small jobs, so that none waits long for another."""

import asyncio
import math
import os
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from specstack_api.errors import ModelUnavailable, Overloaded

T = TypeVar("T")

MOST_REQUESTS = 512
"""Requests in hand; more are refused, since they would only wait."""

_RETRY_AFTER_SECONDS = "5"
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """How many cores this process may use: its affinity and its container's quota say."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        limit, period = _QUOTA.read_text(encoding="ascii").split()
        return max(1, min(cores, math.ceil(int(limit) / int(period))))
    except (OSError, ValueError):
        return cores


class Workers:
    """A fixed number of threads. Cancelling whoever waits for a job drops it unless it has begun."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.requests = 0
        self._closed = False
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="embeddings")

    @contextmanager
    def request(self) -> Generator[None]:
        """Counts a request while it lasts. Raises `Overloaded` when there are too many."""
        if self.requests >= MOST_REQUESTS:
            raise Overloaded(
                f"{self.requests} requests for embeddings are in hand, which is the limit; try again soon",
                headers={"retry-after": _RETRY_AFTER_SECONDS},
            )
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    async def run(self, job: Callable[[], T]) -> T:
        """Does one job. Raises what it raises, and `ModelUnavailable` after `close`."""
        if self._closed:
            raise _stopping()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, job)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                raise _stopping() from None
            raise

    async def spread(self, jobs: Iterable[Callable[[], T]]) -> list[T]:
        """Does jobs side by side and gives their results in order.

        Only as many jobs as there are threads wait at any time, so that requests take turns.
        """
        waiting = iter(enumerate(jobs))
        done: dict[int, T] = {}

        async def lane() -> None:
            for index, job in waiting:
                done[index] = await self.run(job)

        lanes = [asyncio.ensure_future(lane()) for _ in range(self.threads)]
        try:
            await asyncio.gather(*lanes)
        finally:
            for one in lanes:
                one.cancel()
        return [done[index] for index in range(len(done))]

    async def close(self) -> None:
        """Drops what waits, and returns when what runs has ended. Safe to call twice."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._pool.shutdown)


def _stopping() -> ModelUnavailable:
    return ModelUnavailable("the embedding models are not loaded (the server is stopping)")
