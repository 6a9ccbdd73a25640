"""The queue before a slow store: batches, bounds, outages, rows that cannot be written, the end."""

import asyncio
import logging
from collections.abc import Sequence

import pytest

from specstack import write_queue
from specstack.write_queue import QueueCounts, QueueLimits, WriteQueue
from specstack_wire import StorageUnavailable


class Store:
    """Takes integers. `away` attempts fail first; `closed` holds writes up; negative numbers are refused."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.away = 0
        self.open = asyncio.Event()
        self.open.set()

    @property
    def rows(self) -> list[int]:
        return [one for batch in self.batches for one in batch]

    async def write(self, rows: Sequence[int]) -> None:
        await self.open.wait()
        if self.away:
            self.away -= 1
            raise StorageUnavailable("the store is away")
        if any(one < 0 for one in rows):
            raise ValueError(f"a secret in {rows}")
        self.batches.append(list(rows))


async def prepare(items: Sequence[str]) -> list[int]:
    """Text that is no number cannot be read."""
    return [int(one) for one in items if one.lstrip("-").isdigit()]


@pytest.fixture
def store() -> Store:
    return Store()


def queue(store: Store, **limits: float) -> WriteQueue[str, int]:
    values = {"rows": 100, "size": 1000, "batch": 10, "interval": 60, "flush": 5, **limits}
    return WriteQueue("test rows", QueueLimits(**values), prepare, store.write)  # type: ignore[arg-type]


async def until(store: Store, rows: int) -> None:
    async with asyncio.timeout(5):
        while len(store.rows) < rows:
            await asyncio.sleep(0.001)


async def test_a_full_batch_is_written_at_once_and_the_rest_after_its_time(store: Store) -> None:
    waiting = queue(store, interval=0.2)
    for number in range(23):
        assert waiting.put(str(number), 1)
    await until(store, 20)
    assert [len(batch) for batch in store.batches] == [10, 10]
    await until(store, 23)
    assert store.rows == list(range(23))
    await waiting.aclose()
    assert waiting.counts == QueueCounts(written=23)


async def test_a_batch_ends_where_it_has_become_large(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_queue, "BATCH_BYTES", 100)
    waiting = queue(store, interval=0)
    for number in range(4):
        waiting.put(str(number), 60)
    await waiting.settled(5)
    assert store.batches == [[0, 1], [2, 3]]
    await waiting.aclose()


async def test_what_fills_a_batch_by_its_bytes_does_not_wait(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_queue, "BATCH_BYTES", 100)
    waiting = queue(store, interval=3600)
    for number in range(5):
        waiting.put(str(number), 60)
    await until(store, 4)
    await asyncio.sleep(0.05)
    assert store.batches == [[0, 1], [2, 3]]
    await waiting.aclose()
    assert store.rows == [0, 1, 2, 3, 4]


async def test_when_rows_or_bytes_are_full_more_is_dropped_and_told_once(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.open.clear()
    waiting = queue(store, rows=3, size=100)
    assert [waiting.put(str(number), 1) for number in range(5)] == [True, True, True, False, False]
    assert (waiting.counts.dropped, waiting.counts.rows, waiting.counts.size) == (2, 3, 3)
    store.open.set()
    await waiting.settled(5)
    assert not waiting.put("9", 101), "larger than the queue"
    assert waiting.put("9", 100) and not waiting.put("10", 1)
    await waiting.aclose()
    assert waiting.counts == QueueCounts(written=4, dropped=4)
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "1 test rows were not kept: the queue before the database is full",
        "3 test rows were not kept: the queue before the database is full",
    ], "at the first, and at the end for the rest"


async def test_who_waits_for_room_goes_on_when_there_is_some(store: Store) -> None:
    store.open.clear()
    waiting = queue(store, rows=2, batch=1, interval=0, wait=True)
    await waiting.room()
    waiting.put("1", 1)
    waiting.put("2", 1)
    blocked = asyncio.create_task(waiting.room())
    await asyncio.sleep(0.01)
    assert not blocked.done()
    assert waiting.put("3", 1), "who was let in before is kept"
    store.open.set()
    await asyncio.wait_for(blocked, 5)
    await waiting.aclose()
    assert waiting.counts == QueueCounts(written=3)


async def test_who_waits_too_long_for_room_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_queue, "WAIT_FOR_ROOM", 0.01)
    store.open.clear()
    waiting = queue(store, rows=1, flush=0, wait=True)
    waiting.put("1", 1)
    with pytest.raises(StorageUnavailable, match="behind with keeping test rows") as caught:
        await waiting.room()
    assert caught.value.headers == {"retry-after": "5"}
    await waiting.aclose()


async def test_settled_writes_at_once_what_was_put_in_before(store: Store) -> None:
    waiting = queue(store)
    waiting.put("1", 1)
    await waiting.settled(5)
    assert store.rows == [1]
    await waiting.settled(0)
    store.open.clear()
    waiting.put("2", 1)
    await waiting.settled(0.01)
    assert store.rows == [1], "it does not wait longer than it was told"
    store.open.set()
    await waiting.aclose()
    assert store.rows == [1, 2]


async def test_a_store_that_was_away_gets_the_rows_in_their_order(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_queue, "_RETRY_FIRST", 0.001)
    caplog.set_level(logging.WARNING)
    store.away = 4
    waiting = queue(store, interval=0)
    for number in range(15):
        waiting.put(str(number), 1)
    await waiting.settled(5)
    assert store.rows == list(range(15))
    await waiting.aclose()
    assert waiting.counts == QueueCounts(written=15, failures=4)
    assert [record.getMessage() for record in caplog.records] == [
        "1 attempts to write test rows failed and are repeated: the store is away",
        "test rows are written again",
    ], "not four times"


async def test_who_cannot_go_on_while_the_store_is_away_is_told_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_queue, "_RETRY_FIRST", 0.001)
    waiting = queue(store)
    await waiting.caught_up(5)
    store.away = 1000
    waiting.put("1", 1)
    async with asyncio.timeout(5):
        with pytest.raises(StorageUnavailable) as caught:
            await waiting.caught_up(60)
        assert caught.value.reason == "the store is away"
        with pytest.raises(StorageUnavailable):
            await waiting.caught_up(60)
    waiting.put("2", 1)
    store.away = 0
    # Asking has the next attempt come soon, however long its pause has become.
    async with asyncio.timeout(5):
        while True:
            try:
                await waiting.caught_up(60)
                break
            except StorageUnavailable:
                await asyncio.sleep(0.001)
    assert store.rows == [1, 2] and waiting.counts.lost == 0
    await waiting.aclose()


async def test_rows_that_are_refused_do_not_take_others_with_them(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = queue(store)
    for item in ("0", "1", "-2", "3", "what", "5", "6", "-7", "8"):
        waiting.put(item, 1)
    await waiting.aclose()
    assert store.rows == [0, 1, 3, 5, 6, 8]
    assert waiting.counts == QueueCounts(written=6, refused=3)
    assert "1 test rows were not kept: they cannot be read" in caplog.text
    assert "secret" not in caplog.text and caplog.text.count("cannot be kept: ValueError") == 2


async def test_closing_takes_no_longer_than_it_may_and_says_what_is_lost(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.open.clear()
    waiting = queue(store, flush=0.05, batch=2)
    for number in range(5):
        waiting.put(str(number), 1)
    async with asyncio.timeout(2):
        await waiting.aclose()
    assert waiting.counts.lost == 5 and store.rows == []
    assert "5 test rows are lost" in caplog.text
    assert not waiting.put("6", 1), "it is closed"
    assert waiting.counts.lost == 6 and "1 test rows were not kept: the server is stopping" in caplog.text


async def test_what_goes_wrong_with_one_batch_does_not_end_the_writing(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async def strange(items: Sequence[str]) -> list[int]:
        if "1" in items:
            raise RuntimeError("nobody has thought of it")
        return await prepare(items)

    values = QueueLimits(rows=10, size=100, batch=1, interval=0, flush=5)
    waiting: WriteQueue[str, int] = WriteQueue("test rows", values, strange, store.write)
    for number in range(3):
        waiting.put(str(number), 1)
    await waiting.aclose()
    assert store.rows == [0, 2] and waiting.counts == QueueCounts(written=2, lost=1)
    assert "nobody has thought of it" in caplog.text
