"""Telling apart what code that is not ours lets out of it."""

import asyncio


def is_failure(error: BaseException) -> bool:
    """Whether an exception means that the code failed, and not that the running task is being cancelled.

    Code that awaits a task which it has cancelled itself lets a CancelledError out, and some calls
    `sys.exit`: neither may end more than the call.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() == 0
    return isinstance(error, Exception | SystemExit)
