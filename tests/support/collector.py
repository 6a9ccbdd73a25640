"""An OpenTelemetry collector for tests: takes OTLP over HTTP on a loopback port and keeps what came.

with Collector.running() as collector: collector.url, collector.spans(), collector.metrics()
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

T = TypeVar("T")


@dataclass
class Collector:
    """What was sent. `raw` are the bodies as they came, `headers` theirs."""

    url: str = ""
    status: int = 200
    raw: list[bytes] = field(default_factory=list[bytes])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    _spans: list[tuple[Any, Any]] = field(default_factory=list[tuple[Any, Any]])
    _metrics: list[ExportMetricsServiceRequest] = field(default_factory=list[ExportMetricsServiceRequest])

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[Collector]:
        """A collector until the block ends."""
        found = cls()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                found._take(self.path, body, dict(self.headers))
                self.send_response(found.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        found.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            server.server_close()
            thread.join(5)

    def _take(self, path: str, body: bytes, headers: dict[str, str]) -> None:
        self.raw.append(body)
        self.headers.append(headers)
        if path == "/v1/traces":
            request = ExportTraceServiceRequest.FromString(body)
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    self._spans.extend((resource.resource, span) for span in scope.spans)
        elif path == "/v1/metrics":
            self._metrics.append(ExportMetricsServiceRequest.FromString(body))

    def spans(self, kind: int | None = None) -> list[Any]:
        """All spans that came, or those of one kind (2: server, 3: client)."""
        return [span for _, span in self._spans if kind in (None, span.kind)]

    def resources(self) -> list[dict[str, Any]]:
        """The attributes of what the spans are of."""
        return [attributes(resource) for resource, _ in self._spans]

    def sent_metrics(self) -> list[Any]:
        """What each message with metrics was of: its resource and all that belongs to it, in turn."""
        return [resource for request in self._metrics for resource in request.resource_metrics]

    def metrics(self) -> dict[str, Any]:
        """The metrics that came last, by name."""
        last = self._metrics[-1]
        return {
            metric.name: metric
            for resource in last.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def wait(self, found: Callable[[], T], seconds: float = 20) -> T:
        """What `found` gives once that is anything."""
        deadline = time.monotonic() + seconds
        while not (value := found()):
            assert time.monotonic() < deadline, "the collector waits in vain"
            time.sleep(0.02)
        return value


def attributes(owner: Any) -> dict[str, Any]:
    """The attributes of a span, data point or resource."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in owner.attributes}
