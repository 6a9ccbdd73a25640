"""Canaries in every place that holds a secret: none may sing in logs, errors, replies, start-up messages."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from core.test_serving import Server
from specstack.auth.keys import hash_of
from support.loopback_upstream import LoopbackUpstream

CALLER, HASHED = "sk-canary-caller-000001", "sk-canary-hashed-000002"
UPSTREAM, HEADER, USERINFO = "canary-upstream-3", "canary-header-4", "canary-userinfo-5"
PROVIDER_DATA, WRONG, TYPED = "canary-provider-data-6", "sk-canary-wrong-000007", "canary-typed-8"
ENV = {"CALLERS": CALLER, "UPSTREAM_KEY": UPSTREAM}

CONFIG = f"""
version: 2
distro_name: secrets
logging: {{level: debug}}
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
def server(tmp_path: Path) -> Iterator[Server]:
    path = tmp_path / "run.yaml"
    path.write_text(CONFIG)
    with LoopbackUpstream.running() as upstream:
        found = Server(path, UP=upstream.base_url, **ENV).ready()
        yield found
        found.end()


def test_no_reply_and_no_log_holds_a_secret(server: Server) -> None:
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
            get(server.url + "/openapi.json", headers=KEY),
            post(path, json=chat("up/echo"), headers={**KEY, **data}),
            post(path, json=chat("up/echo", stream=True), headers={**KEY, **data}),
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
    assert statuses == [200] * 7 + [401, 401, 401, 502, 404, 400, 400, 404, 421]
    config = allowed[0].json()["data"][0]["config"]
    assert (config["api_key"], config["headers"]) == ("********", {"x-secret": "********"})
    server.stop()
    assert server.process.stderr is not None
    log = server.process.stderr.read()
    assert log.count("specstack.auth: request req_") == 3, "refusals are in the log"
    said = [server.said, log, *(reply.text + repr(reply.headers) for reply in allowed + wrong)]
    assert [sings(text) for text in said] == [[]] * len(said)


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
