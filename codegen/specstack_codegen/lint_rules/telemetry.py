"""Rules about telemetry.yaml: its parts fit together."""

from __future__ import annotations

from collections.abc import Iterator
from string import Formatter
from typing import Any, cast

from specstack_codegen.build_telemetry import prometheus_name
from specstack_codegen.bundle import Spec
from specstack_codegen.lint_rules.registry import Finding, close, rule
from specstack_codegen.source import Map, Position


@rule("telemetry-attributes")
def telemetry_attributes(spec: Spec) -> Iterator[Finding]:
    """Every attribute of a metric or span is described, and every one that is described is used."""
    described = spec.telemetry.map("attributes")
    used: set[str] = set()
    for part in ("metrics", "spans"):
        for owner in _maps(spec.telemetry.map(part)):
            attributes = owner.map("attributes")
            for key, name in attributes.items():
                used.add(str(name))
                if str(name) not in described:
                    message = f"the attribute {str(name)!r} is not described"
                    yield Finding(attributes.at(key), message, close(str(name), described))
    for name in described:
        if name not in used:
            hint = "remove it, or name it in a metric or span"
            yield Finding(described.at(name), f"no metric and no span has the attribute {name!r}", hint)


@rule("telemetry-metrics")
def telemetry_metrics(spec: Spec) -> Iterator[Finding]:
    """Metrics have names of their own, in Prometheus too.

    Histograms, and they alone, have ascending buckets.
    """
    metrics = spec.telemetry.map("metrics")
    names: dict[str, Position] = {}
    for key in metrics:
        metric = metrics.map(key)
        kind = metric.text("kind")
        name = prometheus_name(metric.text("name"), kind, metric.text("unit"))
        if name in names:
            message = f"two metrics are called {name} in Prometheus; the first stands at {names[name]}"
            yield Finding(metric.at("name"), message, "choose another name")
        names.setdefault(name, metric.at("name"))
        buckets = [one for one in cast("list[Any]", metric.seq("buckets")) if isinstance(one, int | float)]
        if (kind == "histogram") != bool(buckets):
            message = f"the {kind} {key!r} has {'no ' if kind == 'histogram' else ''}buckets"
            hint = "give it buckets" if kind == "histogram" else "buckets are for histograms: remove them"
            yield Finding(metric.at("buckets" if buckets else "kind"), message, hint)
        elif buckets != sorted(set(buckets)):
            yield Finding(metric.at("buckets"), f"the buckets of {key!r} do not ascend", "sort them")


@rule("telemetry-spans")
def telemetry_spans(spec: Spec) -> Iterator[Finding]:
    """The names of a span use keys of its own attributes."""
    for span in _maps(spec.telemetry.map("spans")):
        names, known = span.seq("names"), span.map("attributes")
        for index, name in enumerate(names):
            try:
                keys = [key for _, key, _, _ in Formatter().parse(str(name)) if key is not None]
            except ValueError:
                yield Finding(names.at(index), f"{str(name)!r} has a brace too many", "write {key}")
                continue
            for key in keys:
                if key not in known:
                    message = f"the span has no attribute with the key {key!r}"
                    yield Finding(names.at(index), message, close(key, known))


@rule("telemetry-logs")
def telemetry_logs(spec: Spec) -> Iterator[Finding]:
    """A logger belongs to one category, and a category has loggers."""
    categories = spec.telemetry.map("logs").map("categories")
    owners: dict[str, str] = {}
    for name in categories:
        category = categories.map(name)
        for key in ("loggers", "libraries"):
            loggers = category.seq(key)
            for index, logger in enumerate(str(one) for one in loggers):
                if logger in owners:
                    message = f"the logger {logger!r} belongs to {owners[logger]!r} already"
                    yield Finding(loggers.at(index), message, "name it once")
                owners.setdefault(logger, name)
        if category and not category.seq("loggers") and not category.seq("libraries"):
            yield Finding(
                categories.at(name), f"the category {name!r} has no logger", "name some under loggers"
            )


def _maps(table: Map) -> Iterator[Map]:
    return (table.map(key) for key in table)
