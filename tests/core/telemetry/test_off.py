"""What is off is not there: no import, no observer, nothing around upstreams, no series."""

import json
import logging
import os
import re
import subprocess
import sys

import pytest

from core.telemetry.kit import application, chat, told
from specstack.telemetry.setup import Telemetry
from specstack.upstream import UpstreamPool
from specstack_wire import UpstreamSettings
from support.loopback_upstream import LoopbackUpstream

PROGRAM = """
import asyncio, json, sys
from core.telemetry.kit import application, chat
from specstack import logs
from support.loopback_upstream import LoopbackUpstream
import httpx

async def main():
    with LoopbackUpstream.running() as upstream:
        app = application(upstream.base_url, **json.loads(sys.argv[1]))
        await app.start()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            reply = await client.post("/v1/chat/completions", json=chat())
            assert reply.status_code == 200, reply.text
        await app.stop()

if len(sys.argv) > 2:
    logs.set_up(logs.LogSettings())
asyncio.run(main())
# FastAPI brings in OpenTelemetry's interface, which does nothing, where it is installed.
wanted = (
    "opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto", "google.protobuf", "requests",
    "prometheus_client", "specstack.telemetry",
)
print(json.dumps(sorted(name for name in sys.modules if name.startswith(wanted))))
"""


def imported(telemetry: str, *more: str) -> list[str]:
    command = [sys.executable, "-c", PROGRAM, telemetry, *more]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_off_imports_nothing() -> None:
    light = ["", ".labels", ".meters", ".prometheus", ".setup"]
    assert imported("{}", "with a log") == [f"specstack.telemetry{name}" for name in light]


def test_prometheus_needs_no_package() -> None:
    found = imported('{"prometheus": true}')
    assert "specstack.telemetry.calls" in found
    assert [name for name in found if not name.startswith("specstack.")] == []


async def test_off_observes_nothing() -> None:
    app = application("http://127.0.0.1:9/v1")
    await app.start()
    try:
        assert app.runtime.telemetry.observers == []
        assert app.runtime.telemetry.meters.collect() == []
    finally:
        await app.stop()


def test_calls_to_other_servers_are_logged_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    with LoopbackUpstream.running() as upstream, caplog.at_level(logging.DEBUG, "specstack.upstream"):
        base = upstream.base_url.replace("//", "//me:canary@")
        with told(upstream, base) as client:
            client.post("/v1/chat/completions", json=chat(), headers={"x-request-id": "mine"})
            client.post("/v1/chat/completions", json=chat(content="@@status=500@@"))
    lines = [one.getMessage() for one in caplog.records if one.name == "specstack.upstream"]
    lines = [line for line in lines if line.startswith("POST")]
    url = re.escape(f"{upstream.base_url}/chat/completions")
    for line, status in zip(lines, (200, 500), strict=True):
        assert re.fullmatch(rf"POST {url}: {status} after \d+\.\d ms", line)
    assert "canary" not in caplog.text


async def test_off_wraps_nothing() -> None:
    app = application("http://127.0.0.1:9/v1")
    settings = UpstreamSettings("http://127.0.0.1:9/v1")
    upstream = UpstreamPool().open(settings)
    assert Telemetry(app.config, app.server).around(upstream, settings) is upstream
    on = application("http://127.0.0.1:9/v1", prometheus=True)
    assert Telemetry(on.config, on.server).around(upstream, settings) is not upstream
