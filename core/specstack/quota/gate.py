"""The HTTP hook that counts a call before anything of it is read, and refuses it over a limit."""

import asyncio
import logging
import time
from collections.abc import Collection
from typing import TYPE_CHECKING, NoReturn

from specstack.http import Call, ErrorTable
from specstack.quota.headers import Reading, headers_of, retry_after
from specstack.quota.ledger import Ledger
from specstack.quota.limits import Counter, Meter, Rules, Unit
from specstack_wire import Clock, Scope, StorageUnavailable

if TYPE_CHECKING:
    from specstack_api.run_config import QuotaConfig

PATIENCE = 2.0
"""Seconds that a call waits for the store, in all."""
PAUSE = 1.0
"""Seconds for which nobody asks a store that did not answer."""
_REMEMBERED = 10_000
"""Used-up counters that are remembered, so that whoever goes on asking costs the store nothing."""

_log = logging.getLogger("specstack.quota")


class Gate:
    """Lets calls in. `counted` are the ids of the operations that count, `told` those that tell tokens.

    `uncounted` is the number of calls that were let in, or whose tokens were lost, because the store did not
    answer.
    """

    def __init__(
        self,
        settings: "QuotaConfig",
        ledger: Ledger,
        counted: Collection[str],
        told: Collection[str],
        errors: ErrorTable,
        clock: Clock,
    ) -> None:
        self.rules = Rules(settings)
        self.uncounted = 0
        self._allow = settings.when_unavailable == "allow"
        self._ledger = ledger
        self._counted = frozenset(counted)
        self._told = frozenset(told) & self._counted
        self._errors = errors
        self._clock = clock
        self._spent: set[tuple[Scope, str]] = set()
        self._paused_until = 0.0
        self._failing = False

    def counts_tokens(self, operation: str) -> bool:
        """Whether calls of an operation are limited by tokens."""
        return operation in self._told and self.rules.has("tokens")

    async def __call__(self, call: Call) -> None:
        """Count the call and add its headers. Raises the roles `rate_limited` and `storage_unavailable`."""
        op = call.op
        if op is None or op.id not in self._counted:
            return
        requests = self.rules.meters(call, "requests")
        tokens = self.rules.meters(call, "tokens") if op.id in self._told else []
        if not requests and not tokens:
            return
        if time.monotonic() < self._paused_until:
            self._let_in_or_not()
            return
        now = self._clock.now()
        try:
            async with asyncio.timeout(PATIENCE):
                # Tokens first: looking changes nothing, and every reply can say how many are left.
                had = [await self._look(one.at(now)) for one in tokens]
                made = await self._count(requests, now)
        except Exception as error:
            self.failed(error)
            self._let_in_or_not()
            return
        self._answered()
        self._judge(call, made, had)

    def spend(self, call: Call, tokens: int) -> None:
        """Count the tokens of a call that is over, without waiting."""
        now = self._clock.now()
        for meter in self.rules.meters(call, "tokens"):
            self._ledger.put(meter.at(now), tokens, self._lost)

    async def aclose(self) -> None:
        """Wait for what is still being counted."""
        await self._ledger.aclose()

    def failed(self, error: BaseException) -> None:
        """Note that the store did not answer, or what else went wrong."""
        if not isinstance(error, StorageUnavailable | TimeoutError):
            # It answers; one counter that is odd must not leave all others uncounted.
            _log.error("a call could not be counted", exc_info=error)
            return
        self._paused_until = time.monotonic() + PAUSE
        if not self._failing:
            self._failing = True
            what = "calls go uncounted" if self._allow else "calls are refused"
            reason = str(error) or f"no answer within {PATIENCE:g} s"
            _log.warning("the store of quotas does not answer, %s until it does: %s", what, reason)

    # -- inside ----------------------------------------------------------------------------

    async def _look(self, counter: Counter) -> Reading:
        if (counter.scope, counter.key) in self._spent:
            return Reading(counter, counter.limit.most)
        return self._noted(Reading(counter, await self._ledger.read(counter)), counter.limit.most)

    async def _count(self, meters: list[Meter], now: float) -> list[Reading]:
        """Readings after counting up; the last one is over its limit if the call is."""
        found: list[Reading] = []
        for meter in meters:
            counter = meter.at(now)
            if (counter.scope, counter.key) in self._spent:
                found.append(Reading(counter, counter.limit.most + 1))
                break
            reading = Reading(counter, await self._ledger.add(counter, 1))
            found.append(self._noted(reading, counter.limit.most + 1))
            if reading.used > counter.limit.most:
                break
        return found

    def _noted(self, reading: Reading, spent: int) -> Reading:
        # A counter only grows, so what is used up stays so until its window is over.
        if reading.used >= spent:
            if len(self._spent) >= _REMEMBERED:
                self._spent.clear()
            self._spent.add((reading.counter.scope, reading.counter.key))
        return reading

    def _judge(self, call: Call, made: list[Reading], had: list[Reading]) -> None:
        over: list[tuple[Unit, Reading]] = []
        if made:
            refusing = [one for one in made if one.used > one.counter.limit.most]
            call.headers += headers_of("requests", refusing or made)
            over.extend(("requests", one) for one in refusing)
        if had:
            call.headers += headers_of("tokens", had)
            over.extend(("tokens", one) for one in had if not one.remaining)
        if over:
            self._refuse(*max(over, key=lambda one: one[1].counter.left))

    def _refuse(self, unit: Unit, reading: Reading) -> NoReturn:
        limit, wait = reading.counter.limit, retry_after(reading.counter.left)
        message = (
            f"Rate limit reached: {limit.most} {unit} per {limit.per} {limit.whose}; "
            f"try again in {wait} {'second' if wait == '1' else 'seconds'}."
        )
        raise self._errors.error("rate_limited", message, headers={"retry-after": wait})

    def _let_in_or_not(self) -> None:
        if not self._allow:
            message = "What callers have used cannot be looked up, so this server serves nobody; try again."
            headers = {"retry-after": retry_after(PAUSE)}
            raise self._errors.error("storage_unavailable", message, headers=headers)
        self.uncounted += 1

    def _lost(self, error: BaseException) -> None:
        self.uncounted += 1
        self.failed(error)

    def _answered(self) -> None:
        if self._failing:
            self._failing = False
            _log.warning("the store of quotas answers again; %d calls went uncounted so far", self.uncounted)
