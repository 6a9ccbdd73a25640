"""A deterministic, permissive OpenAI-shaped model server on 127.0.0.1, for tests.

As a program:      cd tests && python -m support.loopback_upstream [PORT]     (default 19200)
As a fixture:      with LoopbackUpstream.running() as upstream: upstream.base_url, upstream.seen

It serves `/models`, `/models/{id}`, `/chat/completions`, `/completions`, `/embeddings` and `/rerank`, with or
without a `/v1` or `/v2` before them, and Ollama's `/api/tags`. A request may ask for a fault, in the
header `x-loopback-fault` or in any string of its body as `@@name=value,name=value@@`; the names are those of
the fields of `Faults`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Final

import uvicorn

from support import loopback_replies as replies
from support.serving import serving

Json = dict[str, Any]
Receive = Callable[[], Awaitable[Json]]
Send = Callable[[Json], Awaitable[None]]

_MARK: Final = re.compile(rb"@@([a-z_]+=[^@]*)@@")
_DONE: Final = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong with one request. Zero and empty mean: nothing.

    status: answer with this status and an error body; retry_after: that header's value.
    hang: seconds before the reply's head; delay: seconds before each streamed event.
    drop: cut the connection after this many events (a plain reply: in the middle of the body).
    error_event: send an error event after this many events, then end without `[DONE]`.
    no_done: end the stream without `[DONE]`; no_finish: and without a finish reason or usage either.
    malformed: the body is broken JSON; array: the body is a JSON array; html: the body is an HTML page.
    detail: an error body in FastAPI's form (`{"detail": …}`) instead of OpenAI's; empty: no error body.
    float_only: embeddings ignore `encoding_format`; whole: a plain reply where a stream was asked for.
    """

    status: int = 0
    retry_after: int = 0
    hang: float = 0
    delay: float = 0
    drop: int = 0
    error_event: int = 0
    no_done: int = 0
    no_finish: int = 0
    malformed: int = 0
    array: int = 0
    html: int = 0
    detail: int = 0
    empty: int = 0
    float_only: int = 0
    whole: int = 0

    @classmethod
    def parse(cls, text: bytes) -> Faults:
        """`status=429,retry_after=7` -> Faults; unknown names and bad numbers are ignored."""
        known = {f.name: f.type for f in fields(cls)}
        values: dict[str, Any] = {}
        for pair in text.decode("latin-1").split(","):
            name, _, value = pair.strip().partition("=")
            with contextlib.suppress(ValueError):
                if name in known:
                    values[name] = float(value) if known[name] == "float" else int(value)
        return cls(**values)

    @classmethod
    def of(cls, headers: dict[str, str], body: bytes) -> Faults:
        if asked := headers.get("x-loopback-fault"):
            return cls.parse(asked.encode("latin-1"))
        found = _MARK.search(body)
        return cls.parse(found.group(1)) if found else cls()


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived. `cancelled`: the caller went away before the reply was complete."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    cancelled: threading.Event = field(default_factory=threading.Event)

    def json(self) -> Any:
        return json.loads(self.body)


class Dropped(Exception):
    """Raised to make uvicorn close the connection without the end of the reply."""


