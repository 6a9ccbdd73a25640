"""A server process from start to end: readiness, shutdown, upstreams that hang or go away."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from specstack.serving import is_loopback
from support.loopback_upstream import LoopbackUpstream

CONFIG = """
version: 2
distro_name: remote
providers:
  inference:
    - provider_id: up
      provider_type: remote::openai-compatible
      config: {base_url: "${env.UP}", api_key: s3cret-canary}
server: {port: 0, shutdown_grace_seconds: 1}
"""
RUN = "from specstack.cli.main import stack_serve; stack_serve()"


class Server:
    """A `stack-serve` process; `url` once it announced itself, `said` all that it printed until then."""

    def __init__(self, config: Path, arguments: Sequence[str] = (), **env: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(config), *arguments],
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = ""
        self.url = ""

    def ready(self) -> "Server":
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if " at http" in line:
                self.url = line.rsplit(" ", 1)[1].strip()
            if "  try " in line:
                return self
        raise AssertionError(self.process.communicate()[1])

    def end(self) -> None:
        self.process.kill()
        with self.process:
            pass

    def stop(self, sent: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        began = time.monotonic()
        self.process.send_signal(sent)
        self.process.wait(20)
        return self.process.returncode, time.monotonic() - began


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def upstream() -> Iterator[LoopbackUpstream]:
    with LoopbackUpstream.running() as running:
        yield running


@pytest.fixture
def server(config: Path, upstream: LoopbackUpstream) -> Iterator[Server]:
    found = Server(config, UP=upstream.base_url).ready()
    yield found
    found.end()


def chat(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": "up/echo", "messages": [{"role": "user", "content": text}], **fields}


def post(server: Server, text: str, **fields: Any) -> httpx.Response:
    return httpx.post(server.url + "/v1/chat/completions", json=chat(text, **fields), timeout=20)


def until_asked(upstream: LoopbackUpstream, text: bytes) -> None:
    """Waits until a request with `text` has reached the upstream, and so is under way."""
    deadline = time.monotonic() + 10
    while not any(text in one.body for one in upstream.seen):
        assert time.monotonic() < deadline, "the request did not arrive"
        time.sleep(0.02)


def test_it_says_what_it_serves(server: Server) -> None:
    assert server.said.startswith(f"specstack serves 'remote' at {server.url}\n")
    assert "APIs       inference, inspect, models, providers\n" in server.said
    assert "providers  up (remote::openai-compatible)\n" in server.said
    assert "models     up/echo\n" in server.said
    (line,) = (line for line in server.said.splitlines() if "try" in line)
    done = subprocess.run(line.split("try")[1], shell=True, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["model"] == "up/echo"


def test_the_core_services(server: Server) -> None:
    client = httpx.Client(base_url=server.url)
    get = client.get
    assert get("/v1/health").json() == {"status": "OK"}
    assert get("/v1/ready").json()["status"] == "OK"
    assert get("/v1/version").json().keys() == {"version"}
    (provider,) = get("/v1/providers").json()["data"]
    assert (provider["provider_id"], provider["health"]["status"]) == ("up", "OK")
    assert provider["config"]["api_key"] == "********"
    assert get("/v1/providers/up").json()["config"] == provider["config"]
    missing = get("/v1/providers/uq")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "provider_not_found")
    listed = get("/v1/inspect/routes").json()["data"]
    routes = {(one["method"], one["route"]): one["provider_types"] for one in listed}
    assert routes["POST", "/v1/chat/completions"] == ["remote::openai-compatible"]
    assert routes["GET", "/v1/health"] == []
    assert list(routes) == sorted(routes, key=lambda one: (one[1], one[0]))
    old = get("/v1/inspect/routes", params={"api_filter": "deprecated"}).json()["data"]
    assert "/v1/openai/v1/chat/completions" in {one["route"] for one in old}
    assert get("/v1/inspect/routes", params={"api_filter": "v1alpha"}).json()["data"] == []
    client.close()


def test_no_secret_is_said(server: Server) -> None:
    post(server, "hi")
    bodies = [httpx.get(server.url + path).text for path in ("/v1/providers", "/v1/models", "/openapi.json")]
    server.stop()
    assert server.process.stderr is not None
    assert "s3cret-canary" not in server.said + server.process.stderr.read() + "".join(bodies)


def test_a_request_under_way_is_finished(server: Server, upstream: LoopbackUpstream) -> None:
    found: list[httpx.Response] = []
    asking = Thread(target=lambda: found.append(post(server, "@@hang=0.5@@")))
    asking.start()
    until_asked(upstream, b"@@hang=0.5@@")
    code, took = server.stop()
    asking.join()
    assert found[0].status_code == 200
    assert code in (0, -signal.SIGTERM)
    assert took < 5


def readiness(server: Server) -> tuple[int, str]:
    reply = httpx.get(server.url + "/v1/ready", timeout=5)
    return reply.status_code, "" if reply.status_code == 200 else reply.json()["error"]["message"]


def test_a_stopping_server_says_so_while_it_finishes(config: Path, upstream: LoopbackUpstream) -> None:
    config.write_text(CONFIG.replace("grace_seconds: 1", "grace_seconds: 5"))
    server = Server(config, UP=upstream.base_url).ready()
    found: list[httpx.Response] = []
    asking = Thread(target=lambda: found.append(post(server, "@@hang=2.5@@")))
    try:
        assert readiness(server) == (200, "")
        asking.start()
        until_asked(upstream, b"@@hang=2.5@@")
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        # On new connections: it listens still, serves those who come, and is up.
        assert readiness(server) == (503, "Not ready: the server is stopping.")
        assert httpx.get(server.url + "/v1/health").status_code == 200
        assert post(server, "hi").status_code == 200
        asking.join()
        assert found[0].status_code == 200
        server.process.wait(5)
        with pytest.raises(httpx.ConnectError):
            readiness(server)
    finally:
        server.end()


def test_a_server_drains_for_as_long_as_it_is_told(config: Path, upstream: LoopbackUpstream) -> None:
    config.write_text(CONFIG.replace("grace_seconds: 1", "grace_seconds: 1, shutdown_drain_seconds: 1.5"))
    server = Server(config, UP=upstream.base_url).ready()
    try:
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.8)
        assert readiness(server)[0] == 503
        assert server.process.wait(5) in (0, -signal.SIGTERM)
        assert 1.4 < time.monotonic() - began < 4
    finally:
        server.end()


def test_a_second_ctrl_c_ends_the_drain(config: Path, upstream: LoopbackUpstream) -> None:
    config.write_text(CONFIG.replace("grace_seconds: 1", "grace_seconds: 1, shutdown_drain_seconds: 60"))
    server = Server(config, UP=upstream.base_url).ready()
    try:
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert readiness(server)[0] == 503
        assert server.stop(signal.SIGINT)[1] < 5
    finally:
        server.end()


def test_a_stream_under_way_ends_with_an_error_event(server: Server) -> None:
    request = chat("@@delay=0.4@@" + " word" * 60, stream=True)
    with httpx.stream("POST", server.url + "/v1/chat/completions", json=request, timeout=20) as reply:
        lines = reply.iter_lines()
        assert next(lines).startswith("data: ")
        server.process.send_signal(signal.SIGTERM)
        events = [json.loads(line.removeprefix("data: ")) for line in lines if line]
    assert "error" in events[-1], events[-1]
    server.process.wait(10)


def test_ctrl_c_ends_it_quietly(server: Server) -> None:
    code, took = server.stop(signal.SIGINT)
    assert code in (0, 130, -signal.SIGINT)
    assert took < 5
    assert server.process.stderr is not None
    assert "Traceback" not in server.process.stderr.read()


def test_an_upstream_that_hangs_does_not_delay_readiness(config: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        up = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        found = Server(config, UP=up).ready()
        try:
            assert "models     none known yet" in found.said
            began = time.monotonic()
            assert httpx.get(found.url + "/v1/models", timeout=20).json()["data"] == []
            assert time.monotonic() - began < 5
            assert found.stop()[1] < 5
        finally:
            found.end()


@pytest.mark.parametrize("host", ["127.0.0.2", "localhost", "::1"])
def test_any_loopback_address_will_do(config: Path, upstream: LoopbackUpstream, host: str) -> None:
    found = Server(config, ["--host", host], UP=upstream.base_url).ready()
    try:
        assert httpx.get(found.url + "/v1/health").status_code == 200
    finally:
        found.end()


def test_with_keys_it_may_listen_anywhere(tmp_path: Path, upstream: LoopbackUpstream) -> None:
    path = tmp_path / "run.yaml"
    auth = 'host: "::", auth: {provider_config: {type: api_keys, plain_keys: "${env.KEYS}"}}'
    path.write_text(CONFIG.replace("port: 0", f"port: 0, {auth}"))
    key = "sk-canary-00000000000"
    found = Server(path, UP=upstream.base_url, KEYS=key).ready()
    try:
        port = found.url.rsplit(":", 1)[1]
        url = f"http://127.0.0.1:{port}/v1/models"
        assert httpx.get(url).status_code == 401
        assert httpx.get(url, headers={"authorization": f"Bearer {key}"}).status_code == 200
        (line,) = (line for line in found.said.splitlines() if "  try " in line)
        command = line.split("try")[1].replace("[::]", "127.0.0.1")
        env = {**os.environ, "SPECSTACK_API_KEY": key}
        done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True, env=env)
        assert json.loads(done.stdout)["model"] == "up/echo"
        ask = "from specstack.cli.main import main; main()"
        address = f"http://127.0.0.1:{port}"
        listed = subprocess.run(
            [sys.executable, "-c", ask, "models", "--url", address], capture_output=True, text=True
        )
        assert (listed.returncode, "set SPECSTACK_API_KEY" in listed.stderr) == (1, True)
    finally:
        found.end()


def test_insecure_opens_it_to_everybody(config: Path, upstream: LoopbackUpstream) -> None:
    found = Server(config, ["--host", "0.0.0.0", "--insecure"], UP=upstream.base_url).ready()
    try:
        assert httpx.get(found.url.replace("0.0.0.0", "127.0.0.1") + "/v1/models").status_code == 200
    finally:
        found.end()


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("localhost.example.com", False),
    ],
)
def test_what_is_loopback(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback


def test_a_client_that_goes_stops_the_upstream(server: Server, upstream: LoopbackUpstream) -> None:
    request = chat("@@delay=0.2@@" + " word" * 200, stream=True)
    with httpx.stream("POST", server.url + "/v1/chat/completions", json=request, timeout=20) as reply:
        next(reply.iter_lines())
    assert upstream.seen[-1].cancelled.wait(5)


@pytest.mark.parametrize(
    ("arguments", "env", "message"),
    [
        (
            ["--port", "TAKEN"],
            {"UP": "http://h/v1"},
            "server: cannot listen on 127.0.0.1:TAKEN: another program does",
        ),
        (["--host", "203.0.113.1"], {"UP": "http://h/v1"}, "choose another address with --host"),
        *(
            (
                ["--host", host],
                {"UP": "http://h/v1"},
                f"server.host: {host} takes requests from other machines, and nothing says who may ask: set "
                "server.auth in the run config (`specstack keys new` makes a key), or allow everybody with "
                "--insecure",
            )
            for host in ("0.0.0.0", "::", "::ffff:0.0.0.0")
        ),
        (
            [],
            {},
            "run.yaml:8: providers.inference[0].config.base_url: environment variable UP is not set or empty",
        ),
        (
            [],
            {"UP": "h/v1"},
            "run.yaml:6: providers.inference[0]: provider 'up' (remote::openai-compatible) did not",
        ),
    ],
)
def test_a_failed_start_is_one_line(
    config: Path, arguments: list[str], env: dict[str, str], message: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = str(taken.getsockname()[1])
        found = Server(config, [one.replace("TAKEN", port) for one in arguments], **env)
        out, err = found.process.communicate(timeout=30)
    assert found.process.returncode == 1
    assert out == ""
    assert message.replace("TAKEN", port) in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
