"""Additions of one process: each gets its exact share, and many cost few calls."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core.quota.kit import Memory
from specstack.quota.ledger import Ledger
from specstack.quota.limits import Counter, Limit
from specstack_wire import Scope, StorageUnavailable

COUNTER = Counter(Scope(), "k", Limit(10, "day", 86400, "of one address"), 100.0)
OTHER = Counter(Scope("t"), "k", COUNTER.limit, 100.0)


async def test_each_gets_its_own_value_and_all_go_together() -> None:
    store = Memory()
    store.slow = 0.01
    ledger = Ledger(store)
    found = await asyncio.gather(*(ledger.add(COUNTER, by) for by in (1, 2, 3, 4)), ledger.add(OTHER, 7))
    assert found == [1, 3, 6, 10, 7]
    assert sorted(store.added) == [7, 10]
    assert await ledger.add(COUNTER, 1) == 11
    assert store.ttls == {"k": 160.0}


async def test_what_comes_while_one_is_under_way_waits_for_the_next() -> None:
    store = Memory()
    store.slow = 0.02
    ledger = Ledger(store)
    first = asyncio.create_task(ledger.add(COUNTER, 1))
    await asyncio.sleep(0.01)
    later = await asyncio.gather(*(ledger.add(COUNTER, 1) for _ in range(5)))
    assert (await first, later, store.added) == (1, [2, 3, 4, 5, 6], [1, 5])


async def test_who_leaves_is_counted_and_the_others_are_not_disturbed() -> None:
    store = Memory()
    store.slow = 0.02
    ledger = Ledger(store)
    leaving = asyncio.create_task(ledger.add(COUNTER, 1))
    staying = asyncio.create_task(ledger.add(COUNTER, 1))
    await asyncio.sleep(0.01)
    leaving.cancel()
    assert await staying == 2


async def test_reading_sees_what_this_process_has_put() -> None:
    store = Memory()
    store.slow = 0.01
    ledger = Ledger(store)
    assert await ledger.read(COUNTER) == 0
    ledger.put(COUNTER, 4, pytest.fail)
    ledger.put(COUNTER, 5, pytest.fail)
    assert await ledger.read(COUNTER) == 9


async def test_those_who_only_look_look_together() -> None:
    store = Memory()
    store.slow = 0.01
    store.values[COUNTER.scope, "k"] = 3
    ledger = Ledger(store)
    assert await asyncio.gather(*(ledger.read(COUNTER) for _ in range(20))) == [3] * 20
    assert (store.read, store.added) == (1, [])
    # Among those who add, each sees what was added before it.
    found = await asyncio.gather(ledger.read(COUNTER), ledger.add(COUNTER, 2), ledger.read(COUNTER))
    assert (found, store.read, store.added) == ([3, 5, 5], 1, [2])


async def test_closing_waits_for_what_is_under_way() -> None:
    store = Memory()
    store.slow = 0.05
    ledger = Ledger(store)
    ledger.put(COUNTER, 4, pytest.fail)
    await ledger.aclose()
    assert store.values[COUNTER.scope, "k"] == 4
    await ledger.aclose()


async def test_a_failure_reaches_all_who_wait_and_the_next_one_tries_anew() -> None:
    store = Memory()
    store.away = True
    ledger = Ledger(store)
    lost: list[BaseException] = []
    ledger.put(COUNTER, 1, lost.append)
    found: list[Any] = await asyncio.gather(
        *(ledger.add(COUNTER, 1) for _ in range(3)), return_exceptions=True
    )
    assert [type(one) for one in (*found, *lost)] == [StorageUnavailable] * 4
    store.away = False
    assert await ledger.add(COUNTER, 1) == 1
