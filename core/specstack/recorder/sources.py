"""Ids and time as they are while calls are recorded or replayed, so that requests are the same each time."""

import hashlib

STARTED = 1_764_000_000
"""The time that it always is, in Unix seconds."""


class CountedIds:
    """Ids that a replay repeats: made of the test's name and a count."""

    def __init__(self) -> None:
        self._test = ""
        self._count = 0

    def restart(self, test: str) -> None:
        """Count from the start, for another test."""
        self._test, self._count = test, 0

    def new(self, prefix: str) -> str:
        """The next id."""
        self._count += 1
        return prefix + hashlib.sha256(f"{self._test}/{self._count}".encode()).hexdigest()[:24]


class StoppedClock:
    """A clock that always shows the same time."""

    def now(self) -> float:
        """Unix time in seconds."""
        return float(STARTED)

    def created(self) -> int:
        """Unix time in whole seconds."""
        return STARTED
