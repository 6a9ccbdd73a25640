"""Comparing what the server tells of itself: metrics, spans and log categories, which operators read."""

from __future__ import annotations

from collections.abc import Iterator

from specstack_codegen.review.comparison import Pair
from specstack_codegen.review.findings import Sink, Subject
from specstack_codegen.source import Map

TELEMETRY = Subject("telemetry", "telemetry", "Telemetry")
_WORDS = frozenset({"description"})
# What only tunes how finely something is counted.
_TUNING = frozenset({"buckets"})


def compare_telemetry(telemetry: Pair, sink: Sink) -> None:
    """Report what dashboards, alerts and log settings no longer find, or find otherwise."""
    for section, entries in _sections(telemetry):
        for name in entries.gone():
            places = entries.old.at(name), telemetry.new.at(section.split(".")[0])
            sink.add("telemetry-removed", TELEMETRY, f"{section}.{name}", f"`{name}` is gone", *places)
        for name in entries.come():
            places = telemetry.old.at(section.split(".")[0]), entries.new.at(name)
            sink.add("telemetry-added", TELEMETRY, f"{section}.{name}", f"`{name}` is new", *places)
        for name in entries.both():
            if entries.differs(name) and not isinstance(entries.new[name], Map):
                where = entries.at(name)
                sink.add(
                    "documentation-changed", TELEMETRY, f"{section}.{name}", "`description` changed", *where
                )
            _compare(f"{section}.{name}", entries.map(name), sink)


def _sections(telemetry: Pair) -> Iterator[tuple[str, Pair]]:
    for section in dict.fromkeys((*telemetry.old, *telemetry.new)):
        if section == "logs":
            yield "logs.categories", telemetry.map("logs").map("categories")
        elif section == "metrics":
            yield section, Pair(*(_by_name(one.map(section)) for one in telemetry))
        else:
            yield section, telemetry.map(section)


def _by_name(metrics: Map) -> Map:
    """Metrics by the name that operators see; the key is the runtime's own."""
    found = Map(pos=metrics.pos)
    for key in metrics:
        found.put(metrics.map(key).text("name", key), metrics[key], metrics.at(key))
    return found


def _compare(path: str, entry: Pair, sink: Sink) -> None:
    for key in dict.fromkeys((*entry.old, *entry.new)):
        if not entry.differs(key):
            continue
        if key == "attributes":
            _attributes(f"{path}.{key}", entry, sink)
            continue
        rule = "documentation-changed" if key in _WORDS else "telemetry-changed"
        rule = "telemetry-tuned" if key in _TUNING else rule
        text = f"`{key}` changed" if key in _WORDS else entry.changed(key)
        sink.add(rule, TELEMETRY, f"{path}.{key}", text, *entry.at(key))


def _attributes(path: str, entry: Pair, sink: Sink) -> None:
    """Attributes by the name that operators see."""
    old, new = (
        {str(one): holder.at(key) for key, one in holder.items()} for holder in entry.map("attributes")
    )
    places = entry.at("attributes")
    for name in old:
        if name not in new:
            sink.add("telemetry-removed", TELEMETRY, path, f"`{name}` is gone", old[name], places[1])
    for name in new:
        if name not in old:
            sink.add("telemetry-added", TELEMETRY, path, f"`{name}` is new", places[0], new[name])
