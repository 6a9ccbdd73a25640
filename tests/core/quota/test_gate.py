"""Who is let in, what replies say of it, and what happens while the store does not answer."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from core.http.kit import asking, operation
from core.quota.kit import Clock, Memory, call, gate, headers
from specstack.descriptors import UsageSpec
from specstack.quota import gate as gate_module
from specstack.quota import ledger as ledger_module
from specstack_wire import ApiError, StorageUnavailable

USAGE = UsageSpec(input=("usage", "in"), output=("usage", "out"))
PLAIN, TELLING = asking(), operation("tell", path="/v1/tells", usage=USAGE)
PUBLIC = operation("open", path="/v1/open", public=True)
OPERATIONS = (PLAIN, TELLING, PUBLIC)


def per(window: str, **limits: int) -> dict[str, Any]:
    return {"per": window, **limits}


async def refusal(made: Any, one: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await made(one)
    return caught.value


async def test_exactly_the_limit_passes_and_the_rest_is_told_when_to_come_again() -> None:
    made = gate(Memory(), OPERATIONS, anonymous=[per("minute", requests=2)])
    seen = []
    for _ in range(2):
        one = call(PLAIN)
        await made(one)
        seen.append(headers(one))
    assert seen == [
        {"limit-requests": "2", "remaining-requests": "1", "reset-requests": "40s"},
        {"limit-requests": "2", "remaining-requests": "0", "reset-requests": "40s"},
    ]
    one = call(PLAIN)
    error = await refusal(made, one)
    assert (error.status, error.code, error.headers) == (429, "rate_limit_exceeded", {"retry-after": "40"})
    assert (
        error.message == "Rate limit reached: 2 requests per minute of one address; try again in 40 seconds."
    )
    assert headers(one) == seen[1]


async def test_callers_do_not_share_and_tenants_do() -> None:
    settings: Any = {
        "anonymous": [per("day", requests=1)],
        "authenticated": [per("day", requests=1)],
        "tenant": [per("day", requests=3)],
    }
    made = gate(Memory(), OPERATIONS, **settings)
    for one in (call(PLAIN), call(PLAIN, address="10.0.0.2"), call(PLAIN, "ann"), call(PLAIN, "bob")):
        await made(one)
        assert headers(one)["remaining-requests"] == "0"
    for one in (call(PLAIN, "ann"), call(PLAIN, "bob"), call(PLAIN)):
        assert "of one" in (await refusal(made, one)).message
    for who in ("ann", "bob", "cid"):
        await made(call(PLAIN, who, "red"))
    last = call(PLAIN, "dan", "red")
    assert "3 requests per day of one tenant" in (await refusal(made, last)).message
    await made(call(PLAIN, "dan", "blue"))


async def test_the_tightest_window_is_shown_and_the_one_that_refuses_decides() -> None:
    clock = Clock()
    made = gate(Memory(), OPERATIONS, clock, anonymous=[per("hour", requests=3), per("second", requests=2)])
    one = call(PLAIN)
    await made(one)
    assert headers(one) == {"limit-requests": "2", "remaining-requests": "1", "reset-requests": "1s"}
    await made(call(PLAIN))
    assert (await refusal(made, call(PLAIN))).headers == {"retry-after": "1"}
    clock.time += 1
    one = call(PLAIN)
    await made(one)  # what the second refused did not count in the hour
    assert headers(one)["limit-requests"] == "3"
    error = await refusal(made, call(PLAIN))
    assert "3 requests per hour" in error.message
    assert int(error.headers["retry-after"]) > 1000


async def test_around_the_turn_of_a_window_two_windows_worth_may_pass() -> None:
    clock = Clock(1_700_000_040 - 0.001)  # just before a minute begins
    made = gate(Memory(), OPERATIONS, clock, anonymous=[per("minute", requests=3)])
    for _ in range(3):
        await made(call(PLAIN))
    error = await refusal(made, call(PLAIN))
    assert (error.headers["retry-after"], "in 1 second." in error.message) == ("1", True)
    clock.time += 0.001
    for _ in range(3):
        await made(call(PLAIN))
    assert (await refusal(made, call(PLAIN))).headers == {"retry-after": "60"}
    clock.time -= 0.001  # a clock that goes back finds the old window used up
    await refusal(made, call(PLAIN))


async def test_tokens_are_paid_afterwards_and_the_next_call_is_refused() -> None:
    store = Memory()
    made = gate(store, OPERATIONS, anonymous=[per("minute", requests=9, tokens=10)])
    one = call(TELLING)
    await made(one)
    assert headers(one)["remaining-tokens"] == "10"
    made.spend(one, 4)
    one = call(TELLING)
    await made(one)
    assert headers(one)["remaining-tokens"] == "6"
    made.spend(one, 400)
    one = call(TELLING)
    error = await refusal(made, one)
    assert error.message.startswith("Rate limit reached: 10 tokens per minute of one address; ")
    assert headers(one)["remaining-tokens"] == "0"
    assert headers(one)["remaining-requests"] == "6"  # a refused request is a request
    one = call(PLAIN)
    await made(one)  # tells no tokens, so it is not held to them
    assert "limit-tokens" not in headers(one)


async def test_of_two_limits_that_are_used_up_the_later_one_says_when() -> None:
    made = gate(Memory(), OPERATIONS, anonymous=[per("minute", requests=1), per("day", tokens=1)])
    first = call(TELLING)
    await made(first)
    made.spend(first, 1)
    error = await refusal(made, call(TELLING))
    assert "tokens per day" in error.message
    assert int(error.headers["retry-after"]) > 60


@pytest.mark.parametrize(
    ("named", "counted"),
    [(None, {"ask", "tell"}), (["tell"], {"tell"}), (["things"], {"ask", "tell"}), ([], set())],
)
async def test_what_counts(named: Any, counted: set[str]) -> None:
    made = gate(Memory(), OPERATIONS, anonymous=[per("day", requests=5)], operations=named)
    for op in (*OPERATIONS, None, operation("elsewhere")):
        one = call(op)
        await made(one)
        assert bool(one.headers) == (op is not None and op.id in counted)


async def test_callers_without_a_limit_cost_nothing() -> None:
    store = Memory()
    made = gate(store, OPERATIONS, anonymous=[per("day", requests=5)])
    one = call(PLAIN, "ann")
    await made(one)
    assert (one.headers, store.added, store.read) == ([], [], 0)


async def test_who_goes_on_asking_over_the_limit_costs_the_store_nothing() -> None:
    store, clock = Memory(), Clock()
    made = gate(store, OPERATIONS, clock, anonymous=[per("minute", requests=1, tokens=1)])
    first = call(TELLING)
    await made(first)
    made.spend(first, 1)
    await refusal(made, call(TELLING))
    before = (len(store.added), store.read)
    for _ in range(20):
        await refusal(made, call(TELLING))
    assert (len(store.added), store.read) == before
    clock.time += 60
    await made(call(TELLING))


async def test_it_forgets_before_it_remembers_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "_REMEMBERED", 3)
    made = gate(Memory(), OPERATIONS, anonymous=[per("day", requests=1)])
    for number in range(20):
        await made(call(PLAIN, address=f"10.0.0.{number}"))
        await refusal(made, call(PLAIN, address=f"10.0.0.{number}"))
    assert len(made._spent) <= 3
    await refusal(made, call(PLAIN, address="10.0.0.0"))


async def test_a_hundred_at_once() -> None:
    store = Memory()
    store.slow = 0.005
    made = gate(store, OPERATIONS, anonymous=[per("day", requests=30)])
    found = await asyncio.gather(*(made(call(PLAIN)) for _ in range(100)), return_exceptions=True)
    assert [type(one) for one in found].count(type(None)) == 30
    assert len(store.added) <= 2


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "PATIENCE", 0.05)
    monkeypatch.setattr(ledger_module, "PATIENCE", 0.05)
    monkeypatch.setattr(gate_module, "PAUSE", 0.1)


@pytest.mark.parametrize("fault", ["away", "slow"])
async def test_while_the_store_is_away_calls_go_uncounted(
    fault: str, hurried: None, caplog: pytest.LogCaptureFixture
) -> None:
    store = Memory()
    made = gate(store, OPERATIONS, anonymous=[per("day", requests=1)])
    setattr(store, fault, 60.0)
    with caplog.at_level(logging.WARNING, "specstack.quota"):
        for _ in range(4):
            one = call(PLAIN)
            await made(one)
            assert one.headers == []
        assert made.uncounted == 4
        assert len(store.added) == 1  # nobody waits again for what did not answer a moment ago
        setattr(store, fault, 0)
        await asyncio.sleep(0.15)
        await made(call(PLAIN))
        await refusal(made, call(PLAIN))
    said = [one.message for one in caplog.records]
    assert [one.split(",")[0] for one in said] == ["the store of quotas does not answer", *said[1:]]
    assert "4 calls went uncounted" in said[1]
    assert len(said) == 2


async def test_or_they_are_refused(hurried: None) -> None:
    store = Memory()
    made = gate(store, OPERATIONS, anonymous=[per("day", requests=1)], when_unavailable="refuse")
    store.away = True
    for _ in range(2):
        error = await refusal(made, call(PLAIN))
        assert (error.status, error.code, error.headers) == (503, "storage_unavailable", {"retry-after": "1"})
        assert "10.0.0.9" not in error.message
    await made(call(PUBLIC))
    assert made.uncounted == 0


async def test_tokens_that_could_not_be_counted_are_known(hurried: None) -> None:
    store = Memory()
    made = gate(store, OPERATIONS, anonymous=[per("day", tokens=5)])
    store.away = True
    made.spend(call(TELLING), 3)
    await made.aclose()
    assert made.uncounted == 1


async def test_a_counter_that_holds_no_number_is_no_internal_error(hurried: None) -> None:
    class Odd(Memory):
        async def incr(self, *args: Any, **more: Any) -> int:
            raise ValueError("the value of the key 'x' is no integer")

    store = Odd()
    made = gate(store, OPERATIONS, anonymous=[per("day", requests=1, tokens=5)])
    await made(call(PLAIN))
    assert made.uncounted == 1
    reads = store.read
    await made(call(TELLING))
    assert store.read == reads + 1  # the others are still asked


def test_clients_read_no_hosts_and_the_log_does() -> None:
    error = StorageUnavailable("redis at 10.0.0.9:6379 is gone")
    assert "10.0.0.9" not in error.message
    assert str(error) == error.reason == "redis at 10.0.0.9:6379 is gone"
