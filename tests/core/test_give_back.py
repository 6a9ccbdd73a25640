"""Memory goes back when work has come to rest, now and then while it does not, and not without work."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import chain, repeat

import pytest

from specstack import give_back


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(give_back, "LOOK", 0.001)


class Process:
    """What the processor time is at each look; `trims` are the numbers of the looks before a trim."""

    def __init__(self, times: Iterator[float]) -> None:
        self._times = times
        self.looks = 0
        self.trims: list[int] = []

    def spent(self) -> float:
        self.looks += 1
        self.last = next(self._times, None) or self.last
        return self.last

    def trim(self) -> None:
        self.trims.append(self.looks)

    async def watched(self, enough: Callable[[], bool]) -> None:
        task = asyncio.create_task(give_back.keep_small(self.trim, self.spent))
        async with asyncio.timeout(10):
            while not enough():
                await asyncio.sleep(0.001)
        task.cancel()


async def test_after_work_it_is_given_back_once() -> None:
    process = Process(chain([1.0, 1.2, 1.4, 1.6], repeat(1.61, 30)))
    await process.watched(lambda: process.looks > 30)
    assert process.trims == [5]


async def test_without_work_there_is_nothing_to_give_back() -> None:
    process = Process(1 + at * 0.001 for at in range(100))
    await process.watched(lambda: process.looks > 100)
    assert process.trims == []


async def test_who_never_rests_gives_back_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(give_back, "AT_LEAST_EVERY", 0.02)
    process = Process(1 + at * 0.5 for at in range(100_000))
    await process.watched(lambda: len(process.trims) == 2)
    monkeypatch.setattr(give_back, "AT_LEAST_EVERY", 3600)
    process = Process(1 + at * 0.5 for at in range(100_000))
    await process.watched(lambda: process.looks > 30)
    assert process.trims == []


def test_the_c_library_is_asked() -> None:
    trim = give_back.trimmer()
    if trim is None:
        pytest.skip("this C library has no malloc_trim")
    assert trim() in (0, 1)
