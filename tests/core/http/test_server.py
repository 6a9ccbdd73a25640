"""The protocol on the socket: what requests may look like, how replies are framed, when connections end."""

import asyncio
import json
import time

import pytest

from core.http.kit import (
    Answer,
    app_with,
    asking,
    echo,
    http_head,
    http_post,
    live,
    operation,
    streaming,
)
from specstack.http import server
from specstack.http.server import ServerProtocol
from specstack_wire import Event, Payload, Stream

ASK = {"subject": "tea"}


async def connect(port: int):
    return await asyncio.open_connection("127.0.0.1", port)


async def reply_on(reader) -> tuple[bytes, bytes]:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2)
    if b"transfer-encoding: chunked" in head:
        body = await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 2)
    else:
        length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        body = await asyncio.wait_for(reader.readexactly(int(length[15:])), 2)
    return head, body


async def test_a_reply_is_one_piece_and_well_formed():
    async with live(app_with(asking(), echo)) as port:
        reader, writer = await connect(port)
        writer.write(http_post(ASK))
        data = await asyncio.wait_for(reader.read(65536), 2)
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        assert lines[0] == "HTTP/1.1 200 OK" and json.loads(body)["text"] == "tea"
        names = [line.partition(":")[0] for line in lines[1:]]
        assert sorted(names) == ["content-length", "content-type", "date", "server", "x-request-id"]
        writer.close()


async def test_requests_in_pieces_of_any_size():
    async with live(app_with(asking(), echo)) as port:
        reader, writer = await connect(port)
        for cut in (1, 3, 50):
            data = http_post(ASK)
            for at in range(0, len(data), cut):
                writer.write(data[at : at + cut])
                await asyncio.sleep(0.0005)
            assert json.loads((await reply_on(reader))[1])["text"] == "tea"
        chunks = b"".join(b"%x\r\n%b\r\n" % (1, bytes([byte])) for byte in json.dumps(ASK).encode())
        writer.write(http_head("transfer-encoding: chunked") + chunks + b"0\r\nx-trailer: 1\r\n\r\n")
        assert json.loads((await reply_on(reader))[1])["text"] == "tea"
        writer.close()


async def test_a_trailer_is_no_header():
    async with live(app_with(asking(), echo)) as port:
        reader, writer = await connect(port)
        body = json.dumps(ASK).encode()
        chunks = b"%x\r\n%b\r\n0\r\n" % (len(body), body)
        for named in ("named", None):
            head = http_head("transfer-encoding: chunked", *([f"x-request-id: {named}"] if named else []))
            writer.write(head + chunks + b"x-request-id: from-a-trailer\r\n\r\n")
            answered, _ = await reply_on(reader)
            assert b"from-a-trailer" not in answered
            assert b"x-request-id: " + (named.encode() if named else b"req_") in answered
        writer.close()


async def test_a_thousand_requests_in_one_piece():
    async with live(app_with(asking(), echo)) as port:
        reader, writer = await connect(port)
        writer.write(b"".join(http_post({"subject": str(n)}) for n in range(1500)))
        for n in range(1500):
            assert json.loads((await reply_on(reader))[1])["text"] == str(n)
        writer.close()


async def test_pipelined_requests_are_answered_in_their_order():
    async def slow_first(ctx, request):
        await asyncio.sleep(0.1 if request.body.subject == "0" else 0)
        return Payload.of(Answer(id="1", text=request.body.subject))

    async with live(app_with(asking(), slow_first)) as port:
        reader, writer = await connect(port)
        writer.write(b"".join(http_post({"subject": str(n)}) for n in range(6)))
        assert [json.loads((await reply_on(reader))[1])["text"] for _ in range(6)] == list("012345")
        writer.close()


async def test_the_client_is_asked_for_its_body_when_it_waits_for_that():
    async with live(app_with(asking(), echo)) as port:
        reader, writer = await connect(port)
        body = json.dumps(ASK).encode()
        writer.write(http_head(f"content-length: {len(body)}", "expect: 100-continue"))
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert json.loads((await reply_on(reader))[1])["text"] == "tea"
        writer.close()


@pytest.mark.parametrize(
    ("version", "header", "kept"),
    [
        ("1.1", "x: y", True),
        ("1.1", "connection: close", False),
        ("1.0", "x: y", False),
        ("1.0", "connection: keep-alive", False),
    ],
)
async def test_how_long_a_connection_lasts(version: str, header: str, kept: bool):
    async with live(app_with(operation(method="GET"), answer)) as port:
        reader, writer = await connect(port)
        writer.write(f"GET /v1/asks HTTP/{version}\r\nhost: x\r\n{header}\r\n\r\n".encode())
        head, _ = await reply_on(reader)
        assert (b"connection: close" in head) is not kept
        if kept:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(), 0.2)
        else:
            assert await asyncio.wait_for(reader.read(), 2) == b""
        writer.close()


async def answer(ctx, request):
    return Payload.of(Answer(id="1", text="x"))


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not():
    async def slow(ctx, request):
        await asyncio.sleep(2.5)
        return Payload.of(Answer(id="1", text="x"))

    async with live(app_with(operation(method="GET"), answer), timeout_keep_alive=1) as port:
        reader, writer = await connect(port)
        began = time.monotonic()
        for _ in range(4):
            writer.write(b"GET /v1/asks HTTP/1.1\r\nhost: x\r\n\r\n")
            await reply_on(reader)
            await asyncio.sleep(0.4)
        assert await asyncio.wait_for(reader.read(), 3) == b""
        assert 2.1 < time.monotonic() - began < 3.5
    async with live(app_with(operation(method="GET"), slow), timeout_keep_alive=1) as port:
        reader, writer = await connect(port)
        writer.write(b"GET /v1/asks HTTP/1.1\r\nhost: x\r\n\r\n")
        await asyncio.sleep(1)
        assert await asyncio.wait_for(reader.readexactly(12), 4) == b"HTTP/1.1 200"
        writer.close()


