"""What a provider says it has: asked in the background, cached with a time to live.

Nothing waits for a provider that hangs: a question has a time limit, and what was found before
stays in use while the next answer is on its way.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

from specstack.foreign import is_failure
from specstack_wire import ApiError

T = TypeVar("T")

LIMIT = 15.0
"""Seconds that one question may take."""
TIME_TO_LIVE = 300.0
"""Seconds for which an answer counts as fresh."""
RETRY_AFTER = 30.0
"""Seconds after a failure before the provider is asked again."""


class Discovery(Generic[T]):
    """The cached answer of one provider. `found` is what it said last, empty before the first answer."""

    def __init__(
        self,
        provider_id: str,
        ask: Callable[[], Awaitable[Sequence[T]]],
        changed: Callable[[], None],
        log: logging.Logger,
    ) -> None:
        self.provider_id = provider_id
        self.found: tuple[T, ...] = ()
        self.asked = False
        self._ask = ask
        self._changed = changed
        self._log = log
        self._fresh_until = 0.0
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    @property
    def stale(self) -> bool:
        """Whether the answer is missing or too old, and nobody is asking already."""
        return time.monotonic() >= self._fresh_until and not self.running

    @property
    def running(self) -> bool:
        """Whether a question is on its way."""
        return self._task is not None and not self._task.done()

    def start(self) -> "asyncio.Task[None]":
        """Ask in the background, or join the question that is on its way. The task never raises."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=f"discover {self.provider_id}")
        return self._task

    async def stop(self) -> None:
        """Give up a question that is on its way."""
        if self._task is None or self._task.done():
            return
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            async with asyncio.timeout(LIMIT):
                found = tuple(await self._ask())
        except TimeoutError:
            self._failed(f"no answer within {LIMIT:g} s")
        except ApiError as error:
            self._failed(error.message)
        except BaseException as error:  # a provider's bug must not take the others' resources away
            if not is_failure(error):
                raise
            self._failed(f"{type(error).__name__}: {error}")
        else:
            self._fresh_until = time.monotonic() + TIME_TO_LIVE
            self._failing = False
            changed = found != self.found
            self.found = found
            if changed:
                self._changed()
        finally:
            self.asked = True

    def _failed(self, reason: str) -> None:
        self._fresh_until = time.monotonic() + RETRY_AFTER
        if not self._failing:
            self._log.warning(
                "provider %s does not say what it has (%s); asked again from %g s on, when somebody needs it",
                self.provider_id,
                reason,
                RETRY_AFTER,
            )
        self._failing = True


async def wait_for_first(discoveries: Iterable[Discovery[T]], limit: float) -> None:
    """Start every stale question; wait up to `limit` seconds for providers that never answered yet."""
    first: list[asyncio.Task[None]] = []
    for one in discoveries:
        if one.stale:
            one.start()
        if not one.asked:
            first.append(one.start())
    if first:
        await asyncio.wait(first, timeout=limit)
