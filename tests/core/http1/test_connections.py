"""Connections: kept, found closed, shared out, left, and opened through names, TLS and proxies."""

import asyncio
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from core.http1.raw import OK, Conversation, Script, answering, ctx, once, raw, talking
from specstack.http1 import connection as connections
from specstack.http1 import dial, origin
from specstack.upstream import UpstreamPool
from specstack_wire import UpstreamBroken, UpstreamSettings, UpstreamTimeout, UpstreamUnreachable

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def closing_after(delay: float) -> Script:
    """Answers one request, takes a second and closes without a word."""

    async def script(it: Conversation) -> None:
        await it.request()
        await it.say(OK)
        await it.request()
        await asyncio.sleep(delay)

    return script


@pytest.mark.parametrize(
    ("method", "delay", "requests"), [("POST", 0.0, 3), ("POST", 0.8, 2), ("GET", 0.0, 3), ("GET", 0.8, 3)]
)
async def test_a_kept_connection_that_closes(method: str, delay: float, requests: int) -> None:
    """What may have been worked on is not sent again, unless its method says that this does no harm."""
    async with raw(closing_after(delay), answering(OK)) as server, talking(server) as upstream:
        await upstream.request(ctx(), method, "x")
        if requests == 3:
            assert (await upstream.request(ctx(), method, "x")).body == b"ok"
        else:
            with pytest.raises(UpstreamBroken, match="closed the connection without a reply"):
                await upstream.request(ctx(), method, "x")
        assert len(server.seen) == requests


async def test_a_call_that_was_answered_in_part_is_not_repeated() -> None:
    async def script(it: Conversation) -> None:
        await it.request()
        await it.say(OK)
        await it.request()
        await it.say(b"HTTP/1.1 2")

    async with raw(script) as server, talking(server) as upstream:
        await upstream.request(ctx(), "GET", "x")
        with pytest.raises(UpstreamBroken):
            await upstream.request(ctx(), "GET", "x")
        assert len(server.seen) == 2


async def test_a_connection_that_closed_while_idle_is_not_used() -> None:
    async with raw(once(OK)) as server, talking(server) as upstream:
        for _ in range(3):
            await upstream.request(ctx(), "POST", "x")
            await asyncio.sleep(0.05)
        assert (len(server.seen), server.connections) == (3, 3)


@pytest.mark.parametrize("pause", [0, 0.05])
async def test_a_second_reply_is_nobodys(pause: float) -> None:
    poison = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"
    async with raw(answering(OK + poison if not pause else OK, *([poison] if pause else []))) as server:
        async with talking(server) as upstream:
            for _ in range(3):
                assert (await upstream.request(ctx(), "GET", "x")).body == b"ok"
                await asyncio.sleep(pause * 2)
            assert server.connections == 3


async def test_a_reply_before_the_request_was_out_costs_the_connection() -> None:
    async def script(it: Conversation) -> None:
        await it.reader.readuntil(b"\r\n\r\n")
        await it.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        await asyncio.sleep(0.2)

    async with raw(script) as server, talking(server) as upstream:
        for _ in range(2):
            reply = await upstream.request(ctx(), "POST", "x", body=b"x" * (32 << 20))
            assert (reply.status, reply.body) == (413, b"no")
        assert server.connections == 2


async def test_idle_connections_are_closed_after_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "KEEP_ALIVE", 0.2)
    async with raw(answering(OK)) as server, talking(server) as upstream:
        await upstream.request(ctx(), "GET", "x")
        await asyncio.sleep(0.1)
        await upstream.request(ctx(), "GET", "x")
        assert server.connections == 1
        await asyncio.sleep(0.6)
        assert server.ended == 1


