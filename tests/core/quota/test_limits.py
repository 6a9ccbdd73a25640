"""Which counters a call has, and how its headers are written."""

from __future__ import annotations

from typing import Any

import pytest

from core.http.kit import asking
from core.quota.kit import call
from specstack.quota.headers import duration, retry_after
from specstack.quota.limits import KEPT, Rules, address_of
from specstack.storage.kv.base import Namespace
from specstack_api.run_config import QuotaConfig


@pytest.mark.parametrize(
    ("client", "name"),
    [
        (("10.0.0.1", 1), "10.0.0.1"),
        (["10.0.0.1", 2], "10.0.0.1"),
        (("::ffff:10.0.0.1", 1), "10.0.0.1"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
        (("2001:db8:1:2::9", 1), "2001:db8:1:2::/64"),
        (("2001:db8:1:3::9", 1), "2001:db8:1:3::/64"),
        (("testclient", 1), "testclient"),
        (("", None), "unknown"),
        (None, "unknown"),
    ],
)
def test_addresses(client: Any, name: str) -> None:
    assert address_of(client) == name


def test_a_caller_without_credentials_has_other_counters_than_one_with() -> None:
    window = [{"per": "hour", "requests": 1}]
    rules = Rules(
        QuotaConfig.model_validate({key: window for key in ("anonymous", "authenticated", "tenant")})
    )
    op = asking()

    def places(*args: Any) -> set[Any]:
        return {(one.scope, one.name) for one in rules.meters(call(op, *args), "requests")}

    callers = [(), ("ann",), ("bob",), ("ann", "red"), ("ann", "blue"), (None, None, "10.0.0.2")]
    found = [places(*args) for args in callers]
    assert [len(one) for one in found] == [1, 1, 1, 2, 2, 1]
    for index, one in enumerate(found):
        for other in found[:index]:
            assert not one & other
    assert places("ann", "red") & places("bob", "red")  # the tenant's


def test_short_windows_come_first_and_only_units_that_are_limited() -> None:
    windows = [{"per": "day", "requests": 9, "tokens": 5}, {"per": "second", "requests": 1}]
    rules = Rules(QuotaConfig.model_validate({"anonymous": windows}))
    assert [one.limit.per for one in rules.meters(call(asking()), "requests")] == ["second", "day"]
    assert [one.limit.most for one in rules.meters(call(asking()), "tokens")] == [5]
    assert rules.has("tokens")
    assert not Rules(QuotaConfig.model_validate({"anonymous": windows[1:]})).has("tokens")


@pytest.mark.parametrize(
    ("per", "now", "left"),
    [
        ("second", 0.25, 0.75),
        ("minute", 59.0, 1.0),
        ("minute", 60.0, 60.0),
        ("hour", 1.0, 3599.0),
        ("day", 0, 86400),
    ],
)
def test_windows_follow_the_clock(per: str, now: float, left: float) -> None:
    rules = Rules(QuotaConfig.model_validate({"anonymous": [{"per": per, "requests": 1}]}))
    (meter,) = rules.meters(call(asking()), "requests")
    counter = meter.at(1_700_006_400 + now)  # midnight
    assert counter.left == pytest.approx(left)
    assert counter.ttl == pytest.approx(left + KEPT)
    assert counter.key == meter.at(1_700_006_400 + now + left / 2).key
    assert counter.key != meter.at(1_700_006_400 + now + left).key


@pytest.mark.parametrize("who", ["a" * 300, "a\0b", "\ud800", "ü" * 200])
def test_a_caller_may_be_called_anything(who: str) -> None:
    rules = Rules(
        QuotaConfig.model_validate(
            {key: [{"per": "day", "requests": 1}] for key in ("authenticated", "tenant")}
        )
    )
    for meter in rules.meters(call(asking(), who, who), "requests"):
        assert meter.scope.tenant.startswith("sha256:")
        Namespace(None, "n")._place(meter.scope)  # type: ignore


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.0001, "1ms"),
        (0.25, "250ms"),
        (0.9999, "1s"),
        (1, "1s"),
        (30.001, "31s"),
        (60, "1m0s"),
        (360, "6m0s"),
        (3599.5, "1h0m0s"),
        (86400, "24h0m0s"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "1"), (0.2, "1"), (1, "1"), (1.2, "2"), (3600, "3600")])
def test_retry_after_is_whole_and_never_too_early(seconds: float, text: str) -> None:
    assert retry_after(seconds) == text
