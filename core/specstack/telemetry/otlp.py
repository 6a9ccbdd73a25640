"""Metrics and traces on their way to an OpenTelemetry collector. Imported only where one of them is on."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from specstack import __version__
from specstack.telemetry.meters import Family, Meters, Sample

LAST_WORDS = 3.0
"""Seconds that a stopping server waits for a collector to take what is left."""
_log = logging.getLogger("specstack.telemetry")
_CUMULATIVE = AggregationTemporality.CUMULATIVE


class TraceSender:
    """`provider` makes spans, which are sent in batches from a thread of their own."""

    def __init__(self, about: Mapping[str, str], endpoint: str | None, sample_ratio: float | None) -> None:
        sampler = None if sample_ratio is None else ParentBased(TraceIdRatioBased(sample_ratio))
        self.provider = TracerProvider(sampler, Resource.create(dict(about)), shutdown_on_exit=False)
        self._exporter = _SpanExporter(endpoint and f"{endpoint}/v1/traces")
        self.provider.add_span_processor(BatchSpanProcessor(self._exporter))

    async def stop(self) -> None:
        """Send what there is, if the collector takes it in time."""
        if not await in_time(self.provider.shutdown, LAST_WORDS):
            _log.warning("the last traces were not sent within %g s", LAST_WORDS)
            # Else it would try again, and tell so, after the server and its log are gone.
            await in_time(self._exporter.shutdown, LAST_WORDS)


class _SpanExporter(OTLPSpanExporter):
    """Gives up at once when it is told to, and is silent from then on."""

    _over = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.FAILURE if self._over else super().export(spans)

    def shutdown(self) -> None:
        if not self._over:
            self._over = True
            super().shutdown()


class MetricSender:
    """Sends the metrics every `OTEL_METRIC_EXPORT_INTERVAL` milliseconds (a minute), and when it stops."""

    def __init__(self, meters: Meters, about: Mapping[str, str], endpoint: str | None) -> None:
        self._meters = meters
        self._resource = Resource.create(dict(about))
        self._exporter = OTLPMetricExporter(endpoint and f"{endpoint}/v1/metrics")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to send, in the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(_interval()))

    async def stop(self) -> None:
        """Send what there is, if the collector takes it in time."""
        if self._task is not None:
            self._task.cancel()
            if not await in_time(self._export(), LAST_WORDS):
                _log.warning("the last metrics were not sent within %g s", LAST_WORDS)
        await in_time(lambda: self._exporter.shutdown(0), LAST_WORDS)

    async def _run(self, interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            # A collector that hangs is left to its time limit; nothing waits but this task.
            await in_time(self._export(), 60)

    def _export(self) -> Callable[[], object]:
        """The numbers are taken now, in the loop, and sent elsewhere."""
        data = metrics_data(self._meters.collect(), self._resource, self._meters.started_ns)
        return lambda: self._exporter.export(data)


def metrics_data(families: Iterable[Family], resource: Resource, started_ns: int) -> MetricsData:
    """The numbers as the SDK's own readers would give them."""
    now = time.time_ns()
    metrics = [_metric(family, started_ns, now) for family in families if family.samples]
    scope = InstrumentationScope("specstack", __version__)
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(scope, metrics, "")], "")])


async def in_time(work: Callable[[], object], seconds: float) -> bool:
    """Do what blocks in a thread that nobody has to wait for; whether it was done within `seconds`."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def run() -> None:
        try:
            work()
        finally:
            with suppress(RuntimeError):  # the loop was not waited for
                loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name="specstack-telemetry", daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            await done.wait()
    except TimeoutError:
        return False
    return True


def _metric(family: Family, start: int, now: int) -> Metric:
    spec = family.spec
    if spec.kind == "histogram":
        data = Histogram(
            [_distribution(one, spec.buckets, start, now) for one in family.samples], _CUMULATIVE
        )
    else:
        numbers = [NumberDataPoint(one.attributes, start, now, one.value) for one in family.samples]
        data = Gauge(numbers) if spec.kind == "gauge" else Sum(numbers, _CUMULATIVE, spec.kind == "counter")
    return Metric(spec.name, spec.description, spec.unit, data)


def _distribution(sample: Sample, bounds: tuple[float, ...], start: int, now: int) -> HistogramDataPoint:
    return HistogramDataPoint(
        attributes=sample.attributes,
        start_time_unix_nano=start,
        time_unix_nano=now,
        count=sum(sample.counts),
        sum=sample.value,
        bucket_counts=sample.counts,
        explicit_bounds=bounds,
        min=sample.least,
        max=sample.most,
    )


def _interval() -> float:
    """In seconds."""
    try:
        return max(0.01, float(os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", "60000")) / 1000)
    except ValueError:
        return 60.0
