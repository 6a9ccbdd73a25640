"""The whole server before a model server that misbehaves, and clients that do."""

import asyncio
import json
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.http.kit import live
from core.http1.raw import Conversation, Script, raw
from specstack.assembly import SERVER, VALIDATING, build
from specstack.config import load_config
from specstack.serving import guarded

CONFIG = """
version: 2
distro_name: failing
providers:
  inference:
    - provider_id: far
      provider_type: remote::openai-compatible
      config: {{base_url: "http://127.0.0.1:{port}/v1", api_key: our-key, allowed_models: [m]}}
"""
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
MESSAGES = [{"role": "user", "content": "hi"}]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(text: str = "word", finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return chunk(b"data: " + json.dumps(body).encode() + b"\n\n")


@asynccontextmanager
async def gateway(
    script: Script, tmp_path: Path, validating: bool = VALIDATING
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """The port of a server before a model server that follows the script for chats."""

    async def speak(it: Conversation) -> None:
        request = await it.request()
        while request.startswith(b"GET /v1/models"):
            it.seen.remove(request)
            await it.say(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            request = await it.request()
        it.reader.feed_data(request)  # the script reads it again
        it.seen.remove(request)
        await script(it)

    async with raw(speak) as far:
        config = tmp_path / "config.yaml"
        config.write_text(CONFIG.format(port=far.port))
        app = build(load_config(config, SERVER), validating=validating)
        await app.start()
        try:
            async with live(guarded(app, "127.0.0.1"), lifespan="off") as port:
                yield port, far.seen
        finally:
            await app.stop()


async def ask(
    port: int, headers: str = "", **more: object
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps({"model": "far/m", "messages": MESSAGES, **more}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
    )
    writer.write(f"{head}{headers}connection: close\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    return reader, writer


@pytest.mark.parametrize("how", ["reset", "close", "garbage", "error event", "no end"])
async def test_a_stream_that_fails_midway_ends_with_an_error_event(how: str, tmp_path: Path) -> None:
    async def script(it: Conversation) -> None:
        await it.request()
        await it.say(HEAD + b"\r\n", event("one"), event("two"), pause=0.02)
        if how == "reset":
            it.reset()
        elif how == "garbage":
            await it.say(b"no chunk\r\n")
        elif how == "error event":
            await it.say(chunk(b'data: {"error": {"message": "it fell over"}}\n\n'), event("three"))
        elif how == "no end":
            await it.say(b"0\r\n\r\n")

    async with gateway(script, tmp_path) as (port, _):
        reader, writer = await ask(port, stream=True)
        said = (await asyncio.wait_for(reader.read(), 10)).decode()
        writer.close()
    assert said.startswith("HTTP/1.1 200") and "one" in said and "two" in said and "three" not in said
    assert "[DONE]" not in said
    last = [line for line in said.split("\r\n") if line.startswith("data: ")][-1]
    error = json.loads(last.removeprefix("data: "))["error"]
    assert error["message"] and error["type"]


async def test_a_reply_that_breaks_off_is_a_502(tmp_path: Path) -> None:
    async def script(it: Conversation) -> None:
        await it.request()
        await it.say(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{")

    async with gateway(script, tmp_path) as (port, _):
        reader, writer = await ask(port)
        said = await asyncio.wait_for(reader.read(), 10)
        writer.close()
    assert said.startswith(b"HTTP/1.1 502") and json.loads(said.partition(b"\r\n\r\n")[2])["error"]["message"]


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("talks", [False, True])
async def test_a_client_that_leaves_frees_the_model_server_within_a_second(
    streams: bool, talks: bool, tmp_path: Path
) -> None:
    began, gone = asyncio.Event(), asyncio.Event()

    async def script(it: Conversation) -> None:
        await it.request()
        if streams:
            await it.say(HEAD + b"\r\n", event())
        began.set()
        leaving = asyncio.ensure_future(it.gone(5))
        while talks and streams and not leaving.done():
            await asyncio.wait([leaving], timeout=0.02)
            await it.say(event())
        await leaving
        gone.set()

    async with gateway(script, tmp_path) as (port, _):
        reader, writer = await ask(port, stream=streams)
        await began.wait()
        if streams:
            await reader.readuntil(b"word")
        writer.transport.abort()
        await asyncio.wait_for(gone.wait(), 1)


async def test_a_client_that_reads_slowly_does_not_fill_memory(tmp_path: Path) -> None:
    sent = 0
    big = event("x" * 60_000)

    async def script(it: Conversation) -> None:
        nonlocal sent
        await it.request()
        await it.say(HEAD + b"\r\n")
        while sent < 300 << 20:
            await it.say(big)
            sent += len(big)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with gateway(script, tmp_path) as (port, _):
        reader, writer = await ask(port, stream=True)
        await reader.readuntil(b"xxxx")
        held = -1
        while sent != held and sent < 40 << 20:
            held = sent
            await asyncio.sleep(1)
        assert sent < 40 << 20
        writer.transport.abort()
    # All of it is within this process: both ends, and the buffers of the test itself.
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < 60 << 10


SECRET = (
    "authorization: Bearer client-secret\r\ncookie: session=client-secret\r\nx-api-key: client-secret\r\n"
    "proxy-authorization: Basic client-secret\r\napi-key: client-secret\r\nte: client-secret\r\n"
    "keep-alive: client-secret\r\nx-forwarded-for: client-secret\r\nforwarded: for=client-secret\r\n"
    "x-own: client-secret\r\n"
)


@pytest.mark.parametrize("streams", [False, True])
async def test_headers_that_must_not_pass_do_not_pass(streams: bool, tmp_path: Path) -> None:
    own = b"set-cookie: far-secret\r\nserver: far-secret\r\nkeep-alive: far-secret\r\n"
    own += b"x-request-id: far-secret\r\n"

    async def script(it: Conversation) -> None:
        await it.request()
        if streams:
            await it.say(
                HEAD + own + b"\r\n" + event("w", "stop") + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
            )
            return
        body = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": []})
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        await it.say(head.encode() + own + b"\r\n" + body.encode())

    async with gateway(script, tmp_path) as (port, seen):
        reader, writer = await ask(port, SECRET, stream=streams)
        said = await asyncio.wait_for(reader.read(), 10)
        writer.close()
    assert said.startswith(b"HTTP/1.1 200") and b"far-secret" not in said
    head, _, _ = seen[0].partition(b"\r\n\r\n")
    assert b"client-secret" not in head and b"authorization: Bearer our-key\r\n" in head
    assert b"connection: close" not in head


@pytest.mark.parametrize("streams", [False, True])
async def test_unknown_fields_and_odd_writing_reach_the_model_server_untouched(
    streams: bool, tmp_path: Path
) -> None:
    async def script(it: Conversation) -> None:
        await it.request()
        await it.say(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")

    body = (
        b'{ "vendor_option" : {"deep":[1.50, 1e3, "\\u00e9\\/"]},'
        b'\n "messages":[{"role":"user","content":"hi","x-y":null}],'
        b'\t"model":"far/m", "stream":%b, "top_k": 5}' % (b"true" if streams else b"false")
    )
    async with gateway(script, tmp_path) as (port, seen):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        writer.write(f"{head}connection: close\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        await asyncio.wait_for(reader.read(), 10)
        writer.close()
    assert seen[0].partition(b"\r\n\r\n")[2] == body.replace(b'"far/m"', b'"m"')
