"""What operators read: metrics by name, spans, categories of the log."""

from typing import Any

import pytest

from specstack_codegen.review.comparison import Pair
from specstack_codegen.review.findings import Sink
from specstack_codegen.review.telemetry import compare_telemetry
from specstack_codegen.source import positionless
from support.mutations import seen

BASE: dict[str, Any] = {
    "logs": {"categories": {"http": {"description": "Calls.", "loggers": ["a.http"]}}},
    "metrics": {
        "calls": {
            "name": "server.calls",
            "kind": "histogram",
            "unit": "s",
            "buckets": [1, 2],
            "attributes": {"route": "http.route"},
            "description": "Calls.",
        }
    },
    "spans": {"call": {"kind": "server", "names": ["{route}"], "attributes": {"route": "http.route"}}},
}


def changed(way: str, value: Any) -> dict[str, Any]:
    """The base with another value at `way`; None takes it out."""
    copy = positionless(BASE)
    *steps, last = way.split("/")
    holder = copy
    for step in steps:
        holder = holder[step]
    if value is None:
        del holder[last]
    else:
        holder[last] = positionless(value)
    return copy


@pytest.mark.parametrize(
    ("way", "value", "finds"),
    [
        ("metrics/calls", None, ["risky telemetry-removed telemetry metrics.server.calls"]),
        (
            "metrics/calls/name",
            "server.requests",
            [
                "risky telemetry-removed telemetry metrics.server.calls",
                "compatible telemetry-added telemetry metrics.server.requests",
            ],
        ),
        ("metrics/calls/unit", "ms", ["risky telemetry-changed telemetry metrics.server.calls.unit"]),
        ("metrics/calls/kind", "counter", ["risky telemetry-changed telemetry metrics.server.calls.kind"]),
        ("metrics/calls/buckets", [1], ["compatible telemetry-tuned telemetry metrics.server.calls.buckets"]),
        (
            "metrics/calls/attributes",
            {},
            ["risky telemetry-removed telemetry metrics.server.calls.attributes"],
        ),
        (
            "metrics/calls/attributes/status",
            "http.status",
            ["compatible telemetry-added telemetry metrics.server.calls.attributes"],
        ),
        ("metrics/calls/attributes", {"way": "http.route"}, []),
        ("metrics/calls/description", "Other words.", []),
        ("spans/call", None, ["risky telemetry-removed telemetry spans.call"]),
        ("spans/call/names", ["call"], ["risky telemetry-changed telemetry spans.call.names"]),
        ("logs/categories/http", None, ["risky telemetry-removed telemetry logs.categories.http"]),
        ("logs/categories/db", {}, ["compatible telemetry-added telemetry logs.categories.db"]),
    ],
)
def test_a_change(way: str, value: Any, finds: list[str]) -> None:
    sink = Sink()
    compare_telemetry(Pair(positionless(BASE), changed(way, value)), sink)
    assert list(seen(sink.findings())) == finds