@pytest.mark.parametrize("endless", [b"x-more: " + b"y" * 1000 + b"\r\n", b"y" * 1000])
@pytest.mark.parametrize("body", [b"", b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"])
async def test_a_head_or_trailer_without_end_is_refused(endless: bytes, body: bytes):
    async with live(app_with(asking(), echo)) as port:
        _, writer = await connect(port)
        writer.write(b"POST /v1/asks HTTP/1.1\r\n" + body + b"x-first: 1\r\nx-second: ")
        sent = 0
        try:
            while sent < 64 << 20:
                writer.write(endless)
                await writer.drain()
                sent += len(endless)
        except ConnectionError:
            pass
        assert sent < 32 << 20
        writer.close()


async def test_a_long_body_after_a_short_head_is_no_long_head():
    body = json.dumps({"subject": "x" * (2 << 20)}).encode()
    async with live(app_with(asking(), echo)) as port:
        reader, writer = await connect(port)
        for _ in range(2):
            writer.write(http_head(f"content-length: {len(body)}") + body)
            assert len(json.loads((await reply_on(reader))[1])["text"]) == 2 << 20
        writer.close()


async def test_what_is_no_request_is_refused():
    async with live(app_with(asking(), echo)) as port:
        for odd in (b"hello\r\n\r\n", b"GET / HTTP/1.1\r\nbad header\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n"):
            reader, writer = await connect(port)
            writer.write(odd)
            said = await asyncio.wait_for(reader.read(), 2)
            assert said.startswith((b"HTTP/1.1 400", b"HTTP/1.1 404")), said
            writer.close()


@pytest.mark.parametrize("target", ["/v1/asks?a=%20b&c", "/v1/%61sks", "http://x/v1/asks", "/v1/asks?x=#y"])
async def test_targets_in_every_form_reach_the_operation(target: str):
    async with live(app_with(operation(method="GET"), answer)) as port:
        reader, writer = await connect(port)
        writer.write(f"GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        assert (await asyncio.wait_for(reader.read(), 2)).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_a_stream_is_framed_and_the_connection_goes_on():
    async def streamed(ctx, request):
        async def events():
            for text in ("a", "b"):
                yield Event(Answer(id="1", text=text), None, None)
                await asyncio.sleep(0.01)

        return Stream.events(events())

    async with live(app_with(streaming(), streamed)) as port:
        reader, writer = await connect(port)
        for _ in range(2):
            writer.write(http_post(ASK))
            head, body = await reply_on(reader)
            assert b"content-length" not in head and b"text/event-stream" in head
            assert body.count(b"data: ") == 3 and body.endswith(b"[DONE]\n\n\r\n0\r\n\r\n")
        writer.close()


class Transport(asyncio.Transport):
    """Takes what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


@pytest.mark.parametrize(
    ("messages", "written"),
    [
        (
            [(200, [(b"content-length", b"2")]), (b"ok", False)],
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        ),
        (
            [(200, [(b"Content-Length", b"4")]), (b"a", True), (b"bcd", False)],
            b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabcd",
        ),
        (
            [(200, []), (b"a", True), (b"", False)],
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        ),
        ([(200, []), (b"", False)], b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ([(204, []), (b"", False)], b"HTTP/1.1 204 No Content\r\n\r\n"),
        ([(200, [(b"x", b"a\r\nb: c")])], RuntimeError),
        ([(200, [(b"x y", b"a")])], RuntimeError),
        ([(200, [(b"content-length", b"2")]), (b"abc", False)], RuntimeError),
        ([(200, [(b"content-length", b"2")]), (b"a", False)], RuntimeError),
        ([(200, []), (b"", False), (b"", False)], RuntimeError),
        ([(b"", False)], RuntimeError),
        ([(200, []), (200, [])], RuntimeError),
    ],
)
async def test_what_an_app_sends(monkeypatch, messages, written):
    import uvicorn
    from uvicorn.server import ServerState

    outcome: list[object] = []

    async def app(scope, receive, send):
        try:
            for first, second in messages:
                if isinstance(first, int):
                    await send({"type": "http.response.start", "status": first, "headers": second})
                else:
                    await send({"type": "http.response.body", "body": first, "more_body": second})
            outcome.append(None)
        except RuntimeError as error:
            outcome.append(error)
            raise

    config = uvicorn.Config(app, log_level="critical", proxy_headers=False)
    config.load()
    protocol = ServerProtocol(config, ServerState(), {})
    transport = Transport()
    protocol.connection_made(transport)
    protocol.data_received(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    await asyncio.sleep(0.01)
    if written is RuntimeError:
        assert isinstance(outcome[0], RuntimeError)
    else:
        assert outcome == [None] and transport.written == written
    protocol.connection_lost(None)


async def test_the_limit_of_heads_counts_one_request_at_a_time(monkeypatch):
    monkeypatch.setattr(server, "MOST_QUIET", 2000)
    async with live(app_with(operation(method="GET"), answer)) as port:
        reader, writer = await connect(port)
        for _ in range(20):
            writer.write(b"GET /v1/asks HTTP/1.1\r\nhost: x\r\nx-pad: " + b"y" * 500 + b"\r\n\r\n")
            await reply_on(reader)
        writer.close()