async def test_a_stream_left_just_before_its_end_keeps_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Servers send the last chunk a moment after the last event."""
    monkeypatch.setattr(connections, "LINGER", 2.0)

    async def script(it: Conversation) -> None:
        while True:
            await it.request()
            await it.say(CHUNKED, b"4\r\ndone\r\n", pause=0.005)
            await it.say(b"0\r\n\r\n")

    async with raw(script) as server, talking(server) as upstream:
        for _ in range(3):
            stream = await upstream.stream(ctx(), "GET", "x")
            chunks = stream.chunks()
            assert await anext(chunks) == b"done"
            await chunks.aclose()  # pyright: ignore
            await asyncio.sleep(0.2)
        assert server.connections == 1


@pytest.mark.parametrize("more", [b"", b"1\r\nx\r\n"])
async def test_a_stream_left_in_the_middle_ends_its_connection_at_once(more: bytes) -> None:
    async def script(it: Conversation) -> None:
        await it.request()
        await it.say(CHUNKED, b"1\r\nx\r\n", pause=0.05)
        if more:
            await it.say(more)
        await it.gone()

    async with raw(script) as server, talking(server) as upstream:
        stream = await upstream.stream(ctx(), "GET", "x")
        chunks = stream.chunks()
        assert await anext(chunks) == b"x"
        await stream.aclose()
        await asyncio.sleep(connections.LINGER * 4)
        assert server.ended == 1


async def test_places_go_to_who_waits_longest_and_are_not_lost() -> None:
    async with raw(answering(b"HTTP/1.1 200 OK\r\n", b"content-length: 2\r\n\r\nok", pause=0.03)) as server:
        async with talking(server, max_connections=1) as upstream:
            calls = [asyncio.create_task(upstream.request(ctx(), "GET", str(n))) for n in range(12)]
            await asyncio.sleep(0.01)
            for call in (calls[0], calls[5], calls[7]):
                call.cancel()
            done = await asyncio.gather(*calls, return_exceptions=True)
            assert sum(isinstance(one, asyncio.CancelledError) for one in done) == 3
            assert [one.body for one in done if not isinstance(one, BaseException)] == [b"ok"] * 9
            order = [int(seen.split(b" ")[1].rpartition(b"/")[2]) for seen in server.seen]
            assert order == sorted(order) and not {5, 7} & set(order)
            assert await asyncio.gather(*[upstream.request(ctx(), "GET", "x") for _ in range(2)])


async def test_many_calls_at_once() -> None:
    async with raw(answering(OK)) as server, talking(server) as upstream:
        for _ in range(3):
            replies = await asyncio.gather(
                *[upstream.request(ctx(), "POST", "x", body=b"{}") for _ in range(50)]
            )
            assert all(reply.body == b"ok" for reply in replies)
        assert server.connections <= 50


async def test_what_a_request_looks_like() -> None:
    async with raw(answering(OK)) as server:
        settings = {"headers": {"X-Ours": "1", "Host": "model.internal"}, "path": "/a b/v1/"}
        async with talking(server, host="user:p%40ss@127.0.0.1", **settings) as upstream:
            await upstream.request(ctx(), "POST", "/ü x?q=a#b", body=b"{}", headers={"x-ours": "2"})
            head, _, body = server.seen[0].partition(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            assert lines[0] == "POST /a%20b/v1/%C3%BC%20x?q=a%23b HTTP/1.1"
            assert body == b"{}"
            assert "host: model.internal" in lines and "x-ours: 2" in lines and "content-length: 2" in lines
            assert "authorization: Basic dXNlcjpwQHNz" in lines
            assert len({line.partition(":")[0] for line in lines}) == len(lines)
            await upstream.request(ctx(), "GET", "x")
            assert b"content-length" not in server.seen[1] and b"content-type" not in server.seen[1]
            await upstream.request(ctx(), "POST", "x")
            assert b"content-length: 0" in server.seen[2]


@pytest.mark.parametrize(
    "headers", [{"content-length": "9"}, {"Transfer-Encoding": "chunked"}, {"host": "x"}]
)
async def test_a_call_cannot_change_its_framing(headers: dict[str, str]) -> None:
    async with raw(answering(OK)) as server, talking(server) as upstream:
        with pytest.raises(UpstreamUnreachable, match="malformed"):
            await upstream.request(ctx(), "POST", "x", body=b"{}", headers=headers)
        assert server.connections == 0


def test_settings_cannot_change_the_framing() -> None:
    with pytest.raises(ValueError, match="'Content-Length' belongs to the connection"):
        UpstreamPool().open(UpstreamSettings("http://127.0.0.1:1", headers={"Content-Length": "secret"}))


async def test_no_answer_to_a_connection_attempt() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        others = [socket.socket() for _ in range(3)]
        for other in others:  # fill the queue: from now on nobody is let in or told so
            other.setblocking(False)
            other.connect_ex(("127.0.0.1", port))
        pool = UpstreamPool()
        upstream = pool.open(UpstreamSettings(f"http://127.0.0.1:{port}", connect_timeout=0.3))
        with pytest.raises(UpstreamUnreachable, match=r"No connection to 127.0.0.1:\d+ within 0.3 s"):
            await upstream.request(ctx(), "GET", "x")
        with pytest.raises(UpstreamTimeout, match=r"did not answer within 0.1 s"):
            await upstream.request(ctx(), "GET", "x", timeout=0.1)
        await pool.aclose()
        for other in others:
            other.close()


async def test_a_name_that_nobody_knows() -> None:
    upstream = UpstreamPool().open(UpstreamSettings("http://nobody.invalid"))
    with pytest.raises(UpstreamUnreachable, match=r"No connection to nobody.invalid: "):
        await upstream.request(ctx(), "GET", "x")


def addresses(monkeypatch: pytest.MonkeyPatch, *hosts: tuple[str, int]) -> None:
    """Let every name have these addresses."""

    async def getaddrinfo(self: Any, host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in hosts]

    monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", getaddrinfo)


async def test_the_next_address_when_one_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw(answering(OK)) as server, talking(server) as upstream:
        addresses(monkeypatch, ("127.0.0.1", 1), ("127.0.0.1", server.port))
        assert (await upstream.request(ctx(), "GET", "x")).body == b"ok"
        addresses(monkeypatch, ("127.0.0.1", 1), ("127.0.0.1", 2))
        with pytest.raises(UpstreamUnreachable, match="refused"):
            await UpstreamPool().open(UpstreamSettings("http://x.test")).request(ctx(), "GET", "x")


async def test_the_next_address_when_one_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    real = dial._socket_to  # pyright: ignore[reportPrivateUsage]

    async def slow_first(loop: Any, address: Any) -> socket.socket:
        if address[4][1] == 1:
            await asyncio.sleep(30)
        return await real(loop, address)

    monkeypatch.setattr(dial, "_socket_to", slow_first)
    async with raw(answering(OK)) as server, talking(server) as upstream:
        addresses(monkeypatch, ("127.0.0.1", 1), ("127.0.0.1", server.port))
        assert (await asyncio.wait_for(upstream.request(ctx(), "GET", "x"), 2)).body == b"ok"


# -- TLS and proxies -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with cert.pem and key.pem for localhost."""
    folder = tmp_path_factory.mktemp("tls")
    command = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(["openssl", *command.split(), *names, *files], check=True, capture_output=True)
    return folder


