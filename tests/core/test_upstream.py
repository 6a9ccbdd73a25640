"""`UpstreamPool` against a real server on the loopback interface."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from core.http1.raw import OK, Conversation, raw
from specstack.upstream import UpstreamPool
from specstack_wire import (
    RequestContext,
    Upstream,
    UpstreamBroken,
    UpstreamSettings,
    UpstreamTimeout,
    UpstreamUnreachable,
)


class Server:
    """An upstream that does what the path says and remembers what it saw."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        self.gone = asyncio.Event()
        self.connections: set[Any] = set()
        self.port = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.headers.append({k.lower(): v for k, v in request.headers.items()})
        self.connections.add(request.transport)
        what = request.match_info["what"]
        if what == "echo":
            return web.Response(
                body=await request.read(), headers={"Retry-After": "7", "X-Path": request.path_qs}
            )
        if what == "status":
            return web.json_response({"error": {"message": "no"}}, status=429, headers={"retry-after": "3"})
        if what == "redirect":
            return web.Response(status=307, headers={"location": "http://127.0.0.1:1/elsewhere"})
        if what == "gzip":
            response = web.Response(body=b"x" * 5000)
            response.enable_compression(web.ContentCoding.gzip)
            return response
        if what == "slow":
            return await self.slow(request)
        return await self.stream(request, what)

    async def slow(self, request: web.Request) -> web.StreamResponse:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.gone.set()
            raise
        return web.Response()

    async def stream(self, request: web.Request, what: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        try:
            for n in range(3):
                await response.write(b"data: %d\n\n" % n)
                await asyncio.sleep(0.01)
            if what == "break":
                assert request.transport is not None
                request.transport.abort()
            if what == "stall":
                await asyncio.sleep(30)
            if what == "endless":
                while True:
                    await response.write(b"data: more\n\n")
                    await asyncio.sleep(0.01)
        except (asyncio.CancelledError, ConnectionError):
            self.gone.set()
            raise
        return response


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found = Server()
    app = web.Application()
    app.router.add_route("*", "/v1/{what}", found.handle)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.port = runner.addresses[0][1]
    yield found
    await runner.cleanup()


@pytest.fixture
async def pool() -> AsyncIterator[UpstreamPool]:
    found = UpstreamPool()
    yield found
    await found.aclose()


def client(pool: UpstreamPool, server: Server, **settings: Any) -> Upstream:
    return pool.open(UpstreamSettings(base_url=f"http://127.0.0.1:{server.port}/v1/", **settings))


def ctx(**fields: Any) -> RequestContext:
    return RequestContext(request_id="r", **fields)


async def test_a_call_sends_the_bytes_and_gives_the_reply(pool: UpstreamPool, server: Server) -> None:
    upstream = client(pool, server, headers={"Authorization": "Bearer key"})
    reply = await upstream.request(ctx(), "POST", "/echo?a=b", body=b'{"x":1}')
    assert (reply.status, reply.body) == (200, b'{"x":1}')
    assert reply.headers["retry-after"] == "7"
    assert reply.headers["x-path"] == "/v1/echo?a=b"
    assert server.headers[0]["authorization"] == "Bearer key"
    assert server.headers[0]["content-type"] == "application/json"


async def test_headers_of_the_client_bring_no_credentials(pool: UpstreamPool, server: Server) -> None:
    headers = {"Authorization": "Bearer client", "Cookie": "s=1", "X-Api-Key": "k", "Connection": "close"}
    upstream = client(pool, server, headers={"authorization": "Bearer ours"})
    await upstream.request(ctx(headers={**headers, "X-Trace": "t"}), "GET", "echo")
    seen = server.headers[0]
    assert seen["authorization"] == "Bearer ours"
    assert seen["x-trace"] == "t"
    assert not {"cookie", "x-api-key", "connection"} & seen.keys()


async def test_the_trace_goes_on_to_the_upstream(pool: UpstreamPool, server: Server) -> None:
    upstream = client(pool, server)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await upstream.request(ctx(trace=trace), "GET", "echo")
    for other in (None, "no\x01header", "ünsent"):
        await upstream.request(ctx(trace=other), "GET", "echo")
    assert [seen.get("traceparent") for seen in server.headers] == [trace, None, None, None]


async def test_headers_of_a_call_win_over_the_settings(pool: UpstreamPool, server: Server) -> None:
    upstream = client(pool, server, headers={"authorization": "Bearer ours"})
    await upstream.request(ctx(), "GET", "echo", headers={"Authorization": "Bearer caller"})
    assert server.headers[0]["authorization"] == "Bearer caller"


async def test_any_status_is_a_reply(pool: UpstreamPool, server: Server) -> None:
    reply = await client(pool, server).request(ctx(), "GET", "status")
    assert (reply.status, reply.headers["retry-after"]) == (429, "3")


async def test_redirects_are_not_followed(pool: UpstreamPool, server: Server) -> None:
    assert (await client(pool, server).request(ctx(), "GET", "redirect")).status == 307


async def test_compressed_replies_arrive_plain(pool: UpstreamPool, server: Server) -> None:
    reply = await client(pool, server).request(ctx(), "GET", "gzip", headers={"accept-encoding": "gzip"})
    assert reply.body == b"x" * 5000
    assert "content-encoding" not in reply.headers


async def test_one_connection_serves_many_calls(pool: UpstreamPool, server: Server) -> None:
    upstream = client(pool, server)
    for _ in range(5):
        await upstream.request(ctx(), "GET", "echo")
        stream = await upstream.stream(ctx(), "GET", "whole")
        assert await stream.read() == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert len(server.connections) == 1


async def test_chunks_arrive_as_they_are_sent(pool: UpstreamPool, server: Server) -> None:
    stream = await client(pool, server).stream(ctx(), "POST", "endless", body=b"{}")
    chunks = stream.chunks()
    began = time.monotonic()
    assert await anext(chunks) == b"data: 0\n\n"
    assert time.monotonic() - began < 1
    await stream.aclose()


async def test_a_call_past_its_time_limit(pool: UpstreamPool, server: Server) -> None:
    with pytest.raises(UpstreamTimeout, match=r"did not answer within 0.2 s"):
        await client(pool, server, timeout=0.2).request(ctx(), "GET", "slow")
    await asyncio.wait_for(server.gone.wait(), 2)


async def test_the_deadline_of_the_request_shortens_the_limit(pool: UpstreamPool, server: Server) -> None:
    with pytest.raises(UpstreamTimeout):
        await client(pool, server).request(ctx(deadline=time.time() + 0.2), "GET", "slow")


async def test_a_stream_that_stalls(pool: UpstreamPool, server: Server) -> None:
    stream = await client(pool, server, timeout=0.3).stream(ctx(), "GET", "stall")
    got: list[bytes] = []
    with pytest.raises(UpstreamTimeout):
        async for chunk in stream.chunks():
            got.append(chunk)
    assert b"".join(got).endswith(b"data: 2\n\n")


async def test_a_stream_that_breaks_midway(pool: UpstreamPool, server: Server) -> None:
    stream = await client(pool, server).stream(ctx(), "GET", "break")
    got: list[bytes] = []
    with pytest.raises(UpstreamBroken, match=f"127.0.0.1:{server.port} broke: its reply ended before"):
        async for chunk in stream.chunks():
            got.append(chunk)
    assert got


async def test_a_cancelled_call_closes_its_connection(pool: UpstreamPool, server: Server) -> None:
    call = asyncio.create_task(client(pool, server).request(ctx(), "GET", "slow"))
    while not server.headers:
        await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.wait_for(server.gone.wait(), 2)


@pytest.mark.parametrize("how", ["aclose", "cancel"])
async def test_leaving_a_stream_closes_its_connection(pool: UpstreamPool, server: Server, how: str) -> None:
    stream = await client(pool, server).stream(ctx(), "GET", "endless")
    if how == "aclose":
        await stream.aclose()
        await stream.aclose()
    else:
        reading = asyncio.create_task(stream.read())
        await asyncio.sleep(0.1)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    await asyncio.wait_for(server.gone.wait(), 2)


async def test_closing_the_pool_ends_what_is_under_way(pool: UpstreamPool, server: Server) -> None:
    upstream = client(pool, server)
    call = asyncio.create_task(upstream.request(ctx(), "GET", "slow"))
    reading = asyncio.create_task((await upstream.stream(ctx(), "GET", "stall")).read())
    await asyncio.sleep(0.2)
    await pool.aclose()
    for task in (call, reading):
        with pytest.raises(UpstreamBroken):
            await asyncio.wait_for(task, 2)


async def test_a_kept_connection_is_not_replaced_once_the_pool_closes(
    pool: UpstreamPool, server: Server
) -> None:
    upstream = client(pool, server)
    await upstream.request(ctx(), "GET", "echo")
    call = asyncio.create_task(upstream.request(ctx(), "GET", "slow"))
    await asyncio.sleep(0.2)
    await pool.aclose()
    with pytest.raises(UpstreamBroken, match="This server is stopping"):
        await asyncio.wait_for(call, 2)
    assert len(server.headers) == 2


async def test_a_closed_pool_opens_nothing_anew(pool: UpstreamPool, server: Server) -> None:
    upstream = client(pool, server)
    await pool.aclose()
    with pytest.raises(UpstreamBroken, match="This server is stopping"):
        await upstream.request(ctx(), "GET", "echo")
    assert not server.headers


async def test_a_reply_that_is_no_http_is_not_quoted(pool: UpstreamPool) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"oops " + seen)
        writer.close()

    odd = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = odd.sockets[0].getsockname()[1]
    upstream = pool.open(UpstreamSettings(base_url=f"http://127.0.0.1:{port}", headers={"x-key": "canary"}))
    async with odd:
        with pytest.raises(UpstreamBroken, match="its reply is no HTTP") as caught:
            await upstream.request(ctx(), "GET", "x")
    assert "canary" not in caught.value.message


