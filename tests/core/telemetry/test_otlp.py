"""Traces and metrics of a running server as a collector gets them, and a caller's trace on its way."""

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from core.telemetry.kit import COUNTED, PARENT, TRACE, chat, told
from specstack import __version__
from support.collector import Collector, attributes
from support.loopback_upstream import LoopbackUpstream
from support.process import free_port

PATH = "/v1/chat/completions"
SERVER, CLIENT = 2, 3
ERROR = 2


@pytest.fixture
def upstream() -> Iterator[LoopbackUpstream]:
    with LoopbackUpstream.running() as running:
        yield running


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    for name, value in {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_METRIC_EXPORT_INTERVAL": "100"}.items():
        monkeypatch.setenv(name, value)
    with Collector.running() as running:
        yield running


def chats(collector: Collector, count: int) -> tuple[list[Any], list[Any]]:
    """The spans of so many chats, once they are there: the calls, and the calls of the upstream."""

    def found() -> tuple[list[Any], list[Any]] | None:
        calls = [one for one in collector.spans(SERVER) if one.name == f"POST {PATH}"]
        upstreams = [
            one for one in collector.spans(CLIENT) if attributes(one)["http.request.method"] == "POST"
        ]
        return (calls, upstreams) if min(len(calls), len(upstreams)) >= count else None

    return collector.wait(found)


def hexed(value: bytes) -> str:
    return value.hex()


def test_a_callers_trace_goes_on_here_and_in_the_upstream(
    upstream: LoopbackUpstream, collector: Collector
) -> None:
    headers = {"traceparent": PARENT, "tracestate": "vendor=1,other=2", "baggage": "user=secret"}
    with told(upstream, traces=True, endpoint=collector.url) as client:
        client.get("/v1/models")
        reply = client.post(PATH, json=chat(**COUNTED), headers=headers)
        (call,), (outward,) = chats(collector, 1)
    assert hexed(call.trace_id) == hexed(outward.trace_id) == TRACE
    assert hexed(call.parent_span_id) == PARENT[36:52]
    assert outward.parent_span_id == call.span_id
    assert call.trace_state == "vendor=1,other=2"
    seen = upstream.seen[-1].headers
    assert seen["traceparent"] == f"00-{TRACE}-{hexed(outward.span_id)}-01"
    assert seen["tracestate"] == "vendor=1,other=2"
    assert "baggage" not in seen
    assert attributes(call) == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "http.route": PATH,
        "url.path": PATH,
        "client.address": "127.0.0.1",
        "http.response.status_code": 200,
        "specstack.operation": "createChatCompletion",
        "specstack.request.id": reply.headers["x-request-id"],
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai-compatible",
        "specstack.provider.id": "up",
        "gen_ai.request.model": "up/echo",
        "gen_ai.response.model": "echo",
        "gen_ai.usage.input_tokens": 2,
        "gen_ai.usage.output_tokens": 4,
    }
    host, port = upstream.base_url.removeprefix("http://").removesuffix("/v1").split(":")
    assert outward.name == "chat echo"
    assert attributes(outward) == {
        "http.request.method": "POST",
        "url.full": f"{upstream.base_url}/chat/completions",
        "server.address": host,
        "server.port": int(port),
        "http.response.status_code": 200,
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai-compatible",
        "specstack.provider.id": "up",
        "gen_ai.request.model": "echo",
        "gen_ai.response.model": "echo",
    }
    assert call.start_time_unix_nano <= outward.start_time_unix_nano
    assert outward.end_time_unix_nano <= call.end_time_unix_nano
    resource = collector.resources()[0]
    assert (resource["service.name"], resource["service.version"]) == ("specstack", __version__)


def test_without_a_callers_trace_each_call_has_its_own(
    upstream: LoopbackUpstream, collector: Collector
) -> None:
    with told(upstream, traces=True, endpoint=collector.url, service_name="mine") as client:
        for bad in ({}, {"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"}, {"traceparent": "junk"}):
            assert client.post(PATH, json=chat(), headers=bad).status_code == 200
        calls, outward = chats(collector, 3)
    assert len({hexed(one.trace_id) for one in calls}) == 3
    assert [one.parent_span_id for one in calls] == [b""] * 3
    assert {one.trace_id for one in calls} == {one.trace_id for one in outward}
    assert {one["service.name"] for one in collector.resources()} == {"mine"}


