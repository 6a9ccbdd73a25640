"""Counting, and the page that Prometheus reads."""

import math
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from specstack.descriptors import MetricSpec, TelemetrySpec
from specstack.telemetry.meters import MOST_SERIES, OVERFLOW, Meters
from specstack.telemetry.prometheus import exposition
from specstack_server.telemetry import TELEMETRY


def spec(**metrics: dict[str, Any]) -> TelemetrySpec:
    made = {
        key: MetricSpec(
            **{"name": f"a.{key}", "prometheus": f"a_{key}", "unit": "1", "description": "D.", **one}
        )
        for key, one in metrics.items()
    }
    return TelemetrySpec(categories={}, metrics=made, spans={})


TIMES = {
    "kind": "histogram",
    "attributes": {"who": "app.who", "status": "http.status"},
    "buckets": (1.0, 2.5),
}


def parsed(meters: Meters, **about: str) -> dict[str, Any]:
    text = exposition(meters.collect(), about).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_a_histogram_counts_up_to_and_with_its_bounds() -> None:
    meters = Meters(spec(times=TIMES))
    series = meters.histogram("times", "status", "who").of(200, "me")
    for value in (0.5, 1.0, 1.1, 2.5, 9):
        series.observe(value)
    (family,) = meters.collect()
    (sample,) = family.samples
    assert sample.attributes == {"http.status": 200, "app.who": "me"}
    assert (sample.counts, sample.value, sample.least, sample.most) == ((2, 2, 1), 14.1, 0.5, 9)
    samples = {(one.name, one.labels.get("le")): one.value for one in parsed(meters)["a_times"].samples}
    assert samples == {
        ("a_times_bucket", "1"): 2,
        ("a_times_bucket", "2.5"): 4,
        ("a_times_bucket", "+Inf"): 5,
        ("a_times_sum", None): 14.1,
        ("a_times_count", None): 5,
    }


def test_labels_of_any_text_survive_the_page() -> None:
    wild = 'a "quoted"\nback\\slash {brace} ü,='
    meters = Meters(spec(n={"kind": "counter", "attributes": {"who": "app.who"}}))
    meters.counter("n", "who").of(wild).add(3)
    found = parsed(meters, **{"service.name": wild})
    (sample,) = found["a_n"].samples
    assert (sample.labels, sample.value) == ({"app_who": wild}, 3)
    assert found["target_info"].samples[0].labels == {"service_name": wild}


def test_what_an_attribute_does_not_say_is_left_out() -> None:
    meters = Meters(spec(n={"kind": "updown", "attributes": {"who": "app.who"}}))
    counter = meters.counter("n", "who")
    counter.of(None).add()
    counter.of(None).add(-3)
    assert parsed(meters)["a_n"].samples[0].labels == {}
    assert (parsed(meters)["a_n"].type, parsed(meters)["a_n"].samples[0].value) == ("gauge", -2)


def test_a_watched_number_is_read_when_somebody_asks() -> None:
    meters = Meters(spec(g={"kind": "gauge", "attributes": {}}))
    numbers = iter([1.5, math.pi])
    meters.watch("g", lambda: [((), next(numbers))])
    assert [parsed(meters)["a_g"].samples[0].value for _ in range(2)] == [1.5, math.pi]


def test_series_do_not_grow_without_end() -> None:
    meters = Meters(spec(n={"kind": "counter", "attributes": {"who": "app.who"}}))
    counter = meters.counter("n", "who")
    for number in range(MOST_SERIES + 50):
        counter.of(str(number)).add()
    counter.of("7").add()
    (family,) = meters.collect()
    assert len(family.samples) == MOST_SERIES + 1
    by_name = {one.attributes.get("app.who"): one.value for one in family.samples}
    assert by_name["7"] == 2
    assert [one.value for one in family.samples if OVERFLOW in one.attributes] == [50]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda m: m.counter("none"), "there is no counter or updown 'none'"),
        (lambda m: m.counter("times", "who", "status"), "there is no counter or updown 'times'"),
        (lambda m: m.histogram("times", "who"), "metrics.times has the attributes who, status"),
        (lambda m: m.watch("times", lambda: ()), "there is no counter or updown or gauge 'times'"),
    ],
)
def test_keys_are_those_of_the_spec(ask: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ask(Meters(spec(times=TIMES)))


def test_without_a_spec_nobody_is_told() -> None:
    meters = Meters()
    meters.counter("anything", "who").of("me").add()
    meters.histogram("anything", "who").of("me").observe(1)
    meters.watch("anything", lambda: [])
    assert (meters.on, meters.collect()) == (False, [])


def test_every_name_of_the_spec_is_one_in_prometheus_too() -> None:
    meters = Meters(TELEMETRY)
    for key, one in TELEMETRY.metrics.items():
        values = ["x"] * len(one.attributes)
        if one.kind == "histogram":
            meters.histogram(key, *one.attributes).of(*values).observe(1)
        elif one.kind == "gauge":
            meters.watch(key, lambda values=values: [(tuple(values), 1)], *one.attributes)
        else:
            meters.counter(key, *one.attributes).of(*values).add()
    found = parsed(meters)
    names = {one.prometheus.removesuffix("_total") for one in TELEMETRY.metrics.values()}
    assert set(found) == names | {"target_info"}
    assert all(family.documentation for family in found.values())
