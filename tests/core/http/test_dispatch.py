"""Which operation a path means, and what unknown paths and methods get."""

import asyncio

import pytest
from fastapi import APIRouter

from core.http.kit import Answer, app_of, call_raw, client_of, live, operation, path_param
from specstack.http import api_router, endpoint
from specstack_wire import ApiModel, Payload


class ThingParams(ApiModel):
    thing_id: str


class PartParams(ThingParams):
    part_id: str


THING = {"params": (path_param("thing_id"),), "params_model": ThingParams}
GREEDY = {"params": (path_param("thing_id", greedy=True),), "params_model": ThingParams}
BOTH = {"params": (path_param("thing_id"), path_param("part_id")), "params_model": PartParams}


def one(id, method, path, **more):
    async def handler(ctx, request):
        values = request.params.model_dump()
        return Payload.of(Answer(id=id, text=" ".join(values.values())))

    return endpoint(operation(id, method, path, **more), handler)


ENDPOINTS = (
    one("list", "GET", "/v1/things", aliases=("/v1/old/things", "/v0/things")),
    one("create", "POST", "/v1/things"),
    one("get", "GET", "/v1/things/{thing_id}", **THING),
    one("mine", "GET", "/v1/things/mine"),
    one("parts", "GET", "/v1/things/{thing_id}/parts", **THING),
    one("part", "GET", "/v1/things/{thing_id}/parts/{part_id}", **BOTH),
    one("model", "GET", "/v1/models/{thing_id}", **GREEDY, aliases=("/v0/models/{thing_id}",)),
    one("drop", "DELETE", "/v1/models/{thing_id}", **GREEDY),
    one("files", "GET", "/v1/models/{thing_id}/files", **GREEDY),
    one("search", "GET", "/v1/models/search"),
    one("foreign", "POST", "/v1/foreign/ask", envelope="other"),
    one("head", "HEAD", "/v1/heads"),
)  # fmt: skip


@pytest.fixture
def app():
    return app_of(api_router(*ENDPOINTS))


async def call(app, method, path):
    async with client_of(app) as client:
        return await client.request(method, path)


@pytest.mark.parametrize(
    ("path", "id", "values"),
    [
        ("/v1/things", "list", ""),
        ("/v1/old/things", "list", ""),
        ("/v0/things", "list", ""),
        ("/v1/things/x", "get", "x"),
        ("/v1/things/mine", "mine", ""),
        ("/v1/things/mine/parts", "parts", "mine"),
        ("/v1/things/a%2Fb/parts/c%20d", "part", "a/b c d"),
        ("/v1/things/gr%C3%BCn", "get", "grün"),
        ("/v1/things/a%2Fb", "get", "a/b"),
        ("/v1/models/m", "model", "m"),
        ("/v1/models/org/m:8b", "model", "org/m:8b"),
        ("/v1/models/org%2Fm", "model", "org/m"),
        ("/v1/models/org/m/files", "files", "org/m"),
        ("/v1/models/files/files", "files", "files"),
        ("/v1/models/org/files/m", "model", "org/files/m"),
        ("/v1/models/a%2Ffiles", "model", "a/files"),
        ("/v1/models/search", "search", ""),
        ("/v1/models/search/x", "model", "search/x"),
        ("/v0/models/org/m", "model", "org/m"),
    ],
)
async def test_paths(app, path, id, values):
    reply = await call(app, "GET", path)
    assert reply.json() == {"id": id, "text": values}


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/thing",
        "/v1/things/",
        "/v1/things//parts",
        "/v1/models/",
        "/v1/things/a/b",
        "//v1/things",
        "/docs",
    ],
)
async def test_unknown_paths_are_404_in_the_envelope(app, path):
    reply = await call(app, "GET", "http://test" + path)
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")
    assert reply.headers["x-request-id"] == reply.json()["request_id"]


async def test_an_unknown_path_names_close_ones(app):
    assert "/v1/things" in (await call(app, "GET", "/v1/thing")).json()["error"]["message"]