def test_a_callers_trace_passes_through_where_traces_are_off(upstream: LoopbackUpstream) -> None:
    with told(upstream) as client:
        client.post(PATH, json=chat(), headers={"traceparent": PARENT, "tracestate": "a=b", "baggage": "c=d"})
        passed = upstream.seen[-1].headers
        client.post(PATH, json=chat(), headers={"traceparent": "junk", "tracestate": "a=b"})
        junk = upstream.seen[-1].headers
        client.post(PATH, json=chat(), headers={"traceparent": f"cc-{PARENT[3:]}-more"})
        later = upstream.seen[-1].headers
        client.post(PATH, json=chat())
        none = upstream.seen[-1].headers
    assert (passed["traceparent"], passed["tracestate"]) == (PARENT, "a=b")
    assert "baggage" not in passed
    assert not {"traceparent", "tracestate"} & (junk.keys() | none.keys())
    assert later["traceparent"] == f"cc-{PARENT[3:]}"


def test_a_caller_decides_whether_its_trace_is_kept(upstream: LoopbackUpstream, collector: Collector) -> None:
    unkept = PARENT[:-1] + "0"
    with told(upstream, traces=True, endpoint=collector.url, sample_ratio=0) as client:
        client.post(PATH, json=chat())
        client.post(PATH, json=chat(), headers={"traceparent": unkept})
        assert upstream.seen[-1].headers["traceparent"].startswith(f"00-{TRACE}-")
        assert upstream.seen[-1].headers["traceparent"].endswith("-00")
        client.post(PATH, json=chat(), headers={"traceparent": PARENT})
        (call,), _ = chats(collector, 1)
    assert hexed(call.trace_id) == TRACE
    assert len(collector.spans()) == 2


def test_failures_and_who_is_to_blame(upstream: LoopbackUpstream, collector: Collector) -> None:
    with told(upstream, traces=True, endpoint=collector.url) as client:
        client.post(PATH, json=chat(content="@@status=500@@"))
        client.post(PATH, json={"model": 5})
        calls = collector.wait(
            lambda: (
                found
                if len(found := [s for s in collector.spans(SERVER) if s.name == f"POST {PATH}"]) == 2
                else None
            )
        )
        outward = collector.spans(CLIENT)[-1]
    failed, refused = calls
    assert (failed.status.code, attributes(failed)["error.type"]) == (ERROR, "upstream_failed")
    assert (refused.status.code, attributes(refused)["error.type"]) == (0, "invalid_request")
    assert (outward.status.code, attributes(outward)["error.type"]) == (ERROR, "500")


def test_prompts_and_answers_are_kept_only_if_asked(upstream: LoopbackUpstream, collector: Collector) -> None:
    canary = "canary-prompt " + "x" * 70000
    with told(upstream, traces=True, endpoint=collector.url) as client:
        client.post(PATH, json=chat(content=canary))
        client.post(PATH, json=chat(content=canary, **COUNTED))
        chats(collector, 2)
    assert not any(b"canary-prompt" in raw for raw in collector.raw)
    with told(upstream, traces=True, endpoint=collector.url, capture_content=True) as client:
        client.post(PATH, json=chat(content=canary))
        client.post(PATH, json=chat(content="canary-stream", **COUNTED))
        calls, _ = chats(collector, 4)
    whole, streamed = (attributes(one) for one in calls[2:])
    assert whole["specstack.request.body"].startswith('{"model":"up/echo"')
    assert len(whole["specstack.request.body"]) == len(whole["specstack.reply.body"]) == 65536
    events = [json.loads(line) for line in streamed["specstack.reply.body"].splitlines()]
    said = "".join(c["delta"].get("content") or "" for one in events for c in one["choices"])
    assert said == "You said: canary-stream"


