"""What of a server's telemetry is on, and what that takes."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from specstack import __version__
from specstack.config import RunConfig, load_reference
from specstack.descriptors import GeneratedServer, Operation, TelemetrySpec
from specstack.http.call import Observe, ObserverFor
from specstack.startup import StartupError
from specstack.telemetry.labels import providers_of
from specstack.telemetry.meters import Family, Meters
from specstack_wire import Upstream, UpstreamSettings

if TYPE_CHECKING:
    from specstack.telemetry.peers import Peers
    from specstack.workers.seat import Seat

UPSTREAM_LOG = "specstack.upstream"
"""The logger that tells each call to another server, at `debug`."""

_log = logging.getLogger("specstack.telemetry")


class _Wanted(NamedTuple):
    """What goes to a collector."""

    traces: bool
    metrics: bool


class Telemetry:
    """The metrics, traces and upstream log of one server. What is off is not imported, observed or wrapped.

    `seat` is that of this process if there are several. Raises StartupError when a package is missing.
    """

    def __init__(self, config: RunConfig, server: GeneratedServer, seat: "Seat | None" = None) -> None:
        settings = config.stack.telemetry
        spec: TelemetrySpec | None = None if server.telemetry is None else load_reference(server.telemetry)
        sending = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() != "true"
        wanted = _Wanted(settings.traces and sending, settings.metrics and sending)
        self.observers: list[ObserverFor] = []
        self.meters = Meters(spec if wanted.metrics or settings.prometheus else None)
        self.about = {
            "service.name": settings.service_name or os.environ.get("OTEL_SERVICE_NAME") or "specstack",
            "service.version": __version__,
        }
        self._seat = seat
        self._peers: Peers | None = None
        self._around: Callable[[Upstream, UpstreamSettings], Upstream] | None = None
        self._starts: list[Callable[[], None]] = []
        self._stops: list[Callable[[], Awaitable[object]]] = []
        noted = logging.getLogger(UPSTREAM_LOG).isEnabledFor(logging.DEBUG)
        if spec is None or not (wanted.traces or self.meters.on or noted):
            return
        if any(wanted):
            _check(config.file, wanted)
        self._switch_on(config, spec, wanted)

    def around(self, upstream: Upstream, settings: UpstreamSettings) -> Upstream:
        """The client of another server, observed if anything is on."""
        return upstream if self._around is None else self._around(upstream, settings)

    async def collect(self) -> list[Family]:
        """All metrics as they are now, those of other workers too."""
        return self.meters.collect() if self._peers is None else await self._peers.collect()

    def start(self) -> None:
        """Begin to send, in the running loop."""
        for start in self._starts:
            start()

    async def stop(self) -> None:
        """Send what is left, as far as the collector takes it within a few seconds."""
        await asyncio.gather(*(stop() for stop in self._stops))

    def _switch_on(self, config: RunConfig, spec: TelemetrySpec, wanted: _Wanted) -> None:
        from specstack.telemetry.upstreams import Begin, UpstreamTelemetry

        settings, providers = config.stack.telemetry, providers_of(config)
        about = self.about
        if self._seat is not None:
            # A collector must not take the numbers of two processes for those of one.
            about = {**about, "service.instance.id": str(uuid4())}
        endpoint = settings.endpoint and settings.endpoint.rstrip("/")
        begin: Begin | None = None
        if wanted.traces:
            from specstack.telemetry.otlp import TraceSender
            from specstack.telemetry.tracing import CallSpans, Spans

            traces = TraceSender(about, endpoint, settings.sample_ratio)
            spans = Spans(traces.provider, spec.spans)
            begin = spans.begin
            # Before all others, so that the log knows the trace from then on.
            self.observers.append(CallSpans(spans, providers, content=settings.capture_content).observer_for)
            self._stops.append(traces.stop)
        if self.meters.on:
            from specstack.telemetry.calls import CallMetrics
            from specstack.telemetry.process import watch_process

            self.observers.append(CallMetrics(self.meters, providers).observer_for)
            watch_process(self.meters)
            if self._seat is not None and self._seat.folder is not None:
                from specstack.telemetry.peers import Peers

                self._peers = Peers(self._seat, self._seat.folder, self.meters)
                self._starts.append(self._peers.start)
                self._stops.append(self._peers.stop)
        if wanted.metrics:
            from specstack.telemetry.otlp import MetricSender

            metrics = MetricSender(self.meters, about, endpoint)
            self._starts.append(metrics.start)
            self._stops.append(metrics.stop)
        asking: dict[str, Operation] = {}

        def learn(op: Operation | None) -> Observe | None:
            if op is not None and op.genai is not None:
                asking[op.id] = op
            return None

        self.observers.append(learn)
        self._around = UpstreamTelemetry(self.meters, begin, providers, asking).around


def _check(file: str, wanted: _Wanted) -> None:
    """Whether what goes out can be sent. Raises StartupError."""
    try:
        import specstack.telemetry.otlp  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        key = "traces" if wanted.traces else "metrics"
        needs = "needs the extra \"telemetry\": pip install 'specstack[telemetry]'"
        raise StartupError(f"{file}: telemetry.{key} {needs} ({error})") from None
    asked = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    if asked != "http/protobuf":
        _log.warning("OTEL_EXPORTER_OTLP_PROTOCOL asks for %s; only http/protobuf is spoken here", asked)