async def test_no_server(pool: UpstreamPool) -> None:
    upstream = pool.open(UpstreamSettings(base_url="http://127.0.0.1:1/v1"))
    with pytest.raises(UpstreamUnreachable, match=r"No connection to 127.0.0.1:1: .*refused"):
        await upstream.request(ctx(), "GET", "x")
    with pytest.raises(UpstreamUnreachable):
        await upstream.stream(ctx(), "GET", "x")


async def test_max_connections_bounds_calls_and_streams(pool: UpstreamPool, server: Server) -> None:
    upstream = client(pool, server, max_connections=1)
    stream = await upstream.stream(ctx(), "GET", "endless")
    waiting = asyncio.create_task(upstream.request(ctx(), "GET", "echo"))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await stream.aclose()
    assert (await asyncio.wait_for(waiting, 2)).status == 200


async def test_header_injection_is_refused(pool: UpstreamPool, server: Server) -> None:
    with pytest.raises(UpstreamUnreachable, match="malformed"):
        await client(pool, server).request(ctx(), "GET", "echo", headers={"x": "a\r\nb: c"})


@pytest.mark.parametrize("url", ["", "localhost:11434", "ftp://x/", "http://"])
def test_a_base_url_that_is_none(url: str) -> None:
    with pytest.raises(ValueError, match="base_url must be a whole URL"):
        UpstreamPool().open(UpstreamSettings(base_url=url))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"proxy": "localhost:3128"}, "proxy must be a whole URL"),
        ({"headers": {"bad name": "secret-value"}}, "'bad name' is no name of a header"),
        ({"headers": {"x-key": "secret-value\n"}}, "'x-key' has a control character"),
        ({"verify_tls": "/nowhere/ca.pem"}, "/nowhere/ca.pem: No such file"),
        ({"verify_tls": __file__}, "no certificate in PEM form"),
    ],
)
def test_settings_that_no_call_could_be_made_with(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        UpstreamPool().open(UpstreamSettings(base_url="http://127.0.0.1:1/v1", **settings))
    assert "secret-value" not in str(caught.value)


class Closing:
    """A raw server that answers `answers` times on a connection, then reads one more request and closes."""

    def __init__(self, answers: int) -> None:
        self.answers = answers
        self.requests = 0
        self.connections = 0

    async def serve(self, it: Conversation) -> None:
        self.connections += 1
        left = self.answers
        while await it.request():
            self.requests += 1
            if not left:
                break
            left -= 1
            await it.say(OK)


@asynccontextmanager
async def raw_server(pool: UpstreamPool, closing: Closing) -> AsyncIterator[Upstream]:
    async with raw(closing.serve) as server:
        yield pool.open(UpstreamSettings(base_url=f"http://127.0.0.1:{server.port}"))


async def test_a_kept_connection_found_closed_is_replaced_once(pool: UpstreamPool) -> None:
    closing = Closing(answers=1)
    async with raw_server(pool, closing) as upstream:
        for _ in range(2):
            assert (
                await upstream.request(ctx(), "POST", "x", headers={"content-type": "text/plain"})
            ).body == b"ok"
        assert (closing.requests, closing.connections) == (3, 2)


async def test_a_new_connection_that_closes_is_not_tried_again(pool: UpstreamPool) -> None:
    closing = Closing(answers=0)
    async with raw_server(pool, closing) as upstream:
        with pytest.raises(UpstreamBroken):
            await upstream.request(ctx(), "POST", "x")
        assert closing.requests == 1