def test_metrics_reach_the_collector(upstream: LoopbackUpstream, collector: Collector) -> None:
    with told(upstream, metrics=True, endpoint=collector.url) as client:
        client.get("/v1/models")
        client.post(PATH, json=chat(**COUNTED))
        assert client.get("/metrics").status_code == 404, "Prometheus is another switch"
        collector.wait(lambda: collector.raw and "gen_ai.client.token.usage" in collector.metrics())
        client.post(PATH, json=chat())
    # The last ones were sent when the server stopped.
    found = collector.metrics()
    usage = found["gen_ai.client.token.usage"]
    assert usage.unit == "{token}"
    assert usage.histogram.aggregation_temporality == 2
    points = {attributes(one)["gen_ai.token.type"]: one for one in usage.histogram.data_points}
    point = points["output"]
    assert (point.count, point.sum, point.min, point.max) == (2, 8, 4, 4)
    assert list(point.explicit_bounds)[:3] == [1, 4, 16]
    assert list(point.bucket_counts)[:3] == [0, 2, 0]
    assert 0 < point.start_time_unix_nano < point.time_unix_nano
    duration = found["http.server.request.duration"].histogram.data_points
    by_route = {attributes(one).get("http.route"): attributes(one) for one in duration}
    assert by_route[PATH]["http.response.status_code"] == 200
    assert found["process.cpu.time"].sum.is_monotonic
    assert not found["http.server.active_requests"].sum.is_monotonic
    assert found["process.uptime"].gauge.data_points[0].as_double > 0


def test_the_standard_variables(
    upstream: LoopbackUpstream, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=me")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "named")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    with told(upstream, traces=True) as client:
        client.post(PATH, json=chat())
        chats(collector, 1)
    resource = collector.resources()[0]
    assert (resource["service.name"], resource["deployment.environment"]) == ("named", "test")
    assert {name.lower(): value for name, value in collector.headers[0].items()}["x-tenant"] == "me"
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    count = len(collector.raw)
    with told(upstream, traces=True, metrics=True) as client:
        client.post(PATH, json=chat())
    assert len(collector.raw) == count


@pytest.mark.parametrize("fault", ["refuses", "hangs", "fails"])
def test_a_collector_out_of_order_costs_nobody_anything(
    upstream: LoopbackUpstream,
    collector: Collector,
    fault: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Calls are as quick and the server stops in time, whatever happens to what was measured."""
    collector.status = 503
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "5")
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = {
            "refuses": f"http://127.0.0.1:{free_port()}",
            "hangs": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "fails": collector.url,
        }[fault]
        with (
            told(upstream, traces=True, metrics=True, endpoint=url) as client,
            caplog.at_level(logging.ERROR),
        ):
            slowest = 0.0
            for _ in range(30):
                began = time.monotonic()
                assert client.post(PATH, json=chat()).status_code == 200
                slowest = max(slowest, time.monotonic() - began)
            began = time.monotonic()
        stopped = time.monotonic() - began
        # None of its threads goes on trying, and telling so, once what was under way has failed.
        left = {
            one for one in threading.enumerate() if "telemetry" in one.name or "Otel" in one.name
        } - before
        for thread in left:
            thread.join(20)
        assert not any(thread.is_alive() for thread in left)
    assert slowest < 3
    assert stopped < 12, "three seconds each for metrics, their exporter and traces, and uvicorn's own"


def test_a_missing_package_is_named(upstream: LoopbackUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from core.telemetry.kit import application
    from specstack.startup import StartupError
    from specstack.telemetry.setup import Telemetry

    for name in [
        name for name in sys.modules if name.startswith(("specstack.telemetry.otlp", "opentelemetry"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter", None)
    app = application(upstream.base_url, metrics=True)
    with pytest.raises(StartupError) as caught:
        Telemetry(app.config, app.server)
    (line,) = caught.value.lines
    needs = "told.yaml: telemetry.metrics needs the extra \"telemetry\": pip install 'specstack[telemetry]'"
    assert line.startswith(needs)


def test_what_is_not_a_collector_is_refused(upstream: LoopbackUpstream) -> None:
    from core.telemetry.kit import application
    from specstack.startup import ConfigError

    with pytest.raises(ConfigError, match=r"telemetry\.endpoint: must match the pattern"):
        application(upstream.base_url, endpoint="localhost:4317")
