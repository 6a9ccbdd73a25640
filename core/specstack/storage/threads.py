"""Work for a thread of an executor, also when the program is ending."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

T = TypeVar("T")


def in_thread(executor: Executor | None, work: Callable[[], T]) -> asyncio.Future[T]:
    """Have `work` done in a thread. Once executors have ended, it is done here before this returns.

    They end before ordinary exit hooks run: a server that such a hook stops still has rows to write.
    """
    loop = asyncio.get_running_loop()
    try:
        return loop.run_in_executor(executor, work)
    except RuntimeError:
        done: asyncio.Future[T] = loop.create_future()
        try:
            done.set_result(work())
        except Exception as error:
            done.set_exception(error)
        return done
