"""Replies in every framing, and what is no reply."""

import asyncio
import gzip
import zlib

import pytest

from core.http1.raw import OK, Conversation, answering, ctx, once, raw, talking
from specstack.http1 import coding
from specstack_wire import UpstreamBroken, UpstreamTimeout

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("said", "body"),
    [
        (OK, b"ok"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (CHUNKED + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"abc"),
        (CHUNKED + b"2;name=value\r\nab\r\n0\r\n\r\n", b"ab"),
        (CHUNKED + b"A\r\n0123456789\r\n0\r\nx-checksum: 1\r\nx-more: 2\r\n\r\n", b"0123456789"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok", b"ok"),
    ],
)
@pytest.mark.parametrize("cut", [1, 7, 10_000])
async def test_a_reply_in_pieces_and_its_connection_serves_the_next_call(
    said: bytes, body: bytes, cut: int
) -> None:
    pieces = [said[at : at + cut] for at in range(0, len(said), cut)]
    async with (
        raw(answering(*pieces, pause=0.0005 if cut == 1 else 0)) as server,
        talking(server) as upstream,
    ):
        for _ in range(2):
            reply = await upstream.request(ctx(), "POST", "x", body=b"{}")
            assert (reply.body, "link" in reply.headers, "x-checksum" in reply.headers) == (
                body,
                False,
                False,
            )
            stream = await upstream.stream(ctx(), "POST", "x", body=b"{}")
            assert await stream.read() == body
        assert server.connections == 1


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"],
)
async def test_a_body_that_ends_with_the_connection(head: bytes) -> None:
    async with raw(once(head, b"all ", b"of it", pause=0.01)) as server, talking(server) as upstream:
        assert (await upstream.request(ctx(), "GET", "x")).body == b"all of it"
        stream = await upstream.stream(ctx(), "GET", "x")
        assert await stream.read() == b"all of it"
        assert server.connections == 2


async def test_a_reset_is_no_end_of_a_body() -> None:
    async def script(it: Conversation) -> None:
        await it.request()
        await it.say(b"HTTP/1.1 200 OK\r\n\r\nhalf", pause=0.05)
        it.reset()

    async with raw(script) as server, talking(server) as upstream:
        with pytest.raises(UpstreamBroken, match="ended before it was complete"):
            await upstream.request(ctx(), "GET", "x")


@pytest.mark.parametrize(
    "said",
    [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", CHUNKED + b"9\r\nhalf", CHUNKED + b"2\r\nab\r\n"],
)
async def test_a_body_that_stops_short(said: bytes) -> None:
    async with raw(once(said)) as server, talking(server) as upstream:
        with pytest.raises(UpstreamBroken, match="ended before it was complete"):
            await upstream.request(ctx(), "GET", "x")
        with pytest.raises(UpstreamBroken, match="ended before it was complete"):
            await (await upstream.stream(ctx(), "GET", "x")).read()


async def test_a_reply_to_head_has_no_body() -> None:
    async with raw(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n")) as server:
        async with talking(server) as upstream:
            for _ in range(2):
                reply = await upstream.request(ctx(), "HEAD", "x")
                assert (reply.status, reply.body) == (200, b"")


@pytest.mark.parametrize(
    "said",
    [
        b"<html>oops</html>",
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        CHUNKED + b"zz\r\nab\r\n0\r\n\r\n",
        CHUNKED + b"ffffffffffffffffff\r\nab",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    ],
)
async def test_what_is_no_reply(said: bytes) -> None:
    async with raw(once(said)) as server, talking(server, timeout=5) as upstream:
        with pytest.raises(UpstreamBroken, match=r"no HTTP|ended before|changes|without a reply"):
            await upstream.request(ctx(), "GET", "x")


async def test_a_transfer_coding_that_nobody_asked_for() -> None:
    said = b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
    async with raw(once(said)) as server, talking(server) as upstream:
        with pytest.raises(UpstreamBroken, match="transfer coding"):
            await upstream.request(ctx(), "GET", "x")


@pytest.mark.parametrize(
    ("first", "endless"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"x-more: " + b"y" * 1000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nx-one: ", b"y" * 1000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (CHUNKED + b"2;", b"y" * 1000),
        (CHUNKED + b"2\r\nab\r\n0\r\nx-trailer: ", b"y" * 1000),
    ],
)
async def test_heads_extensions_and_trailers_without_end_are_cut_off(first: bytes, endless: bytes) -> None:
    sent = 0

    async def script(it: Conversation) -> None:
        nonlocal sent
        await it.request()
        await it.say(first)
        while sent < 50 << 20:
            await it.say(endless)
            sent += len(endless)

    async with raw(script) as server, talking(server) as upstream:
        with pytest.raises(UpstreamBroken, match="too long"):
            await upstream.request(ctx(), "GET", "x")
    assert sent < 20 << 20


async def test_headers_in_odd_forms() -> None:
    said = (
        b"HTTP/1.1 200 OK\r\nX-Name:   spaced \r\nx-Latin: caf\xe9\r\nX-EMPTY:\r\ncontent-length: 0\r\n\r\n"
    )
    async with raw(answering(said)) as server, talking(server) as upstream:
        reply = await upstream.request(ctx(), "GET", "x")
        assert reply.headers == {"x-name": "spaced", "x-latin": "café", "x-empty": ""}


def compressed(coding: str, data: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {len(data)}\r\n\r\n"
    return head.encode() + data


def bare(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-15)
    return made.compress(data) + made.flush()


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        ("gzip", gzip.compress(b"plain" * 1000)),
        ("GZIP", gzip.compress(b"plain" * 500) + gzip.compress(b"plain" * 500)),
        ("deflate", zlib.compress(b"plain" * 1000)),
        ("deflate", bare(b"plain" * 1000)),
    ],
)
async def test_compressed_replies(coding: str, data: bytes) -> None:
    said = compressed(coding, data)
    async with raw(answering(said[:60], said[60:75], said[75:], pause=0.005)) as server:
        async with talking(server) as upstream:
            reply = await upstream.request(ctx(), "GET", "x")
            assert reply.body == b"plain" * 1000
            assert not {"content-encoding", "content-length"} & reply.headers.keys()
            assert await (await upstream.stream(ctx(), "GET", "x")).read() == b"plain" * 1000
            assert b"accept-encoding: gzip, deflate\r\n" in server.seen[0]
            assert b"accept-encoding: identity\r\n" in server.seen[1]


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        ("br", b"\x0b\x02\x80plain\x03"),
        ("gzip", b"not compressed"),
        ("gzip", gzip.compress(b"plain" * 99)[:-9]),
    ],
)
async def test_compression_that_cannot_be_undone(coding: str, data: bytes) -> None:
    async with raw(answering(compressed(coding, data))) as server, talking(server) as upstream:
        with pytest.raises(UpstreamBroken, match=r"compressed|ended before"):
            await upstream.request(ctx(), "GET", "x")
        with pytest.raises(UpstreamBroken, match=r"compressed|ended before"):
            await (await upstream.stream(ctx(), "GET", "x")).read()


