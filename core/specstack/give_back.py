"""Gives memory back that a burst of requests has left behind: glibc keeps it, scattered, for the process."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

LOOK = 1.0
"""Seconds between two looks at what the process does."""
BUSY = 0.05
"""Seconds of processor time in a look's time, from which on the process counts as busy."""
WORTH = 0.25
"""Seconds of processor time after which there may be something to give back."""
AT_LEAST_EVERY = 30.0
"""Seconds after which a process gives back although it is busy: it takes a few milliseconds of a thread."""


def trimmer() -> Callable[[], object] | None:
    """What gives the memory back that nobody uses; None where the C library has nothing for it."""
    try:
        import ctypes

        trim = ctypes.CDLL(None).malloc_trim
    except (ImportError, OSError, AttributeError, TypeError):
        return None
    return lambda: trim(0)


@asynccontextmanager
async def kept_small() -> AsyncGenerator[None]:
    """Give memory back as long as this lasts."""
    trim = trimmer()
    task = asyncio.create_task(keep_small(trim)) if trim is not None else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()


async def keep_small(trim: Callable[[], object], spent: Callable[[], float] = time.process_time) -> None:
    """Call `trim` in a thread whenever work has come to rest, and now and then while it does not.

    `spent` tells the processor time of the process so far, in seconds.
    """
    loop = asyncio.get_running_loop()
    before = at_trim = spent()
    trimmed = loop.time()
    while True:
        await asyncio.sleep(LOOK)
        now = spent()
        rests, before = now - before < BUSY, now
        if now - at_trim >= WORTH and (rests or loop.time() - trimmed >= AT_LEAST_EVERY):
            await loop.run_in_executor(None, trim)
            before = at_trim = spent()
            trimmed = loop.time()
