"""A model server that costs next to nothing: fixed replies in OpenAI's shapes, to measure what is before it.

    python upstream.py PORT

It serves POST /v1/chat/completions (also streamed), POST /v1/embeddings and GET /v1/models. A stream has
`EVENTS` events of text, each written by itself, as fast as they go, or every `pause_ms` milliseconds if the
request's body has that property.
"""

import asyncio
import base64
import json
import re
import struct
import sys
from functools import cache
from typing import Any

import httptools

EVENTS = 64
DIMENSIONS = 384
WORDS = " ".join(["There is little to say about nothing, and much has been said about that."] * 9)
_INPUTS = re.compile(rb'"input"\s*:\s*\[(.*?)\]\s*[,}]', re.DOTALL)
_PAUSE = re.compile(rb'"pause_ms"\s*:\s*(\d+)')
_STREAMED = re.compile(rb'"stream"\s*:\s*true')


def _reply(value: Any) -> bytes:
    body = json.dumps(value, separators=(",", ":")).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1, "model": "mock-llm"}
    data = json.dumps({**chunk, "choices": [choice]}, separators=(",", ":")).encode()
    return _chunk(b"data: " + data + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@cache
def embedded(count: int, packed: bool = False) -> bytes:
    """The reply to so many inputs; `packed` vectors are base64 of little-endian floats."""
    vector: list[float] | str = [((n * 37) % 101) / 101 - 0.5 for n in range(DIMENSIONS)]
    if packed:
        vector = base64.b64encode(struct.pack(f"<{DIMENSIONS}f", *vector)).decode()
    rows = [{"object": "embedding", "index": n, "embedding": vector} for n in range(count)]
    usage = {"prompt_tokens": 8 * count, "total_tokens": 8 * count}
    return _reply({"object": "list", "data": rows, "model": "mock-embed", "usage": usage})


CHAT = _reply(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1,
        "model": "mock-llm",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": WORDS, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 20, "completion_tokens": 150, "total_tokens": 170},
    }
)
MODELS = _reply(
    {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "created": 1, "owned_by": "bench"}
            for name in ("mock-llm", "mock-embed")
        ],
    }
)
MISSING = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
FIRST = _event({"role": "assistant", "content": ""})
WORD = _event({"content": " word"})
LAST = _event({}, "stop") + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Server(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.url = b""
        self.body = b""
        self.sending: asyncio.Task[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self.sending is not None:
            self.sending.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    def on_url(self, url: bytes) -> None:
        self.url, self.body = url, b""

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        path = self.url.removeprefix(b"/v1")
        if path == b"/chat/completions" and _STREAMED.search(self.body):
            self.sending = asyncio.get_running_loop().create_task(self.stream())
        elif path == b"/chat/completions":
            self.transport.write(CHAT)
        elif path == b"/embeddings":
            inputs = _INPUTS.search(self.body)
            count = 1 if inputs is None else inputs[1].count(b'","') + inputs[1].count(b'", "') + 1
            self.transport.write(embedded(count, b'"base64"' in self.body))
        else:
            self.transport.write(MODELS if path == b"/models" else MISSING)

    async def stream(self) -> None:
        pause = _PAUSE.search(self.body)
        wait = int(pause[1]) / 1000 if pause else 0
        self.transport.write(HEAD + FIRST)
        for _ in range(EVENTS):
            await asyncio.sleep(wait)
            self.transport.write(WORD)
        self.transport.write(LAST)


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.run(main())
    except ImportError:
        asyncio.run(main())
