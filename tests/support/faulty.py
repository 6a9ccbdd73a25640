"""A server with a fault: each of its replies passes through a function that may spoil it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from support.fresh import Asgi, Fresh


@dataclass
class Reply:
    """A whole reply, or all that was streamed."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    body: bytes = b""


def faulty(app: Fresh, spoil: Callable[[Reply], None]) -> Fresh:
    """`app` with replies as `spoil` leaves them."""

    @asynccontextmanager
    async def started() -> AsyncIterator[Asgi]:
        async with app.started() as running:
            yield _spoiling(running, spoil)

    return Fresh(started)


def _spoiling(app: Asgi, spoil: Callable[[Reply], None]) -> Asgi:
    async def call(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        reply = Reply()

        async def keep(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                reply.status, reply.headers = message["status"], dict(message["headers"])
            else:
                reply.body += message.get("body", b"")

        await app(scope, receive, keep)
        spoil(reply)
        headers = [pair for pair in reply.headers.items() if pair[0] != b"content-length"]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    return call


def wrong_type(reply: Reply) -> None:
    """A time is told in words."""
    if reply.status == 200:
        reply.body = reply.body.replace(b'"created":', b'"created":"now","created_at":')


def wrong_event(reply: Reply) -> None:
    """The same in one event of a stream, the last but one."""
    if reply.headers.get(b"content-type", b"").startswith(b"text/event-stream"):
        before, found, after = reply.body.rpartition(b'"created":')
        reply.body = before + found + b'"now","created_at":' + after if found else reply.body


def other_status(reply: Reply) -> None:
    """A success has a status that is documented for failures alone."""
    if reply.status == 200:
        reply.status = 203


def no_media_type(reply: Reply) -> None:
    """A success does not say what it is."""
    if reply.status == 200:
        reply.headers.pop(b"content-type", None)


def crash(reply: Reply) -> None:
    """Bad data is the server's own fault."""
    if reply.status == 400:
        reply.status = 500
