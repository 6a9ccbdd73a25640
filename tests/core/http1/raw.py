"""Servers that speak bytes, for what no well-behaved HTTP server does."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from specstack.upstream import UpstreamPool
from specstack_wire import RequestContext, Upstream, UpstreamSettings

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class Conversation:
    """One connection, seen from the server. `request` reads a whole request and remembers it."""

    reader: Reader
    writer: Writer
    seen: list[bytes]

    async def request(self) -> bytes:
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        found = head + await self.reader.readexactly(length)
        self.seen.append(found)
        return found

    async def say(self, *pieces: bytes, pause: float = 0) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            if pause:
                await asyncio.sleep(pause)

    async def gone(self, within: float = 2) -> None:
        """Wait until the client has closed."""
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(self.reader.read(), within)

    def reset(self) -> None:
        """Close so that the client is told of a failure, not of an end."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Conversation], Awaitable[None]]


@dataclass
class Raw:
    """A server that follows a script on each connection; the last script serves all further ones."""

    scripts: list[Script]
    seen: list[bytes] = field(default_factory=list[bytes])
    connections: int = 0
    ended: int = 0
    port: int = 0

    async def serve(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        script = self.scripts[min(self.connections, len(self.scripts)) - 1]
        try:
            await script(Conversation(reader, writer, self.seen))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.ended += 1
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()


@asynccontextmanager
async def raw(
    *scripts: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Raw]:
    found = Raw(list(scripts))
    talks: set[asyncio.Task[None]] = set()

    async def serve(reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        await found.serve(reader, writer)

    server = await asyncio.start_server(serve, host, 0, ssl=tls)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        # A script may still wait for more, or sleep: its connection is to be closed before the loop is.
        for talk in talks:
            talk.cancel()
        await asyncio.wait(talks, timeout=5) if talks else None


@asynccontextmanager
async def talking(server: Raw, **settings: Any) -> AsyncIterator[Upstream]:
    pool = UpstreamPool()
    scheme = settings.pop("scheme", "http")
    path = settings.pop("path", "/v1")
    host = settings.pop("host", "127.0.0.1")
    try:
        yield pool.open(UpstreamSettings(f"{scheme}://{host}:{server.port}{path}", **settings))
    finally:
        await pool.aclose()
        await asyncio.sleep(0.01)


def ctx(**fields: Any) -> RequestContext:
    return RequestContext(request_id="r", **fields)


def answering(*pieces: bytes, pause: float = 0) -> Script:
    """Says the same to every request."""

    async def script(it: Conversation) -> None:
        while True:
            await it.request()
            await it.say(*pieces, pause=pause)

    return script


def once(*pieces: bytes, pause: float = 0) -> Script:
    """Answers one request and closes."""

    async def script(it: Conversation) -> None:
        await it.request()
        await it.say(*pieces, pause=pause)

    return script
