"""Canaries in every place that holds a secret: none may sing in logs, errors, replies, start-up messages."""

import base64
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.test_serving import Server
from specstack.auth.keys import hash_of
from support.collector import Collector
from support.loopback_upstream import LoopbackUpstream
from support.serving import serving

CALLER, HASHED = "sk-canary-caller-000001", "sk-canary-hashed-000002"
UPSTREAM, HEADER, USERINFO = "canary-upstream-3", "canary-header-4", "canary-userinfo-5"
PROVIDER_DATA, WRONG, TYPED = "canary-provider-data-6", "sk-canary-wrong-000007", "canary-typed-8"
ENV = {"CALLERS": CALLER, "UPSTREAM_KEY": UPSTREAM}

CONFIG = f"""
version: 2
distro_name: secrets
logging: {{level: debug, format: "${{env.STYLE:=text}}"}}
telemetry:
  prometheus: true
  traces: ${{env.COLLECTOR:+true}}
  metrics: ${{env.COLLECTOR:+true}}
  endpoint: ${{env.COLLECTOR}}
  capture_content: ${{env.CAPTURE:=false}}
providers:
  inference:
    - provider_id: up
      provider_type: remote::openai-compatible
      config:
        base_url: ${{env.UP}}
        api_key: ${{env.UPSTREAM_KEY}}
        headers: {{x-secret: {HEADER}}}
    - provider_id: gone
      provider_type: remote::openai-compatible
      config: {{base_url: "http://user:{USERINFO}@127.0.0.1:9/v1", api_key: {UPSTREAM}}}
registered_resources:
  models: [{{model_id: gone/m, provider_id: gone}}]
server:
  port: 0
  shutdown_grace_seconds: 0
  auth:
    provider_config:
      type: api_keys
      keys: [{{id: ann, hash: "{hash_of(HASHED)}"}}]
      plain_keys: ${{env.CALLERS}}
"""
KEY = {"authorization": f"Bearer {CALLER}"}


def sings(text: str) -> list[str]:
    return [line for line in text.splitlines() if "canary" in line]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector.running() as running:
        yield running


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest, collector: Collector) -> Iterator[Server]:
    path = tmp_path / "run.yaml"
    path.write_text(CONFIG)
    env = {**ENV, "STYLE": request.param, "COLLECTOR": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with LoopbackUpstream.running() as upstream:
        found = Server(path, UP=upstream.base_url, **env).ready()
        yield found
        found.end()


@pytest.mark.parametrize("server", ["text", "json"], indirect=True)
def test_no_reply_no_log_no_trace_and_no_metric_holds_a_secret(server: Server, collector: Collector) -> None:
    def chat(model: str, **more: object) -> dict[str, object]:
        return {"model": model, "messages": [{"role": "user", "content": "hi"}], **more}

    path = server.url + "/v1/chat/completions"
    data = {"x-stack-provider-data": json.dumps({"api_key": PROVIDER_DATA})}
    with httpx.Client(timeout=20) as calls:
        get, post = calls.get, calls.post
        allowed = [
            get(server.url + "/v1/providers", headers=KEY),
            get(server.url + "/v1/providers/gone", headers=KEY),
            get(server.url + "/v1/models", headers=KEY),
            get(server.url + "/v1/inspect/routes", headers={"x-api-key": HASHED}),
            get(server.url + "/openapi.json?api_key=" + TYPED, headers=KEY),
            post(path, json=chat("up/echo"), headers={**KEY, **data}),
            post(path, json=chat("up/echo", stream=True), headers={**KEY, **data, "cookie": TYPED}),
            get(server.url + "/metrics", headers=KEY),
        ]
        wrong = [
            get(server.url + "/v1/models", headers={"authorization": f"Bearer {WRONG}"}),
            get(server.url + "/v1/models", headers={"x-api-key": WRONG}),
            get(server.url + "/v1/models", headers={"authorization": f"Bearer {CALLER}x"}),
            post(path, json=chat("gone/m"), headers={**KEY, **data}),
            post(path, json=chat("none"), headers={**KEY, **data}),
            post(path, json=chat("up/echo"), headers={**KEY, "x-stack-provider-data": PROVIDER_DATA}),
            post(path, content=b"{", headers={**KEY, **data, "content-type": "application/json"}),
            get(server.url + "/none", headers={**KEY, **data}),
            get(server.url + "/v1/models", headers={"host": "evil.example", **KEY}),
        ]
    statuses = [reply.status_code for reply in allowed + wrong]
    assert statuses == [200] * 8 + [401, 401, 401, 502, 404, 400, 400, 404, 421]
    config = allowed[0].json()["data"][0]["config"]
    assert (config["api_key"], config["headers"]) == ("********", {"x-secret": "********"})
    server.stop()
    assert server.process.stderr is not None
    log = server.process.stderr.read()
    assert len(re.findall(r"specstack\.auth\W.*request req_", log)) == 3, "refusals are in the log"
    assert len(re.findall(r"specstack\.access\W.* 502\W", log)) == 1, "so are calls"
    assert b"gone" in b"".join(collector.raw) and len(collector.spans()) > 15, "and spans are sent"
    assert not any(b"canary" in raw for raw in collector.raw)
    said = [server.said, log, *(reply.text + repr(reply.headers) for reply in allowed + wrong)]
    assert [sings(text) for text in said] == [[]] * len(said)


async def telltale(scope: Any, receive: Any, send: Any) -> None:
    """A server that answers with an error which repeats all that it was told, in each way that there is."""
    while (await receive()).get("more_body"):
        pass
    told = json.dumps({name.decode(): value.decode() for name, value in scope["headers"]})
    error = json.dumps({"error": {"message": f"Incorrect: {told}", "code": told, "param": told}})
    status, media, body = {
        "/401": (401, "application/json", error),
        "/500": (500, "text/plain", f"Traceback: {told}"),
        "/200": (200, "application/json", f'{{"broken": {told}'),
        "/sse": (200, "text/event-stream", f"data: {error}\n\n"),
    }[scope["path"][:4]]
    head = [(b"content-type", media.encode()), (b"x-told", told.encode()), (b"retry-after", b"5")]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body.encode()})


