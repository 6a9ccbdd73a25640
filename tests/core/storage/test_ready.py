"""Readiness and quotas while real things fail: a database that is stopped, a model server that is down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from specstack.assembly import build
from specstack.config import read_config
from specstack.readiness import HELD
from specstack_server import SERVER
from support.loopback_upstream import LoopbackApp, LoopbackUpstream
from support.process import free_port
from support.services import Service
from support.serving import serving
from support.storage import fresh_file

HOSTS = {"postgres": "postgresql://postgres:canary@127.0.0.1:{}/postgres", "redis": "redis://127.0.0.1:{}"}


@pytest.fixture(scope="module")
def upstream() -> Iterator[LoopbackUpstream]:
    with LoopbackUpstream.running() as found:
        yield found


@pytest.fixture(params=["redis", "postgres"])
def shared(request: pytest.FixtureRequest) -> tuple[Service, dict[str, Any]]:
    """A server that can be stopped, and the backend that names it."""
    service: Service = request.getfixturevalue(f"{request.param}_server")
    return service, {"type": f"kv_{request.param}", "url": HOSTS[request.param].format(service.port)}


@asynccontextmanager
async def served(urls: list[str], **document: Any) -> AsyncIterator[httpx.AsyncClient]:
    providers = [
        {"provider_id": f"up{n}", "provider_type": "remote::openai-compatible", "config": {"base_url": url}}
        for n, url in enumerate(urls)
    ]
    providers[0]["default"] = True
    whole = {"version": 2, "distro_name": "t", "providers": {"inference": providers}, **document}
    whole.setdefault("storage", {"backends": {"kv_default": {"type": "kv_sqlite", "db_path": fresh_file()}}})
    app = build(read_config(json.dumps(whole), "run.yaml", SERVER, {}))
    await app.start()
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
            yield client
    finally:
        await app.stop()


async def ready(client: httpx.AsyncClient) -> httpx.Response:
    """What holds now, not a moment ago."""
    await asyncio.sleep(HELD + 0.05)
    return await client.get("/v1/ready")


async def test_a_store_that_goes_and_comes_back(
    shared: tuple[Service, dict[str, Any]], upstream: LoopbackUpstream
) -> None:
    service, backend = shared
    async with served([upstream.base_url], storage={"backends": {"kv_default": backend}}) as client:
        found = await client.get("/v1/ready")
        assert (found.status_code, found.json()) == (
            200,
            {
                "status": "OK",
                "checks": [
                    {"kind": "storage", "name": "kv_default", "status": "OK"},
                    {"kind": "provider", "name": "inference/up0", "status": "OK"},
                ],
            },
        )
        await asyncio.to_thread(service.stop)
        try:
            found = await ready(client)
            body = {"model_id": "m", "provider_id": "up0"}
            refused = await client.post("/v1/models", json=body)
        finally:
            await asyncio.to_thread(service.start)
        error = found.json()["error"]
        assert (found.status_code, error["code"], error["type"]) == (503, "not_ready", "overloaded_error")
        assert error["message"] == "Not ready: the storage backend 'kv_default' does not answer."
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "storage_unavailable")
        for reply in (found, refused):
            assert not any(word in reply.text for word in (str(service.port), "127.0.0.1", "canary"))
        assert (await ready(client)).status_code == 200


@pytest.mark.parametrize("mode", ["allow", "refuse"])
async def test_a_store_of_quotas_alone(
    shared: tuple[Service, dict[str, Any]], upstream: LoopbackUpstream, mode: str
) -> None:
    service, backend = shared
    storage = {
        "backends": {"kv_default": {"type": "kv_sqlite", "db_path": fresh_file()}, "counters": backend},
        "stores": {"quota": {"backend": "counters", "namespace": f"q-{mode}"}},
    }
    quota = {"anonymous": [{"per": "day", "requests": 1000, "tokens": 100_000}], "when_unavailable": mode}
    chat = {"model": "up0/echo", "messages": [{"role": "user", "content": "hi"}]}
    async with served([upstream.base_url], storage=storage, server={"quota": quota}) as client:
        answered = await client.post("/v1/chat/completions", json=chat)
        assert (answered.status_code, "x-ratelimit-limit-tokens" in answered.headers) == (200, True)
        await asyncio.to_thread(service.stop)
        try:
            found = await ready(client)
            during = [await client.post("/v1/chat/completions", json=chat) for _ in range(3)]
        finally:
            await asyncio.to_thread(service.start)
        statuses = [reply.status_code for reply in during]
        if mode == "allow":
            assert statuses == [200, 200, 200]
            assert (found.status_code, found.json()["status"]) == (200, "Degraded")
            (failing,) = (one for one in found.json()["checks"] if one["status"] == "Error")
            assert failing == {
                "kind": "storage",
                "name": "counters",
                "status": "Error",
                "message": "does not answer",
            }
        else:
            assert statuses == [503, 503, 503]
            assert during[0].json()["error"]["code"] == "storage_unavailable"
            assert int(during[0].headers["retry-after"]) == 1
            assert found.status_code == 503
        assert (await ready(client)).json()["status"] == "OK"
        again = await client.post("/v1/chat/completions", json=chat)
        assert again.headers["x-ratelimit-limit-requests"] == "1000"


async def test_a_model_server_that_goes_and_comes_back(upstream: LoopbackUpstream) -> None:
    port = free_port()
    other = f"http://127.0.0.1:{port}/v1"

    def started(stack: ExitStack) -> None:
        stack.enter_context(serving(LoopbackApp(), port=port, lifespan="off", timeout_graceful_shutdown=1))

    async with served([other]) as client:
        found = await ready(client)
        assert found.status_code == 503
        message = found.json()["error"]["message"]
        assert message == "Not ready: no provider of the API inference is well: up0."
        with ExitStack() as stack:
            await asyncio.to_thread(started, stack)
            assert (await ready(client)).json()["status"] == "OK"
            await asyncio.to_thread(stack.pop_all().close)
        assert (await ready(client)).status_code == 503
        assert (await client.get("/v1/health")).status_code == 200
    # One that answers is enough; the other is named.
    async with served([upstream.base_url, other]) as client:
        found = (await ready(client)).json()
        assert found["status"] == "Degraded"
        assert [(one["name"], one["status"]) for one in found["checks"] if one["kind"] == "provider"] == [
            ("inference/up0", "OK"),
            ("inference/up1", "Error"),
        ]
        assert str(port) not in json.dumps(found)
