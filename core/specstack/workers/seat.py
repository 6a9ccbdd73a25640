"""What a worker knows of itself and of those beside it."""

import mmap
from dataclasses import dataclass
from pathlib import Path

_CLOSED = -1


@dataclass(frozen=True, slots=True)
class Seat:
    """The place of one worker: `number` counts from 1 to `of`. Who takes a dead worker's place gets its seat.

    `folder` is where workers find each other; None where they need not.
    """

    number: int
    of: int
    folder: Path | None = None


class Loads:
    """How many connections each worker has, in memory that all of them share.

    Make it before the workers: they inherit it. Each writes its own number alone.
    """

    def __init__(self, workers: int) -> None:
        self._counts = memoryview(mmap.mmap(-1, 8 * workers)).cast("q")
        for seat in range(1, workers + 1):
            self.close(seat)

    def tell(self, seat: int, connections: int) -> None:
        """A worker takes connections, and has so many."""
        self._counts[seat - 1] = connections

    def close(self, seat: int) -> None:
        """A worker takes none: it has not begun yet, or has ended."""
        self._counts[seat - 1] = _CLOSED

    def least(self) -> int:
        """The fewest that any worker has that takes some; 0 if none does."""
        return min((one for one in self._counts if one != _CLOSED), default=0)