async def test_an_unknown_path_of_an_api_is_told_in_its_envelope(app):
    assert "fault" in (await call(app, "GET", "/v1/foreign/nothing")).json()
    assert "error" in (await call(app, "GET", "/v1/nothing")).json()


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/things", "GET, POST"),
        ("HEAD", "/v1/foreign/ask", "POST"),
        ("OPTIONS", "/v1/things", "GET, POST"),
        ("POST", "/v1/models/org/m", "DELETE, GET"),
        ("POST", "/v1/models/search", "GET"),
        ("GET", "/v1/heads", "HEAD"),
        ("POST", "/v1/old/things", "GET"),
        ("POST", "/openapi.json", "GET"),
    ],
)
async def test_405_allows_exactly_the_documented_methods(app, method, path, allow):
    reply = await call(app, method, path)
    assert (reply.status_code, reply.headers["allow"]) == (405, allow)
    if method != "HEAD":
        assert reply.json()["error"]["code"] == "method_not_allowed"


async def test_405_in_the_envelope_of_the_path(app):
    assert "fault" in (await call(app, "GET", "/v1/foreign/ask")).json()


async def test_a_documented_head(app):
    assert (await call(app, "HEAD", "/v1/heads")).status_code == 200


@pytest.mark.parametrize("path", ["/v1/things", "/v1/things/7", "/v0/models/a/b", "/openapi.json"])
async def test_a_head_is_answered_as_a_get(app, path):
    got, head = await call(app, "GET", path), await call(app, "HEAD", path)
    assert head.status_code == 200
    for name in ("content-type", "content-length"):
        assert head.headers[name] == got.headers[name]


async def test_a_head_has_no_body_and_the_connection_goes_on(app):
    async with live(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        ask = b"%b /v1/things HTTP/1.1\r\nhost: localhost\r\n\r\n"
        writer.write(ask % b"HEAD" + ask % b"GET")
        heads = [await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) for _ in range(2)]
        assert all(head.startswith(b"HTTP/1.1 200") for head in heads)
        writer.close()


async def test_a_server_below_a_root_path(app):
    for path, raw_path in (("/base/v1/models/a/b", b"/base/v1/models/a%2Fb"), ("/base/v1/things", None)):

        async def rooted(scope, receive, send, raw_path=raw_path):
            await app(
                {**scope, "root_path": "/base", **({"raw_path": raw_path} if raw_path else {})}, receive, send
            )

        status, body, _ = await call_raw(rooted, [], {}, path, "GET")
        assert status == 200, body


async def test_the_spec_is_served_and_is_what_openapi_says(app):
    reply = await call(app, "GET", "/openapi.json")
    assert reply.json() == app.openapi() == app.inner.openapi() == {"openapi": "3.2.0"}


async def test_plug_in_routes_of_the_inner_app_are_served_with_a_request_id(app):
    extra = APIRouter()

    @extra.get("/extra/{name}")
    async def hello(name: str) -> dict[str, str]:
        return {"hello": name}

    app.inner.include_router(extra)
    reply = await call(app, "GET", "/extra/ann")
    assert reply.json() == {"hello": "ann"}
    assert reply.headers["x-request-id"].startswith("req_")
    assert (await call(app, "GET", "/elsewhere")).status_code == 404


def test_two_operations_on_one_path_and_method_are_refused():
    with pytest.raises(ValueError, match="GET /v1/things belongs to both list and twin"):
        app_of(api_router(*ENDPOINTS), api_router(one("twin", "GET", "/v1/things")))


def test_a_segment_that_is_partly_a_parameter_is_refused():
    with pytest.raises(ValueError, match="only partly a parameter"):
        app_of(api_router(one("odd", "GET", "/v1/{thing_id}:run", **THING)))


async def test_start_up_and_shutdown_run_once_around_the_requests():
    from core.http.kit import ERRORS, live
    from specstack.http import HttpSettings, build_app

    ran = []

    async def start():
        ran.append("start")

    async def stop():
        ran.append("stop")

    app = build_app([], settings=HttpSettings(ERRORS), documents={}, startup=start, shutdown=stop)
    async with live(app):
        assert ran == ["start"]
    assert ran == ["start", "stop"]
