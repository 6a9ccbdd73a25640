"""A store in memory and a clock to set, for gates under test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from core.http.kit import ROLES, error_class, plain_envelope
from specstack.http import Call, ErrorTable
from specstack.quota import Gate, gate_of
from specstack_api.run_config import QuotaConfig
from specstack_wire import Principal, RequestContext, Scope, StorageUnavailable

QUOTA_ROLES = {
    **ROLES,
    "rate_limited": error_class("rate_limit_exceeded", 429),
    "storage_unavailable": error_class("storage_unavailable", 503),
}
ERRORS = ErrorTable(QUOTA_ROLES, {"plain": plain_envelope})


class Memory:
    """Counters that say how they were used. `away`: none answers; `slow`: seconds that each call takes."""

    def __init__(self) -> None:
        self.values: dict[tuple[Scope, str], int] = {}
        self.ttls: dict[str, float] = {}
        self.added: list[int] = []
        self.read = 0
        self.away = False
        self.slow = 0.0

    async def get(self, scope: Scope, key: str) -> bytes | None:
        self.read += 1
        await self._wait()
        value = self.values.get((scope, key))
        return None if value is None else b"%d" % value

    async def incr(self, scope: Scope, key: str, by: int = 1, *, ttl: float | None = None) -> int:
        self.added.append(by)
        await self._wait()
        value = self.values[scope, key] = self.values.get((scope, key), 0) + by
        assert ttl is not None
        self.ttls.setdefault(key, ttl)
        return value

    async def _wait(self) -> None:
        await asyncio.sleep(self.slow)
        if self.away:
            raise StorageUnavailable("redis at 10.0.0.9:6379 is gone")


class Clock:
    """Stands still until it is set."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def created(self) -> int:
        return int(self.time)


def gate(store: Any, operations: Any, clock: Clock | None = None, /, **settings: Any) -> Gate:
    """A gate over a store for a server with these operations, with `server.quota` as given."""
    quota = QuotaConfig.model_validate(settings)
    return gate_of(quota, store, operations, ERRORS, clock or Clock())


def call(
    op: Any, who: str | None = None, tenant: str | None = None, address: str | None = "10.0.0.1"
) -> Call:
    """A call of an operation by somebody."""
    ctx = RequestContext("r", principal=None if who is None else Principal(who), tenant=tenant)
    return Call(op, {"client": None if address is None else (address, 4711)}, ctx)


def headers(made: Call) -> dict[str, str]:
    """The headers that a call has got, their common beginning left out."""
    return {name.decode().removeprefix("x-ratelimit-"): value.decode() for name, value in made.headers}


Judge = Callable[[Call], Any]