@pytest.mark.parametrize("place", ["401", "500", "200", "sse"])
def test_an_upstream_that_repeats_its_key_is_not_repeated(
    tmp_path: Path, place: str, collector: Collector
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(CONFIG)
    data = {"x-stack-provider-data": json.dumps({"api_key": PROVIDER_DATA})}
    chat = {"model": "up/m", "messages": [{"role": "user", "content": "hi"}]}
    with serving(telltale, lifespan="off") as url:
        env = {**ENV, "COLLECTOR": collector.url, "CAPTURE": "true"}
        server = Server(path, UP=f"{url}/{place}", **env).ready()
        try:
            replies = [
                httpx.post(
                    f"{server.url}/v1/chat/completions", json={**chat, **more}, headers=headers, timeout=20
                )
                for more in ({}, {"stream": True})
                for headers in (KEY, {**KEY, **data})
            ]
            replies.append(httpx.get(f"{server.url}/v1/providers", headers=KEY, timeout=20))
            server.stop()
            assert server.process.stderr is not None
            log = server.process.stderr.read()
        finally:
            server.end()
    assert collector.spans(), "even with contents"
    assert not any(b"canary" in raw for raw in collector.raw)
    said = [server.said, log, *(reply.text + repr(reply.headers) for reply in replies)]
    assert [sings(text) for text in said] == [[]] * len(said)
    assert any("Incorrect" in reply.text for reply in replies) == (place in ("401", "sse"))


def test_a_password_of_a_url_is_not_repeated_in_the_form_in_which_it_was_sent(
    tmp_path: Path, collector: Collector
) -> None:
    sent = base64.b64encode(f"user:{USERINFO}".encode()).decode()
    path = tmp_path / "run.yaml"
    with serving(telltale, lifespan="off") as url:
        given = url.replace("://", f"://user:{USERINFO}@") + "/500"
        plain = f"base_url: {given}\n        headers: {{x-secret: {HEADER}}}"
        old = CONFIG[CONFIG.index("base_url") : CONFIG.index("    - provider_id: gone")].rstrip()
        path.write_text(CONFIG.replace(old, plain))
        server = Server(path, COLLECTOR=collector.url, **ENV).ready()
        try:
            body = {"model": "up/m", "messages": [{"role": "user", "content": "hi"}]}
            reply = httpx.post(f"{server.url}/v1/chat/completions", json=body, headers=KEY, timeout=20)
            server.stop()
            assert server.process.stderr is not None
            log = server.process.stderr.read()
        finally:
            server.end()
    assert reply.status_code == 502 and "Basic" in reply.text, "the upstream repeats its headers"
    assert sent not in reply.text + log and sings(reply.text + log) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("${env.CALLERS}", f"{TYPED},short"),
        ("${env.CALLERS}", f"[{TYPED}]"),
        (f'hash: "{hash_of(HASHED)}"', f"hash: {TYPED}-pasted-in-place-of-a-hash"),
        ("type: api_keys", f"type: {TYPED}"),
        ("api_key: ${env.UPSTREAM_KEY}", f"api_key: [{TYPED}]"),
        ("api_key: ${env.UPSTREAM_KEY}", f"api_kee: {TYPED}"),
        ("base_url: ${env.UP}", f"base_url: 'ftp://user:{TYPED}@h/v1'"),
        ("base_url: ${env.UP}", f"base_url: 'http://user:{TYPED}@h:x/v1'"),
        ("base_url: ${env.UP}", f"base_url: 'http://user:{TYPED}/slash@127.0.0.1:1/v1'"),
        ("base_url: ${env.UP}", f"base_url: 'http://user:{TYPED}?x@127.0.0.1:1/v1'"),
        ("${env.CALLERS}", "${env.CALLERS:=" + TYPED),
        ("port: 0", "port: 99999999"),
    ],
)
def test_no_start_up_error_holds_a_secret(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "run.yaml"
    assert old in CONFIG
    path.write_text(CONFIG.replace(old, new))
    process = Server(path, UP="http://127.0.0.1:9/v1", **ENV).process
    try:
        out, err = process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 1
    assert err.splitlines()[-1].startswith("error: ")
    assert sings(out + err) == []