@dataclass
class LoopbackApp:
    """The ASGI application. With `api_key` every request must carry it as a bearer token.

    `models` replaces the body of `/models`, `tags` is that of Ollama's `/api/tags`; None means 404 there.
    """

    api_key: str | None = None
    models: Any = field(default_factory=replies.model_list)
    tags: Any = None
    seen: deque[Seen] = field(default_factory=lambda: deque[Seen](maxlen=1000))

    async def __call__(self, scope: Json, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        body = await _read(receive)
        seen = Seen(scope["method"], scope["path"], headers, body)
        self.seen.append(seen)
        exchange = _Exchange(self, send, receive, Faults.of(headers, body), seen)
        path = re.sub(r"^/v\d+(?=/)", "", scope["path"])
        if self.api_key is not None and headers.get("authorization") != f"Bearer {self.api_key}":
            shown = headers.get("authorization", "").removeprefix("Bearer ")
            return await exchange.error(401, f"Incorrect API key provided: {shown}.", "invalid_api_key")
        await exchange.answer(path)


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


@dataclass
class _Exchange:
    app: LoopbackApp
    send: Send
    receive: Receive
    faults: Faults
    seen: Seen

    async def answer(self, path: str) -> None:
        if self.faults.hang:
            await self._sleep(self.faults.hang)
        if self.faults.status:
            message = f"The loopback was asked for status {self.faults.status}."
            return await self.error(self.faults.status, message, "loopback_fault")
        if self.seen.method == "GET" and path in {"/models", "/api/tags"}:
            listed = self.app.models if path == "/models" else self.app.tags
            return await (self.error(404, "No list here.", None) if listed is None else self.plain(listed))
        if self.seen.method == "GET" and path.startswith("/models/"):
            wanted = path.removeprefix("/models/")
            found = next((m for m in replies.model_list()["data"] if m["id"] == wanted), None)
            return await (
                self.plain(found) if found else self.error(404, f"No model {wanted!r}.", "model_not_found")
            )
        try:
            body = json.loads(self.seen.body or b"{}")
        except ValueError:
            return await self.error(400, "The body is not JSON.", None)
        if not isinstance(body, dict):
            return await self.error(400, "The body is not an object.", None)
        streamed = body.get("stream") is True and not self.faults.whole
        match self.seen.method, path:
            case "POST", "/chat/completions":
                await (self.events(replies.chat_events(body)) if streamed else self.plain(replies.chat(body)))
            case "POST", "/completions":
                made = replies.completion_events(body) if streamed else replies.completion(body)
                await (self.plain(made) if isinstance(made, dict) else self.events(made))
            case "POST", "/embeddings":
                plain = {**body, "encoding_format": "float"} if self.faults.float_only else body
                await self.plain(replies.embeddings(plain))
            case "POST", "/rerank":
                await self.plain(replies.rerank(body))
            case _:
                await self.error(404, f"Unknown request URL: {self.seen.method} {path}.", "unknown_url")

    async def error(self, status: int, message: str, code: str | None) -> None:
        inner = {"message": message, "type": "loopback_error", "param": None, "code": code}
        body: Any = {"detail": message} if self.faults.detail else {"error": inner}
        raw = (
            b""
            if self.faults.empty
            else b"<html>oops</html>"
            if self.faults.html
            else json.dumps(body).encode()
        )
        await self._whole(status, raw)

    async def plain(self, body: Any) -> None:
        raw = json.dumps(body).encode()
        if self.faults.malformed:
            raw = raw[: len(raw) // 2].replace(b"{", b"", 1)
        if self.faults.array:
            raw = b"[" + raw + b"]"
        if self.faults.html:
            raw = b"<html><body>a captive portal</body></html>"
        if self.faults.drop:
            await self._head(200, "application/json", len(raw))
            await self.send({"type": "http.response.body", "body": raw[: len(raw) // 2], "more_body": True})
            raise Dropped
        await self._whole(200, raw)

    async def events(self, items: Iterator[Json]) -> None:
        gone = asyncio.ensure_future(self._watch())
        try:
            await self._head(200, "text/event-stream; charset=utf-8", None)
            for count, item in enumerate(items):
                if self.faults.drop and count >= self.faults.drop:
                    raise Dropped
                if self.faults.error_event and count >= self.faults.error_event:
                    inner = {
                        "message": "The model fell over.",
                        "type": "server_error",
                        "param": None,
                        "code": None,
                    }
                    await self._chunk(b"data: " + json.dumps({"error": inner}).encode() + b"\n\n")
                    return await self._end()
                if self.faults.no_finish and _finished(item):
                    continue
                if self.faults.delay:
                    await asyncio.wait({gone}, timeout=self.faults.delay)
                if gone.done():
                    return
                await self._chunk(b"data: " + json.dumps(item).encode() + b"\n\n")
            if not self.faults.no_done:
                await self._chunk(_DONE)
            await self._end()
        finally:
            gone.cancel()

    async def _sleep(self, seconds: float) -> None:
        gone = asyncio.ensure_future(self._watch())
        await asyncio.wait({gone}, timeout=seconds)
        gone.cancel()

    async def _watch(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self.seen.cancelled.set()

    async def _head(self, status: int, media: str, length: int | None) -> None:
        headers = [(b"content-type", media.encode())]
        if length is not None:
            headers.append((b"content-length", str(length).encode()))
        if self.faults.retry_after:
            headers.append((b"retry-after", str(self.faults.retry_after).encode()))
        await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def _whole(self, status: int, raw: bytes) -> None:
        await self._head(status, "text/html" if self.faults.html else "application/json", len(raw))
        await self.send({"type": "http.response.body", "body": raw})

    async def _chunk(self, raw: bytes) -> None:
        await self.send({"type": "http.response.body", "body": raw, "more_body": True})

    async def _end(self) -> None:
        await self.send({"type": "http.response.body", "body": b""})


def _finished(item: Json) -> bool:
    return not item["choices"] or any(choice["finish_reason"] for choice in item["choices"])


@dataclass(frozen=True)
class LoopbackUpstream:
    """A served LoopbackApp: `base_url` ends with `/v1`; `seen` holds its requests, oldest first."""

    app: LoopbackApp
    base_url: str

    @property
    def seen(self) -> deque[Seen]:
        return self.app.seen

    @classmethod
    @contextlib.contextmanager
    def running(cls, api_key: str | None = None) -> Iterator[LoopbackUpstream]:
        """Serve on a free port from a thread of its own until the block ends."""
        app = LoopbackApp(api_key)
        with serving(app, lifespan="off", timeout_graceful_shutdown=1) as url:
            yield cls(app, url + "/v1")


def main() -> None:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 19200
    uvicorn.run(LoopbackApp(), host="127.0.0.1", port=port, lifespan="off", log_level="warning")


if __name__ == "__main__":
    main()
