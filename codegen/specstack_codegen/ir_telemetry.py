"""The part of the intermediate representation that says what a server tells of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """An instrument. `key` is how the runtime calls it, `prometheus` its name in the text exposition.

    `attributes` maps the runtime's keys to attribute names. `buckets` are upper bounds; histograms alone
    have them.
    """

    key: str
    name: str
    prometheus: str
    kind: Literal["counter", "updown", "gauge", "histogram"]
    unit: str
    description: str
    attributes: tuple[tuple[str, str], ...]
    buckets: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A span. The first of `names` counts whose `{keys}` all are known of a call."""

    key: str
    kind: Literal["server", "client", "internal"]
    description: str
    names: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogCategory:
    """A part of the log with a level of its own."""

    name: str
    description: str
    loggers: tuple[str, ...]
    libraries: tuple[str, ...]
    default: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """What the server tells of itself. `attributes` are name and description."""

    categories: tuple[LogCategory, ...]
    attributes: tuple[tuple[str, str], ...]
    metrics: tuple[Metric, ...]
    spans: tuple[Span, ...]
