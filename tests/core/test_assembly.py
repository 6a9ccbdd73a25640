"""From run config to app: settings that reach HTTP, documents, warm models, the lifespan."""

import asyncio
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from specstack import __version__
from specstack.assembly import Application, build
from specstack.config import read_config
from specstack_server import SERVER
from support.loopback_upstream import LoopbackUpstream

CONFIG = """
version: 2
distro_name: t
providers:
  inference:
    - provider_id: up
      provider_type: remote::openai-compatible
      config: {base_url: "${env.UP}"}
server: {body_limit_bytes: 1000, request_timeout_seconds: 0.5}
"""


def application(up: str, text: str = CONFIG) -> Application:
    return build(read_config(text, "run.yaml", SERVER, {"UP": up}))


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    with LoopbackUpstream.running() as upstream:
        app = application(upstream.base_url)
        await app.start()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as found:
            yield found
        await app.stop()


def chat(text: str) -> dict[str, Any]:
    return {"model": "up/echo", "messages": [{"role": "user", "content": text}]}


async def test_the_body_limit_of_the_config(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/chat/completions", json=chat("x" * 500))).status_code == 200
    assert (await client.post("/v1/chat/completions", json=chat("x" * 1000))).status_code == 413


async def test_the_request_timeout_of_the_config(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/chat/completions", json=chat("@@hang=5@@"))).status_code == 504


async def test_whoever_stops_it_waits_and_cuts_nothing_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server does so when its time is up, and again with the lifespan, and gives up the first."""
    with LoopbackUpstream.running() as upstream:
        app = application(upstream.base_url)
        await app.start()
        stop, flushed = app.runtime.stop, asyncio.Event()

        async def slow() -> None:
            await asyncio.sleep(0.1)
            await stop()
            flushed.set()

        monkeypatch.setattr(app.runtime, "stop", slow)
        first = asyncio.create_task(app.stop())
        await asyncio.sleep(0.01)
        second = asyncio.create_task(app.stop())
        await asyncio.sleep(0.01)
        assert not second.done()
        first.cancel()
        await second
        assert flushed.is_set()


async def test_what_has_stopped_can_start_again() -> None:
    with LoopbackUpstream.running() as upstream:
        app = application(upstream.base_url)
        for _ in range(2):
            await app.start()
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
                assert (await client.post("/v1/chat/completions", json=chat("hi"))).status_code == 200
            await app.stop()
            with pytest.raises(RuntimeError, match="has not started"):
                _ = app.runtime


async def test_both_openapi_documents(client: httpx.AsyncClient) -> None:
    assert (await client.get("/openapi.json")).json()["openapi"].startswith("3.2")
    assert (await client.get("/openapi-3.1.json")).json()["openapi"].startswith("3.1")


async def test_apis_that_are_not_served_are_not_there() -> None:
    app = application("http://127.0.0.1:1/v1", "version: 2\ndistro_name: t\nproviders: {}\n")
    await app.start()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as found:
        for path in ("/v1/models", "/v1/chat/completions"):
            assert (await found.get(path)).json()["error"]["code"] == "route_not_found"
        assert (await found.get("/v1/providers")).json() == {"data": []}
        assert (await found.get("/v1/health")).status_code == 200
    await app.stop()


async def test_models_are_warm_after_the_start() -> None:
    app = application("http://127.0.0.1:1/v1")
    await app.start()
    models = [
        model for op in app.runtime.operations() for model in (op.body and op.body.model, op.reply.model)
    ]
    classes = [one for one in models if isinstance(one, type) and issubclass(one, BaseModel)]
    assert len(classes) > 8
    assert all(one.__pydantic_complete__ for one in classes)
    await app.stop()


async def lifespan(app: Application) -> list[dict[str, Any]]:
    """What the app sends when a server starts and stops it."""
    received = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return next(received)

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    return sent


async def test_the_lifespan_starts_and_stops_it() -> None:
    app = application("http://127.0.0.1:1/v1")
    assert [one["type"] for one in await lifespan(app)] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    with pytest.raises(RuntimeError, match="has not started"):
        _ = app.runtime


async def test_a_failed_start_reaches_the_server_as_a_line() -> None:
    (sent,) = await lifespan(application("no-url"))
    assert sent["type"] == "lifespan.startup.failed"
    assert (
        "provider 'up' (remote::openai-compatible) did not create: base_url must be a whole URL"
        in sent["message"]
    )


def test_the_version_is_that_of_the_package() -> None:
    pyproject = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert pyproject["project"]["version"] == __version__


async def test_a_service_that_fails_to_close_keeps_nothing_else_open(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        async def aclose(self) -> None:
            raise RuntimeError("jammed")

    with LoopbackUpstream.running() as upstream:
        app = application(upstream.base_url)
        await app.start()
        runtime, close, closed = app.runtime, app.runtime.storage.aclose, asyncio.Event()

        async def closing() -> None:
            await close()
            closed.set()

        monkeypatch.setitem(runtime._services, "broken", Broken())
        monkeypatch.setattr(runtime.storage, "aclose", closing)
        with pytest.raises(RuntimeError, match="jammed"):
            await app.stop()
    assert closed.is_set() and not runtime.running
