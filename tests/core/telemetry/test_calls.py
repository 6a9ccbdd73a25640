"""What a running server counts, as Prometheus reads it."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from core.telemetry.kit import COUNTED, chat, told
from specstack.telemetry.labels import MOST_UNLISTED
from support.loopback_upstream import LoopbackUpstream

PATH = "/v1/chat/completions"


@pytest.fixture
def upstream() -> Iterator[LoopbackUpstream]:
    with LoopbackUpstream.running() as running:
        yield running


@pytest.fixture
def client(upstream: LoopbackUpstream) -> Iterator[httpx.Client]:
    with told(upstream, prometheus=True) as client:
        yield client


class Page:
    """The metrics as they are now."""

    def __init__(self, client: httpx.Client) -> None:
        reply = client.get("/metrics")
        assert reply.status_code == 200
        assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = text_string_to_metric_families(reply.text)
        self.samples = [sample for family in families for sample in family.samples]

    def values(self, name: str, *by: str, **labels: str) -> dict[Any, float]:
        """The samples of a name that have these labels, by the labels named (one: its text)."""
        found: dict[Any, float] = {}
        for one in self.samples:
            if one.name == name and labels.items() <= one.labels.items():
                key = tuple(one.labels.get(label, "") for label in by)
                found[key[0] if len(by) == 1 else key] = one.value
        return found


def test_calls_by_route_and_status(client: httpx.Client) -> None:
    for body in (chat(), chat(**COUNTED), chat("none"), {"model": 5}):
        client.post(PATH, json=body)
    client.post("/v1/openai/v1/chat/completions", json=chat())
    client.get("/v1/nothing-here")
    client.put("/v1/models")
    page = Page(client)
    labels = ("http_request_method", "http_route", "http_response_status_code", "error_type")
    assert page.values("http_server_request_duration_seconds_count", *labels) == {
        ("POST", PATH, "200", ""): 3,
        ("POST", PATH, "404", "model_not_found"): 1,
        ("POST", PATH, "400", "invalid_request"): 1,
        ("GET", "", "404", "404"): 1,
        ("PUT", "", "405", "405"): 1,
    }
    active = page.values("http_server_active_requests", "http_request_method")
    assert (active["POST"], active["GET"]) == (0, 1), "the page itself is under way"
    spent = page.values("http_server_request_duration_seconds_sum", http_route=PATH)
    assert all(0 < seconds < 20 for seconds in spent.values())


def test_models_tokens_and_streams(client: httpx.Client) -> None:
    assert client.get("/v1/models").json()["data"], "the provider's models are known"
    client.post(PATH, json=chat())
    client.post(PATH, json=chat(**COUNTED))
    client.post(PATH, json=chat(stream=True))
    client.post("/v1/embeddings", json={"model": "echo-embed", "input": "a b c"})
    page = Page(client)
    labels = (
        "gen_ai_operation_name",
        "gen_ai_provider_name",
        "specstack_provider_id",
        "gen_ai_request_model",
    )
    chats, embeddings = (
        ("chat", "openai-compatible", "up", "up/echo"),
        ("embeddings", "openai-compatible", "up", "up/echo-embed"),
    )
    assert page.values("gen_ai_server_request_duration_seconds_count", *labels) == {chats: 3, embeddings: 1}
    assert page.values("gen_ai_server_time_to_first_token_seconds_count", *labels) == {chats: 2}
    # The stream that nobody asked to count has no counts.
    assert page.values("gen_ai_server_time_per_output_token_seconds_count", *labels) == {chats: 1}
    assert page.values("gen_ai_client_token_usage_count", *labels, "gen_ai_token_type") == {
        (*chats, "input"): 2,
        (*chats, "output"): 2,
        (*embeddings, "input"): 1,
    }
    # "You said: hi there" is what the loopback server counts as 4 tokens out, "hi there" as 2 in.
    usage = client.post(PATH, json=chat()).json()["usage"]
    sums = page.values("gen_ai_client_token_usage_sum", "gen_ai_token_type", gen_ai_operation_name="chat")
    assert sums == {"input": 2 * usage["prompt_tokens"], "output": 2 * usage["completion_tokens"]}


def test_names_that_clients_make_up_are_one_name(client: httpx.Client) -> None:
    for number in range(5):
        client.post(PATH, json=chat(f"up/none-{number}", content="@@status=500@@"))
        client.post(PATH, json=chat(f"none-{number}"))
        client.get(f"/none-{number}")
    assert "none-" not in client.get("/metrics").text
    for number in range(MOST_UNLISTED + 3):
        client.post(PATH, json=chat(f"up/real-{number}"))
    client.post(PATH, json=chat("up/real-0"))
    page = Page(client)
    models = page.values("gen_ai_server_request_duration_seconds_count", "gen_ai_request_model")
    models = {name: count for name, count in models.items() if name.startswith("up/")}
    assert (models["up/real-0"], len(models)) == (2, MOST_UNLISTED)
    others = page.values(
        "gen_ai_server_request_duration_seconds_count", "error_type", gen_ai_request_model="other"
    )
    assert others == {"upstream_failed": 5, "": 3}


@pytest.mark.parametrize(
    ("fault", "error"),
    [("status=500", "upstream_failed"), ("status=429", "rate_limit_exceeded"), ("drop=2", "upstream_broken")],
)
def test_failures_have_their_codes(
    client: httpx.Client, upstream: LoopbackUpstream, fault: str, error: str
) -> None:
    try:
        client.post(PATH, json=chat(content=f"@@{fault}@@ a b c d e f", **COUNTED))
    except httpx.RemoteProtocolError:
        assert fault == "drop=2"
    page = Page(client)
    for name in (
        "http_server_request_duration_seconds_count",
        "gen_ai_server_request_duration_seconds_count",
    ):
        found = page.values(name, "error_type")
        found.pop("", None)
        assert found == {error: 1}, name
    status = fault.removeprefix("status=")
    outward = page.values(
        "http_client_request_duration_seconds_count", "error_type", http_request_method="POST"
    )
    assert outward == {(status if status.isdigit() else "upstream_broken"): 1}


def test_a_client_that_leaves_is_told_apart(client: httpx.Client) -> None:
    with client.stream("POST", PATH, json=chat(content="@@delay=0.2@@ " + "a " * 50, **COUNTED)) as reply:
        next(reply.iter_raw())
    found: dict[Any, float] = {}
    for _ in range(100):
        found = Page(client).values("gen_ai_server_request_duration_seconds_count", "error_type")
        if found:
            break
    assert found == {"cancelled": 1}
    page = Page(client)
    assert page.values("http_client_active_requests", http_request_method="POST") == {(): 0}
    assert page.values(
        "http_client_request_duration_seconds_count", "error_type", http_request_method="POST"
    ) == {"cancelled": 1}


def test_the_process_itself(client: httpx.Client) -> None:
    page = Page(client)
    assert page.values("process_memory_usage_bytes")[()] > 10_000_000
    assert page.values("process_cpu_time_seconds_total", "cpu_mode")["user"] > 0.1
    assert page.values("process_uptime_seconds")[()] > 0
    assert page.values("process_unix_file_descriptor_count")[()] > 3


def test_calls_that_are_kept(client: httpx.Client) -> None:
    client.post(PATH, json=chat(store=True))
    deadline = time.monotonic() + 30
    while True:
        page = Page(client)
        found = page.values("specstack_records_total", "specstack_service", "specstack_outcome")
        if found["stored_completions", "written"] or time.monotonic() > deadline:
            break
        time.sleep(0.02)
    kinds = ("written", "dropped", "refused", "lost")
    assert found == {("stored_completions", kind): float(kind == "written") for kind in kinds}
    assert page.values("specstack_records_waiting", "specstack_service") == {"stored_completions": 0}
    assert page.values("specstack_records_waiting_size_bytes")[()] == 0
    assert page.values("specstack_records_failures_total")[()] == 0


def test_off_it_is_not_there(upstream: LoopbackUpstream) -> None:
    with told(upstream) as client:
        reply = client.get("/metrics")
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (404, "metrics_off")
    assert "telemetry: {prometheus: true}" in error["message"]
