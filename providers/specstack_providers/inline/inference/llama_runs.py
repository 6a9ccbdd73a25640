"""Several runs of the engine for one request, as one stream."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

T = TypeVar("T")


async def merged(run: Callable[[int], AsyncGenerator[T]], count: int, at_once: int) -> AsyncGenerator[T]:
    """What `run(0)` to `run(count - 1)` yield, as it comes, with at most `at_once` of them at a time.

    The first error ends it; closing it closes all runs.
    """
    if count == 1:
        async with contextlib.aclosing(run(0)) as only:
            async for item in only:
                yield item
        return
    waiting = iter(range(count))
    items: asyncio.Queue[tuple[T] | None] = asyncio.Queue()

    async def work() -> None:
        for index in waiting:
            async with contextlib.aclosing(run(index)) as source:
                async for item in source:
                    items.put_nowait((item,))

    workers = [asyncio.create_task(work()) for _ in range(min(count, at_once))]
    done = asyncio.gather(*workers)
    done.add_done_callback(lambda _: items.put_nowait(None))
    try:
        while (entry := await items.get()) is not None:
            yield entry[0]
        await done
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(done, *workers, return_exceptions=True)
