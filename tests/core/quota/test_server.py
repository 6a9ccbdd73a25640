"""A whole server with quotas, in this process: headers on every reply, tokens of every kind of answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import openai
import pytest
import websockets

from core.http.kit import Answer, Ask, app_of, asking, call_raw, echo, live, piece
from core.quota.kit import ERRORS, Memory, gate
from specstack.assembly import Application, build
from specstack.auth.keys import hash_of
from specstack.config import read_config
from specstack.descriptors import WebSocketSpec
from specstack.http import api_router, endpoint
from specstack.quota import gate as gate_module
from specstack_server import SERVER
from specstack_wire import Stream
from support.loopback_upstream import LoopbackUpstream
from support.storage import fresh_file

ANN, BOB = "sk-the-key-of-ann-0001", "sk-the-key-of-bob-0002"
LIMITS = ("limit-requests", "remaining-requests", "reset-requests")
TOKEN_LIMITS = ("limit-tokens", "remaining-tokens", "reset-tokens")

Serve = Callable[..., Any]


@pytest.fixture(scope="module")
def upstream() -> Iterator[LoopbackUpstream]:
    with LoopbackUpstream.running() as found:
        yield found


def application(upstream: LoopbackUpstream, quota: Any, **server: Any) -> Application:
    config = {"base_url": upstream.base_url, "rerank_path": "rerank"}
    provider = {"provider_id": "up", "provider_type": "remote::openai-compatible", "config": config}
    document = {
        "version": 2,
        "distro_name": "t",
        "providers": {"inference": [provider]},
        "server": {"quota": quota, **server},
        "storage": {"backends": {"kv_default": {"type": "kv_sqlite", "db_path": fresh_file()}}},
    }
    return build(read_config(json.dumps(document), "run.yaml", SERVER, {}))


@asynccontextmanager
async def served(upstream: LoopbackUpstream, quota: Any, **server: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = application(upstream, quota, **server)
    await app.start()
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
            yield client
    finally:
        await app.stop()


def chat(text: str = "one two three", **fields: Any) -> dict[str, Any]:
    return {"model": "up/echo", "messages": [{"role": "user", "content": text}], **fields}


async def ask(client: httpx.AsyncClient, text: str = "one two three", **fields: Any) -> httpx.Response:
    return await client.post("/v1/chat/completions", json=chat(text, **fields))


def limits(reply: httpx.Response) -> dict[str, str]:
    begin = "x-ratelimit-"
    return {
        name.removeprefix(begin): value for name, value in reply.headers.items() if name.startswith(begin)
    }


async def left(client: httpx.AsyncClient) -> int:
    """The tokens that remain: a request that is refused for its body costs none."""
    reply = await client.post("/v1/chat/completions", json={})
    assert reply.status_code == 400
    return int(limits(reply)["remaining-tokens"])


DAY = {"per": "day", "requests": 1000, "tokens": 100_000}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/chat/completions", chat(), 200),
        ("POST", "/v1/openai/v1/chat/completions", chat(), 200),
        ("POST", "/v1/chat/completions", chat(stream=True), 200),
        ("POST", "/v1/chat/completions", {}, 400),
        ("POST", "/v1/chat/completions", {**chat(), "model": "none"}, 404),
        ("POST", "/v1/chat/completions", chat("@@status=500@@"), 502),
        ("POST", "/v1/embeddings", {"model": "up/echo-embed", "input": "a"}, 200),
        ("GET", "/v1/models", None, 200),
        ("GET", "/v1/models/none", None, 404),
        ("GET", "/v1/inspect/routes", None, 200),
        ("GET", "/v1/inspect/routes?api_filter=x", None, 400),
        ("DELETE", "/v1/models/up/echo", None, 409),
    ],
)
async def test_every_reply_of_what_is_counted_has_the_headers(
    upstream: LoopbackUpstream, method: str, path: str, body: Any, status: int
) -> None:
    async with served(upstream, {"anonymous": [DAY]}) as client:
        reply = await client.request(method, path, json=body)
        found = limits(reply)
        assert reply.status_code == status, reply.text
        assert (found["limit-requests"], found["remaining-requests"]) == ("1000", "999")
        tokens = TOKEN_LIMITS if method == "POST" else ()
        assert set(found) == {*LIMITS, *tokens}
        assert all(len(reply.headers.get_list(f"x-ratelimit-{name}")) == 1 for name in found)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/health", 200),
        ("GET", "/v1/ready", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/nowhere", 404),
        ("PATCH", "/v1/models", 405),
    ],
)
async def test_what_is_not_counted(upstream: LoopbackUpstream, method: str, path: str, status: int) -> None:
    async with served(upstream, {"anonymous": [{"per": "day", "requests": 1}]}) as client:
        for _ in range(3):
            reply = await client.request(method, path)
            assert (reply.status_code, limits(reply)) == (status, {})


async def test_a_call_over_the_limit_is_refused_in_the_error_envelope(upstream: LoopbackUpstream) -> None:
    async with served(upstream, {"anonymous": [{"per": "day", "requests": 1}]}) as client:
        await ask(client)
        reply = await ask(client, stream=True)
        assert (reply.status_code, reply.headers["content-type"]) == (429, "application/json")
        error = reply.json()["error"]
        assert (error["type"], error["param"], error["code"]) == (
            "rate_limit_error",
            None,
            "rate_limit_exceeded",
        )
        assert 1 <= int(reply.headers["retry-after"]) <= 86400
        assert limits(reply)["remaining-requests"] == "0"
        # The body of a refused call is not read.
    app = application(upstream, {"anonymous": [{"per": "day", "requests": 1}]})
    await app.start()
    bodies = [piece(b"{", more=True)]
    await call_raw(
        app,
        [piece(json.dumps(chat()).encode())],
        {"content-type": "application/json"},
        "/v1/chat/completions",
    )
    status, _, rest = await call_raw(
        app, bodies, {"content-type": "application/json"}, "/v1/chat/completions"
    )
    assert (status, rest) == (429, bodies)
    await app.stop()


async def test_it_comes_after_authentication(upstream: LoopbackUpstream) -> None:
    keys = [{"id": name, "hash": hash_of(key), "tenant": "red"} for name, key in (("ann", ANN), ("bob", BOB))]
    auth = {"provider_config": {"type": "api_keys", "keys": keys}}
    quota = {
        "anonymous": [{"per": "day", "requests": 1}],
        "authenticated": [{"per": "day", "requests": 2}],
        "tenant": [{"per": "day", "requests": 3}],
    }
    async with served(upstream, quota, auth=auth) as client:
        for _ in range(3):
            reply = await client.get("/v1/models")
            assert (reply.status_code, limits(reply)) == (401, {})
        found = []
        for key in (ANN, ANN, ANN, BOB, BOB):
            reply = await client.get("/v1/models", headers={"x-api-key": key})
            found.append((reply.status_code, limits(reply)["limit-requests"]))
        assert found == [(200, "2"), (200, "2"), (429, "2"), (200, "3"), (429, "3")]


async def test_without_limits_nothing_is_made(upstream: LoopbackUpstream) -> None:
    for quota in ({}, {"anonymous": []}, {"operations": ["inference"], "when_unavailable": "refuse"}):
        app = application(upstream, quota)
        await app.start()
        every = (*app.http.settings.hooks, *app.http.settings.observers)
        assert not any("quota" in getattr(one, "__module__", "") for one in every)
        assert not (app.runtime.storage.stores_in("kv_default") & {"quota"})
        await app.stop()


# -- tokens --------------------------------------------------------------------------------


@pytest.mark.parametrize("per", ["minute", "day"])
async def test_a_reply_says_what_it_took(upstream: LoopbackUpstream, per: str) -> None:
    async with served(upstream, {"anonymous": [{"per": per, "tokens": 1000}]}) as client:
        reply = await ask(client)
        used = reply.json()["usage"]["total_tokens"]
        assert used > 3
        assert limits(reply)["remaining-tokens"] == str(1000 - used)
        assert await left(client) == 1000 - used


async def test_a_stream_with_usage_counts_what_it_tells(upstream: LoopbackUpstream) -> None:
    async with served(upstream, {"anonymous": [DAY]}) as client:
        whole = (await ask(client)).json()["usage"]["total_tokens"]
        before = await left(client)
        await ask(client, stream=True, stream_options={"include_usage": True})
        assert before - await left(client) == whole


async def test_a_stream_without_usage_is_estimated(upstream: LoopbackUpstream) -> None:
    async with served(upstream, {"anonymous": [DAY]}) as client:
        reply = await ask(client, stream=True)
        events = [line for line in reply.text.splitlines() if line.startswith("data: {")]
        size = len(reply.request.content)
        assert 100_000 - await left(client) == len(events) + -(-size // 4)


async def test_a_stream_that_breaks_off_counts_what_came(upstream: LoopbackUpstream) -> None:
    async with served(upstream, {"anonymous": [DAY]}) as client:
        reply = await ask(client, "@@drop=3@@ one two three four", stream=True)
        assert '"error"' in reply.text
        events = [line for line in reply.text.splitlines() if line.startswith('data: {"id"')]
        assert 100_000 - await left(client) == len(events) + -(-len(reply.request.content) // 4)


async def test_embeddings_count(upstream: LoopbackUpstream) -> None:
    async with served(upstream, {"anonymous": [DAY]}) as client:
        reply = await client.post("/v1/embeddings", json={"model": "up/echo-embed", "input": "one two three"})
        used = reply.json()["usage"]["total_tokens"]
        assert 100_000 - await left(client) == used > 0


async def test_what_failed_counts_no_tokens(upstream: LoopbackUpstream) -> None:
    async with served(upstream, {"anonymous": [DAY]}) as client:
        for text in ("@@status=500@@", "@@status=429@@"):
            assert (await ask(client, text)).status_code >= 400
            assert (await ask(client, text, stream=True)).status_code >= 400
        assert await left(client) == 100_000


async def test_who_hangs_up_pays_for_the_question(upstream: LoopbackUpstream) -> None:
    app = application(upstream, {"anonymous": [DAY]})
    await app.start()
    try:
        body = json.dumps(chat("@@hang=5@@")).encode()
        messages = [piece(body), {"type": "http.disconnect"}]
        with pytest.raises(IndexError):  # nothing was sent
            await call_raw(app, messages, {"content-type": "application/json"}, "/v1/chat/completions")
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
            reply = await client.get("/v1/models")
            assert "remaining-tokens" not in limits(reply)
        counters = app.runtime.storage.kv("quota")
        (spent,) = await counters.scan(gate_module.Scope(), prefix="anonymous/tokens/unknown")
        assert int(spent.value) == -(-len(body) // 4)
    finally:
        await app.stop()


async def test_the_call_that_goes_over_is_served_and_the_next_refused(upstream: LoopbackUpstream) -> None:
    async with served(upstream, {"anonymous": [{"per": "day", "tokens": 1}]}) as client:
        assert (await ask(client)).status_code == 200
        reply = await ask(client)
        assert reply.status_code == 429
        assert "1 tokens per day" in reply.json()["error"]["message"]
        assert (await client.get("/v1/models")).status_code == 200


# -- WebSockets and clients ----------------------------------------------------------------


async def test_opening_a_socket_is_a_request() -> None:
    op = asking(websocket=WebSocketSpec(receive=Ask, send=Answer))

    async def talk(ctx: Any, incoming: Any) -> Any:
        async def answers() -> AsyncIterator[Answer]:
            async for _ in incoming:
                yield Answer(id="1", text="a")

        return Stream.of(answers())

    made = gate(Memory(), (op,), anonymous=[{"per": "day", "requests": 1}])
    app = app_of(api_router(endpoint(op, echo, talk)), errors=ERRORS, hooks=(made,))
    async with live(app) as port:
        url = f"ws://127.0.0.1:{port}/v1/asks"
        async with websockets.connect(url) as socket:
            assert socket.response is not None
            assert socket.response.headers["x-ratelimit-remaining-requests"] == "0"
            for _ in range(3):
                await socket.send('{"subject": "tea"}')
                await socket.recv()
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(url)
    reply = refused.value.response
    assert (reply.status_code, reply.headers["x-ratelimit-remaining-requests"]) == (429, "0")
    assert int(reply.headers["retry-after"]) >= 1
    assert json.loads(reply.body)["error"]["code"] == "rate_limit_exceeded"


async def test_openai_client(upstream: LoopbackUpstream) -> None:
    """It gets a RateLimitError; its retry waits for as long as it is told, and then passes."""
    app = application(upstream, {"anonymous": [{"per": "second", "requests": 1}]})
    await app.start()
    transport = httpx.ASGITransport(app)
    try:
        for retries in (0, 2):
            http = httpx.AsyncClient(transport=transport)
            client = openai.AsyncOpenAI(
                base_url="http://t/v1", api_key="k", http_client=http, max_retries=retries
            )
            messages: Any = [{"role": "user", "content": "hi"}]

            async def both(client: openai.AsyncOpenAI = client, messages: Any = messages) -> Any:
                calls = (client.chat.completions.create(model="up/echo", messages=messages) for _ in range(2))
                return await asyncio.gather(*calls, return_exceptions=True)

            # Two at once are never in two windows, unless the turn falls between them.
            for _ in range(3):
                found = await both()
                errors = [one for one in found if isinstance(one, Exception)]
                if retries or errors:
                    break
            if retries:
                assert errors == []
            else:
                (error,) = errors
                assert isinstance(error, openai.RateLimitError)
                assert (error.code, error.response.headers["retry-after"]) == ("rate_limit_exceeded", "1")
            await http.aclose()
            await asyncio.sleep(1)
    finally:
        await app.stop()


async def test_our_client(upstream: LoopbackUpstream) -> None:
    from specstack_client import AsyncSpecstack
    from specstack_client.errors import RateLimitExceeded

    app = application(upstream, {"anonymous": [{"per": "day", "requests": 1}]})
    await app.start()
    try:
        client = AsyncSpecstack("http://t", transport=httpx.ASGITransport(app))
        await client.models.list_models()
        with pytest.raises(RateLimitExceeded) as caught:
            await client.models.list_models()
        assert int(caught.value.headers["retry-after"]) >= 1
    finally:
        await app.stop()


@pytest.mark.parametrize("known", [False, True])
async def test_limits_of_callers_that_nobody_can_know_are_told(
    upstream: LoopbackUpstream, known: bool, caplog: pytest.LogCaptureFixture
) -> None:
    quota = {name: [{"per": "day", "requests": 1}] for name in ("anonymous", "authenticated", "tenant")}
    keys = [{"id": "ann", "hash": hash_of(ANN)}]
    server = {"auth": {"provider_config": {"type": "api_keys", "keys": keys}}} if known else {}
    with caplog.at_level("WARNING"):
        async with served(upstream, quota, **server):
            pass
    told = [one.split(" ")[0] for one in caplog.messages if "limits nobody" in one]
    assert told == ([] if known else ["server.quota.authenticated", "server.quota.tenant"])
