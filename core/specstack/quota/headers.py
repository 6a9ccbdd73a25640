"""What replies say of quotas: OpenAI's `x-ratelimit-…` headers."""

import math
from collections.abc import MutableSequence, Sequence
from typing import NamedTuple

from specstack.quota.limits import Counter, Unit

_REMAINING: dict[Unit, bytes] = {
    "requests": b"x-ratelimit-remaining-requests",
    "tokens": b"x-ratelimit-remaining-tokens",
}


class Reading(NamedTuple):
    """A counter and its value."""

    counter: Counter
    used: int

    @property
    def remaining(self) -> int:
        """What is left in the window."""
        return max(0, self.counter.limit.most - self.used)


def headers_of(unit: Unit, readings: Sequence[Reading]) -> list[tuple[bytes, bytes]]:
    """Limit, rest and reset of the tightest window: the one with the least left, the longer one of equals."""
    tightest = min(readings, key=lambda one: (one.remaining, -one.counter.left))
    return [
        (f"x-ratelimit-limit-{unit}".encode(), b"%d" % tightest.counter.limit.most),
        (_REMAINING[unit], b"%d" % tightest.remaining),
        (f"x-ratelimit-reset-{unit}".encode(), duration(tightest.counter.left).encode()),
    ]


def take_off(headers: MutableSequence[tuple[bytes, bytes]], tokens: int) -> None:
    """Lower the tokens that remain by those of the call itself, now that they are known."""
    name = _REMAINING["tokens"]
    for index, (key, value) in enumerate(headers):
        if key == name:
            headers[index] = (name, b"%d" % max(0, int(value) - max(0, tokens)))


def retry_after(seconds: float) -> str:
    """Whole seconds, at least one, after which the window is over."""
    return str(max(1, math.ceil(seconds)))


def duration(seconds: float) -> str:
    """A duration as OpenAI writes it, rounded up: `1h2m3s`, `6m0s`, `31s`, `250ms`."""
    milliseconds = max(0, math.ceil(round(seconds * 1000, 3)))
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(math.ceil(milliseconds / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