@pytest.mark.parametrize("size", [1000, 1001])
async def test_a_small_reply_does_not_unfold_to_any_size(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coding, "LARGEST", 1000)
    reply = compressed("gzip", gzip.compress(b"x" * 600) + gzip.compress(b"x" * (size - 600)))
    async with raw(answering(reply)) as server, talking(server) as upstream:
        if size == 1000:
            assert len((await upstream.request(ctx(), "GET", "x")).body) == size
            return
        with pytest.raises(UpstreamBroken, match="larger than"):
            await upstream.request(ctx(), "GET", "x")
        with pytest.raises(UpstreamBroken, match="larger than"):
            await (await upstream.stream(ctx(), "GET", "x")).read()


async def test_pieces_of_a_stream_come_as_they_are_sent() -> None:
    async def script(it: Conversation) -> None:
        await it.request()
        await it.say(CHUNKED, b"1\r\na\r\n", pause=0.05)
        await it.say(b"1\r\nb\r\n2\r\ncd\r\n", pause=0.05)
        await it.say(b"0\r\n\r\n")

    async with raw(script) as server, talking(server) as upstream:
        stream = await upstream.stream(ctx(), "GET", "x")
        assert [chunk async for chunk in stream.chunks()] == [b"a", b"bcd"]


async def test_a_slow_reader_holds_the_upstream_back() -> None:
    sent = 0

    async def script(it: Conversation) -> None:
        nonlocal sent
        await it.request()
        await it.say(CHUNKED)
        while sent < 64 << 20:
            await it.say(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            sent += 65536
        await it.say(b"0\r\n\r\n")

    async with raw(script) as server, talking(server) as upstream:
        stream = await upstream.stream(ctx(), "GET", "x")
        chunks = stream.chunks()
        got = len(await anext(chunks))
        await asyncio.sleep(0.3)
        stopped = sent
        await asyncio.sleep(0.3)
        # What the kernel's buffers hold on both sides, and little of our own.
        assert sent == stopped < 16 << 20
        async for chunk in chunks:
            got += len(chunk)
            assert len(chunk) < 1 << 20
        assert got == 64 << 20


async def test_a_stream_that_is_read_late_has_not_timed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        raw(answering(CHUNKED, b"1\r\na\r\n0\r\n\r\n")) as server,
        talking(server, timeout=60) as upstream,
    ):
        stream = await upstream.stream(ctx(), "GET", "x")
        loop = asyncio.get_running_loop()
        now = loop.time
        monkeypatch.setattr(loop, "time", lambda: now() + 120)
        await asyncio.sleep(0.05)
        assert await stream.read() == b"a"
        monkeypatch.undo()


async def test_what_came_before_a_break_is_delivered() -> None:
    async with raw(once(CHUNKED, b"1\r\na\r\n")) as server, talking(server) as upstream:
        stream = await upstream.stream(ctx(), "GET", "x")
        await asyncio.sleep(0.1)
        chunks = stream.chunks()
        assert await anext(chunks) == b"a"
        with pytest.raises(UpstreamBroken):
            await anext(chunks)


async def test_time_limits_of_a_call_that_drips() -> None:
    dripping = [b"HTTP/1.1 200 OK\r\n", *[b"x: y\r\n"] * 50]
    async with raw(answering(*dripping, pause=0.05)) as server, talking(server, timeout=0.3) as upstream:
        with pytest.raises(UpstreamTimeout):
            await upstream.request(ctx(), "GET", "x")
        with pytest.raises(UpstreamTimeout):
            await upstream.stream(ctx(), "GET", "x")
