"""The routers in an app that is not ours: a bare FastAPI with no trie and no settings."""

import sys
import types
from dataclasses import replace

import pytest
from fastapi import FastAPI

from core.http.kit import (
    ROLES,
    Answer,
    app_with,
    asking,
    call_raw,
    client_of,
    echo,
    operation,
    path_param,
    piece,
    plain_envelope,
    streaming,
)
from specstack.http import api_router, endpoint
from specstack.http.errors import default_errors
from specstack.http.settings import default_settings
from specstack_wire import ApiModel, Payload, Stream


@pytest.fixture(autouse=True)
def errors_module(monkeypatch):
    """Stands for the generated errors module, which is where such an app gets its errors from."""
    module = types.ModuleType("specstack_api.errors")
    module.ROLES, module.ENVELOPES = ROLES, {"plain": plain_envelope}
    if "specstack_api" not in sys.modules:
        monkeypatch.setitem(sys.modules, "specstack_api", types.ModuleType("specstack_api"))
    monkeypatch.setitem(sys.modules, "specstack_api.errors", module)
    for cached in (default_errors, default_settings):
        cached.cache_clear()
    yield
    for cached in (default_errors, default_settings):
        cached.cache_clear()


class ThingParams(ApiModel):
    thing_id: str


async def named(ctx, request):
    return Payload.of(Answer(id="1", text=request.params.thing_id))


async def streamed(ctx, request):
    async def source():
        yield Answer(id="1", text="x")

    return Stream.of(source())


GREEDY = {"params": (path_param("thing_id", greedy=True),), "params_model": ThingParams}


@pytest.fixture
def app():
    app = FastAPI()
    app.include_router(
        api_router(
            endpoint(operation("get", "GET", "/v1/things/{thing_id}", **GREEDY), named),
            endpoint(operation("parts", "GET", "/v1/things/{thing_id}/parts", **GREEDY), named),
            endpoint(asking(aliases=("/v0/asks",)), echo),
            endpoint(replace(streaming(), id="stream", path="/v1/streams"), streamed),
        )
    )
    return app


async def test_operations_and_aliases_work(app):
    async with client_of(app) as client:
        for path in ("/v1/asks", "/v0/asks"):
            assert (await client.post(path, json={"subject": "a"})).json()["text"] == "a"
        assert (await client.get("/v1/things/a/b")).json()["text"] == "a/b"
        assert (await client.get("/v1/things/a/b/parts")).json()["text"] == "a/b"
        assert (await client.post("/v1/streams", json={"subject": "a"})).text.endswith("[DONE]\n\n")


async def test_errors_have_the_envelope_and_an_id(app):
    async with client_of(app) as client:
        reply = await client.post("/v1/asks", json={})
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "subject")
        assert reply.json()["request_id"] == reply.headers["x-request-id"]
        wrong = await client.put("/v1/asks")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
        assert wrong.json()["error"]["code"] == "method_not_allowed"


async def test_the_default_limit_holds(app):
    headers = {"content-type": "application/json", "content-length": str((32 << 20) + 1)}
    scoped = await call_raw(app, [piece(b"{}")], headers)
    assert scoped[0] == 413


async def test_a_router_under_a_prefix():
    app = FastAPI()
    app.include_router(api_router(endpoint(asking(), echo)), prefix="/team")
    async with client_of(app) as client:
        assert (await client.post("/team/v1/asks", json={"subject": "a"})).status_code == 200


async def test_an_endpoint_alone_is_an_asgi_app():
    status, _, _ = await call_raw(
        endpoint(asking(), echo), [piece(b'{"subject":"a"}')], {"content-type": "application/json"}
    )
    assert status == 200


async def test_settings_of_an_app_win_over_the_defaults():
    async with client_of(app_with(asking(), echo, body_limit=5)) as client:
        assert (await client.post("/v1/asks", json={"subject": "a"})).status_code == 413


async def test_a_head_is_answered_as_a_get():
    app = FastAPI()
    params = {**GREEDY, "path": "/v1/things/{thing_id}"}
    app.include_router(api_router(endpoint(operation("get", "GET", **params), named)))
    async with client_of(app) as client:
        assert (await client.head("/v1/things/a/b")).status_code == 200
