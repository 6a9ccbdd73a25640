"""Counters and histograms in memory, read by whoever sends or serves them.

They are plain numbers that the event loop's thread alone changes: an observation costs about a fifth of a
microsecond, where the client of Prometheus takes ten times that and OpenTelemetry's SDK fifty.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from specstack.descriptors import MetricSpec, TelemetrySpec

Value = str | int | None
"""What an attribute says; None leaves it out."""
Watched = Callable[[], Iterable[tuple[tuple[Value, ...], float]]]
"""Reads numbers when somebody asks: the attributes' values with each."""

MOST_SERIES = 2000
"""Sets of attributes that one metric may have; later ones are counted together."""
OVERFLOW = "otel.metric.overflow"


class Count:
    """A number for one set of attributes."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def add(self, amount: float = 1) -> None:
        """Go up, or down where the metric may."""
        self.value += amount


class Distribution:
    """Observations for one set of attributes: how many per bucket, their sum, the least and the most."""

    __slots__ = ("_bounds", "counts", "least", "most", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.least = float("inf")
        self.most = float("-inf")

    def observe(self, value: float) -> None:
        """Count a value in the bucket that it fits into."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value
        if value < self.least:
            self.least = value
        if value > self.most:
            self.most = value


S = TypeVar("S")


class Instrument(Generic[S]):
    """A metric: a series for each set of attributes, in the order in which its maker gave their keys."""

    __slots__ = ("_make", "_series")

    def __init__(self, make: Callable[[], S]) -> None:
        self._make = make
        self._series: dict[tuple[Value, ...] | None, S] = {}

    def of(self, *values: Value) -> S:
        """The series of these values of the attributes."""
        found = self._series.get(values)
        return self._new(values) if found is None else found

    def _new(self, values: tuple[Value, ...]) -> S:
        key = values if len(self._series) < MOST_SERIES else None
        found = self._series.get(key)
        if found is None:
            found = self._series[key] = self._make()
        return found

    def series(self) -> Iterator[tuple[tuple[Value, ...] | None, S]]:
        """What there is now; None stands for what came when there was no room."""
        return iter(tuple(self._series.items()))


@dataclass(frozen=True, slots=True)
class Sample:
    """A number, or a histogram's sum, buckets, least and most, with the attributes that it is about."""

    attributes: Mapping[str, str | int]
    value: float
    counts: tuple[int, ...] = ()
    least: float = 0
    most: float = 0


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with all that is known of it now."""

    spec: MetricSpec
    samples: tuple[Sample, ...]


class Meters:
    """The metrics of one server by the keys of telemetry.yaml. Without a spec they count for nobody.

    Keys of metrics and attributes that the spec does not have raise ValueError.
    """

    def __init__(self, spec: TelemetrySpec | None = None) -> None:
        self.started_ns = time.time_ns()
        self._spec = spec
        self._readers: dict[str, Callable[[], tuple[Sample, ...]]] = {}

    @property
    def on(self) -> bool:
        """Whether anybody reads what is counted."""
        return self._spec is not None

    def counter(self, key: str, *attributes: str) -> Instrument[Count]:
        """A metric of the kind `counter` or `updown`; `of` gives values for the keys `attributes`."""
        found = Instrument(Count)
        if self._spec is not None:
            names = self._names(key, attributes, "counter", "updown")

            def read() -> tuple[Sample, ...]:
                return tuple(Sample(_attributes(names, values), one.value) for values, one in found.series())

            self._readers[key] = read
        return found

    def histogram(self, key: str, *attributes: str) -> Instrument[Distribution]:
        """A metric of the kind `histogram`."""
        if self._spec is None:
            return Instrument(lambda: Distribution(()))
        names = self._names(key, attributes, "histogram")
        bounds = self._spec.metrics[key].buckets
        found = Instrument(lambda: Distribution(bounds))

        def read() -> tuple[Sample, ...]:
            return tuple(
                Sample(_attributes(names, values), one.sum, tuple(one.counts), one.least, one.most)
                for values, one in found.series()
            )

        self._readers[key] = read
        return found

    def watch(self, key: str, watched: Watched, *attributes: str) -> None:
        """A metric whose numbers are kept elsewhere and read when somebody asks."""
        if self._spec is None:
            return
        names = self._names(key, attributes, "counter", "updown", "gauge")
        self._readers[key] = lambda: tuple(
            Sample(_attributes(names, values), value) for values, value in watched()
        )

    def collect(self) -> list[Family]:
        """All metrics as they are now, in the order of the spec. Call it in the event loop's thread."""
        if self._spec is None:
            return []
        return [
            Family(metric, self._readers[key]())
            for key, metric in self._spec.metrics.items()
            if key in self._readers
        ]

    def _names(self, key: str, attributes: tuple[str, ...], *kinds: str) -> tuple[str, ...]:
        metric = None if self._spec is None else self._spec.metrics.get(key)
        if metric is None or metric.kind not in kinds:
            raise ValueError(f"telemetry.yaml: there is no {' or '.join(kinds)} {key!r} under metrics")
        if set(attributes) != set(metric.attributes):
            known = ", ".join(metric.attributes) or "none"
            raise ValueError(f"telemetry.yaml: metrics.{key} has the attributes {known}; got {attributes}")
        return tuple(metric.attributes[one] for one in attributes)


def _attributes(names: tuple[str, ...], values: tuple[Value, ...] | None) -> dict[str, str | int]:
    if values is None:
        return {OVERFLOW: "true"}
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}
