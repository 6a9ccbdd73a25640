"""Which counters a call has: the windows of the run config, applied to who calls and when.

Windows are fixed and follow the clock: the number of the window stands in the counter's key, so that no
counter has to be emptied and all replicas agree without talking. Around the turn of a window a caller may
therefore use what two windows allow.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Literal

from specstack.http import Call
from specstack_wire import Scope

if TYPE_CHECKING:
    from specstack_api.run_config import QuotaConfig, QuotaWindow

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
KEPT = 60.0
"""Seconds for which a counter outlives its window: clocks of replicas may differ."""

Unit = Literal["requests", "tokens"]

_LONGEST = 200
"""Bytes of a name that may stand in a scope as it is."""
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Limit:
    """`most` of a unit in a window of `seconds`. `whose` completes "requests per minute …" in messages."""

    most: int
    per: str
    seconds: int
    whose: str


@dataclass(frozen=True, slots=True)
class Meter:
    """A limit on one caller, address or tenant."""

    limit: Limit
    scope: Scope
    name: str

    def at(self, now: float) -> "Counter":
        """The counter of the window that `now`, in Unix seconds, lies in."""
        number = int(now // self.limit.seconds)
        key = f"{self.name}/{self.limit.per}/{number}"
        return Counter(self.scope, key, self.limit, (number + 1) * self.limit.seconds - now)


@dataclass(frozen=True, slots=True)
class Counter:
    """The counter of one window. `left` is in seconds: how long the window still lasts."""

    scope: Scope
    key: str
    limit: Limit
    left: float

    @property
    def ttl(self) -> float:
        """How long the counter has to be kept, in seconds."""
        return self.left + KEPT


class Rules:
    """The limits of a run config by unit: of each caller, and of tenants."""

    def __init__(self, settings: "QuotaConfig") -> None:
        self._anonymous = _limits(settings.anonymous, "of one address")
        self._authenticated = _limits(settings.authenticated, "of one caller")
        self._tenant = _limits(settings.tenant, "of one tenant")

    def has(self, unit: Unit) -> bool:
        """Whether anything limits the unit."""
        return any(one[unit] for one in (self._anonymous, self._authenticated, self._tenant))

    def meters(self, call: Call, unit: Unit) -> list[Meter]:
        """What limits a call: the caller before its tenant, short windows before long ones."""
        ctx = call.ctx
        if ctx.principal is None:
            whose = f"anonymous/{unit}/{address_of(call.scope.get('client'))}"
            found = [Meter(one, Scope(), whose) for one in self._anonymous[unit]]
        else:
            scope = Scope(_fit(ctx.tenant or ""), _fit(ctx.principal.id))
            found = [Meter(one, scope, f"authenticated/{unit}") for one in self._authenticated[unit]]
        if ctx.tenant and self._tenant[unit]:
            scope = Scope(_fit(ctx.tenant))
            found += [Meter(one, scope, f"tenant/{unit}") for one in self._tenant[unit]]
        return found


def address_of(client: Sequence[object] | None) -> str:
    """The address by which a caller without credentials is told apart: of IPv6 the first 64 bits."""
    return _UNKNOWN if client is None else _network(str(client[0]))


@lru_cache(1024)
def _network(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        return _fit(text) or _UNKNOWN
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    # Whoever has an IPv6 address has 2**64 of them.
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"


def _limits(windows: "Iterable[QuotaWindow] | None", whose: str) -> dict[Unit, tuple[Limit, ...]]:
    ordered = sorted(windows or (), key=lambda one: SECONDS[one.per])
    units: tuple[Unit, ...] = ("requests", "tokens")
    return {
        unit: tuple(
            Limit(most, one.per, SECONDS[one.per], whose)
            for one in ordered
            if (most := getattr(one, unit)) is not None
        )
        for unit in units
    }


def _fit(name: str) -> str:
    """The name, or its digest where it cannot stand in a scope: identity providers call people anything."""
    data = name.encode("utf-8", "surrogatepass")
    if len(data) <= _LONGEST and "\0" not in name and not any("\ud800" <= one <= "\udfff" for one in name):
        return name
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
