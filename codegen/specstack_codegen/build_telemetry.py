"""Log categories, metrics and spans of the spec as IR nodes."""

from __future__ import annotations

import re
from typing import Any, cast

from specstack_codegen.ir_telemetry import LogCategory, Metric, Span, Telemetry
from specstack_codegen.source import Map

_UNITS = {"s": "seconds", "By": "bytes"}


def build_telemetry(table: Map) -> Telemetry | None:
    """What telemetry.yaml says; None for a spec that has none."""
    if not table:
        return None
    categories = table.map("logs").map("categories")
    metrics, spans = table.map("metrics"), table.map("spans")
    return Telemetry(
        categories=tuple(_category(name, categories.map(name)) for name in categories),
        attributes=_pairs(table.map("attributes")),
        metrics=tuple(_metric(key, metrics.map(key)) for key in metrics),
        spans=tuple(_span(key, spans.map(key)) for key in spans),
    )


def prometheus_name(name: str, kind: str, unit: str) -> str:
    """The name of a metric in Prometheus: with its unit, counters with `_total`."""
    found = re.sub(r"[^a-zA-Z0-9_]", "_", name)
    suffixes = [_UNITS.get(unit, ""), "total" if kind == "counter" else ""]
    if unit == "1" and kind == "gauge":
        suffixes[0] = "ratio"
    for suffix in suffixes:
        if suffix and not found.endswith(f"_{suffix}"):
            found += f"_{suffix}"
    return found


def _category(name: str, node: Map) -> LogCategory:
    return LogCategory(
        name=name,
        description=node.text("description"),
        loggers=tuple(str(one) for one in node.seq("loggers")),
        libraries=tuple(str(one) for one in node.seq("libraries")),
        default=node.get("default"),
    )


def _metric(key: str, node: Map) -> Metric:
    name, kind, unit = node.text("name"), node.text("kind"), node.text("unit")
    return Metric(
        key=key,
        name=name,
        prometheus=prometheus_name(name, kind, unit),
        kind=cast("Any", kind),
        unit=unit,
        description=node.text("description"),
        attributes=_pairs(node.map("attributes")),
        buckets=tuple(float(cast("float", one)) for one in node.seq("buckets")),
    )


def _span(key: str, node: Map) -> Span:
    return Span(
        key=key,
        kind=cast("Any", node.text("kind")),
        description=node.text("description"),
        names=tuple(str(one) for one in node.seq("names")),
        attributes=_pairs(node.map("attributes")),
    )


def _pairs(node: Map) -> tuple[tuple[str, str], ...]:
    return tuple((key, str(value)) for key, value in node.items())
