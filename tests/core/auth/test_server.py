"""A server with API keys: who gets in where, and what the others are told."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from core.http.kit import call_raw, piece
from specstack.assembly import Application, build
from specstack.auth import Attempt, Identity, Refusal
from specstack.auth.hook import authentication
from specstack.auth.keys import hash_of
from specstack.config import read_config
from specstack.http import Call, ErrorTable
from specstack_api import errors
from specstack_server import SERVER
from specstack_wire import Principal, RequestContext, UpstreamUnreachable

KEY, PLAIN = "sk-the-key-of-ann-0001", "sk-a-plain-key-000003"
CONFIG = f"""
version: 2
distro_name: t
providers:
  inference:
    - provider_id: up
      provider_type: remote::openai-compatible
      config: {{base_url: "http://127.0.0.1:9/v1"}}
server:
  auth:
    provider_config:
      type: ${{env.AUTH:=api_keys}}
      keys: [{{id: ann, hash: "{hash_of(KEY)}", tenant: red}}]
      plain_keys: ${{env.KEYS}}
"""


def application(**env: str) -> Application:
    return build(read_config(CONFIG, "run.yaml", SERVER, {"KEYS": PLAIN, **env}))


@pytest.fixture
async def app() -> AsyncIterator[Application]:
    made = application()
    await made.start()
    yield made
    await made.stop()


def client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models"),
        ("GET", "/v1/openai/v1/models"),
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/inspect/routes"),
        ("PATCH", "/v1/models"),
        ("GET", "/openapi.json"),
        ("GET", "/nothing/here"),
        ("OPTIONS", "/v1/models"),
    ],
)
async def test_nothing_answers_without_a_key(app: Application, method: str, path: str) -> None:
    async with client(app) as calls:
        refused = await calls.request(method, path)
        wrong = await calls.request(method, path, headers={"authorization": "Bearer " + KEY[:-1]})
        for headers in ({"authorization": f"Bearer {KEY}"}, {"x-api-key": PLAIN}):
            assert (await calls.request(method, path, headers=headers)).status_code != 401
    for reply in (refused, wrong):
        assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
        assert reply.json()["error"]["code"] == "invalid_api_key"
        assert reply.json()["error"]["type"] == "authentication_error"
        assert reply.headers["x-request-id"].startswith("req_")


async def test_public_operations_need_no_key(app: Application) -> None:
    async with client(app) as calls:
        for path in ("/v1/health", "/v1/version"):
            assert (await calls.get(path)).status_code == 200
            assert (await calls.post(path)).status_code == 405


async def test_a_key_comes_before_everything_else(app: Application) -> None:
    """Nothing is said about a request, nor is its body read, before it is known who sends it."""
    headers = {"content-type": "text/plain", "content-length": "999999999", "x-stack-provider-data": "{"}
    bodies = [piece(b"{", more=True)]
    status, body, left = await call_raw(app, bodies, headers, "/v1/chat/completions")
    assert (status, json.loads(body)["error"]["code"], left) == (401, "invalid_api_key", bodies)


async def test_plug_in_routes_are_behind_it(app: Application) -> None:
    @app.http.inner.get("/own")
    async def own() -> str:
        return "mine"

    async with client(app) as calls:
        assert (await calls.get("/own")).status_code == 401
        assert (await calls.get("/own", headers={"x-api-key": KEY})).json() == "mine"


async def test_an_empty_type_switches_it_off() -> None:
    off = read_config(CONFIG.replace("${env.AUTH:=api_keys}", "${env.AUTH:+api_keys}"), "r", SERVER, {})
    assert off.stack.server.auth.provider_config is None
    app = build(off)
    await app.start()
    async with client(app) as calls:
        assert (await calls.get("/v1/models")).status_code == 200
    await app.stop()


async def test_principal_and_tenant_are_in_the_context(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[RequestContext] = []
    service = app.runtime.service("inspect")
    listed = service.list_routes

    async def spy(ctx: RequestContext, request: Any) -> Any:
        seen.append(ctx)
        return await listed(ctx, request)

    endpoint = next(one for one in app.http.endpoints if one.op.id == "listRoutes")
    monkeypatch.setattr(endpoint, "_handler", spy)
    async with client(app) as calls:
        assert (await calls.get("/v1/inspect/routes", headers={"x-api-key": KEY})).status_code == 200
    assert (seen[0].principal, seen[0].tenant) == (Principal("ann"), "red")


class Gateway:
    """A provider as one for a proxy's headers would be: it goes by headers and the address."""

    challenge = "Bearer"

    def __init__(self) -> None:
        self.log: list[str] = []

    async def start(self) -> None:
        self.log.append("start")

    async def stop(self) -> None:
        self.log.append("stop")

    async def authenticate(self, attempt: Attempt) -> Identity:
        if attempt.client != "10.0.0.1":
            raise Refusal("Only the gateway may call.", "forbidden")
        if attempt.path.endswith("routes"):
            raise UpstreamUnreachable("The directory does not answer; try again.")
        return Identity(Principal(attempt.headers["x-user"], {"teams": ("a",)}), attempt.header(b"x-tenant"))


async def test_other_kinds_of_providers_fit() -> None:
    hook = authentication(Gateway(), ErrorTable.from_module(errors))
    headers = [(b"x-user", b"ann"), (b"x-tenant", b"red")]
    scope: dict[str, Any] = {"path": "/v1/models", "headers": headers, "client": ("10.0.0.1", 1)}
    ctx = RequestContext("r")
    await hook(Call(None, scope, ctx))
    assert (ctx.principal, ctx.tenant) == (Principal("ann", {"teams": ("a",)}), "red")
    with pytest.raises(errors.PermissionDenied, match="Only the gateway") as caught:
        await hook(Call(None, {**scope, "client": ("10.0.0.2", 1)}, ctx))
    assert not caught.value.headers
    with pytest.raises(UpstreamUnreachable):
        await hook(Call(None, {**scope, "path": "/v1/inspect/routes"}, ctx))


async def test_a_provider_starts_and_stops_with_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway()
    monkeypatch.setattr("specstack.assembly.auth_provider", lambda settings: gateway)
    app = application()
    await app.start()
    assert gateway.log == ["start"]
    await app.stop()
    assert gateway.log == ["start", "stop"]