def tls_of(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    return context


async def test_tls(certificate: Path) -> None:
    big = b"x" * (1 << 20)
    said = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(big) + big
    async with raw(answering(said), tls=tls_of(certificate)) as server:
        for verify in (False, str(certificate / "cert.pem")):
            async with talking(server, scheme="https", verify_tls=verify) as upstream:
                for _ in range(2):
                    assert (await upstream.request(ctx(), "POST", "x", body=big)).body == big
                assert await (await upstream.stream(ctx(), "GET", "x")).read() == big
        assert server.connections == 2
        async with talking(server, scheme="https") as upstream:
            with pytest.raises(UpstreamUnreachable, match="its certificate is not trusted"):
                await upstream.request(ctx(), "GET", "x")


async def test_a_certificate_for_another_name(certificate: Path) -> None:
    async with raw(answering(OK), tls=tls_of(certificate), host="127.0.0.2") as server:
        where = {"scheme": "https", "host": "127.0.0.2", "verify_tls": str(certificate / "cert.pem")}
        async with talking(server, **where) as upstream:
            with pytest.raises(UpstreamUnreachable, match="its certificate is not trusted"):
                await upstream.request(ctx(), "GET", "x")


async def test_a_server_without_tls() -> None:
    async with raw(once(OK)) as server, talking(server, scheme="https", connect_timeout=2) as upstream:
        with pytest.raises(UpstreamUnreachable, match="No connection"):
            await upstream.request(ctx(), "GET", "x")


async def test_plain_calls_through_a_proxy() -> None:
    async with raw(answering(OK)) as proxy:
        pool = UpstreamPool()
        where = f"http://me:secret@127.0.0.1:{proxy.port}"
        upstream = pool.open(UpstreamSettings("http://far.test:8000/v1", proxy=where))
        for _ in range(2):
            assert (await upstream.request(ctx(), "GET", "models")).body == b"ok"
        await pool.aclose()
        assert proxy.connections == 1
        assert proxy.seen[0].startswith(
            b"GET http://far.test:8000/v1/models HTTP/1.1\r\nhost: far.test:8000\r\n"
        )
        assert b"proxy-authorization: Basic bWU6c2VjcmV0\r\n" in proxy.seen[0]


async def test_encrypted_calls_through_a_proxy(certificate: Path) -> None:
    async with raw(answering(OK), tls=tls_of(certificate)) as far:

        async def tunnel(it: Conversation) -> None:
            await it.request()
            reader, writer = await asyncio.open_connection("127.0.0.1", far.port)
            await it.say(b"HTTP/1.1 200 Connection established\r\n\r\n")

            async def passing(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
                while data := await source.read(65536):
                    target.write(data)
                target.close()

            try:
                await asyncio.gather(passing(it.reader, writer), passing(reader, it.writer))
            finally:
                writer.close()
                await writer.wait_closed()

        async with raw(tunnel) as proxy:
            pool = UpstreamPool()
            where = f"http://me:secret@127.0.0.1:{proxy.port}"
            trusted = str(certificate / "cert.pem")
            upstream = pool.open(UpstreamSettings("https://localhost:7/v1", proxy=where, verify_tls=trusted))
            for _ in range(2):
                assert (await upstream.request(ctx(), "GET", "models")).body == b"ok"
            await pool.aclose()
            assert proxy.connections == far.connections == 1
            assert proxy.seen[0].startswith(b"CONNECT localhost:7 HTTP/1.1\r\n")
            assert b"proxy-authorization: Basic bWU6c2VjcmV0" in proxy.seen[0]
            assert far.seen[0].startswith(b"GET /v1/models HTTP/1.1\r\nhost: localhost:7\r\n")
            assert b"proxy-authorization" not in far.seen[0]


async def test_a_proxy_that_refuses() -> None:
    async with raw(once(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")) as proxy:
        pool = UpstreamPool()
        upstream = pool.open(UpstreamSettings("https://far.test", proxy=f"http://127.0.0.1:{proxy.port}"))
        with pytest.raises(UpstreamUnreachable, match=r"far.test: its proxy refused with status 407"):
            await upstream.request(ctx(), "GET", "x")
        await pool.aclose()
    gone = UpstreamPool().open(UpstreamSettings("https://far.test", proxy="http://127.0.0.1:1"))
    with pytest.raises(UpstreamUnreachable, match=r"far.test: .*refused"):
        await gone.request(ctx(), "GET", "x")
