"""Asks a server the same thing over and over and says in one line of JSON how that went.

    python load.py URL CONNECTIONS SECONDS [BODY_FILE [RATE]]

Each connection has one request at a time, and begins the next at once, or so that all together send RATE
requests per second. Times are in milliseconds; `first` is that to the first byte of a
body, `whole` that to its end; `events` counts server-sent events but the closing one. wrk is quicker, and the
bench takes it for replies that are no streams where it is installed.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httptools


class Run:
    """What one run counts."""

    def __init__(self, request: bytes, seconds: float, pause: float = 0) -> None:
        self.request = request
        self.pause = pause
        self.until = time.perf_counter() + seconds
        self.first: list[float] = []
        self.whole: list[float] = []
        self.events = 0
        self.errors = 0

    def summary(self, seconds: float) -> dict[str, Any]:
        """Counts, rates and percentiles."""
        found: dict[str, Any] = {"requests": len(self.whole), "events": self.events, "errors": self.errors}
        found["req_per_s"] = len(self.whole) / seconds
        found["events_per_s"] = self.events / seconds
        for name, times in (("whole", sorted(self.whole)), ("first", sorted(self.first))):
            for percent in (50, 99):
                at = times[min(len(times) - 1, len(times) * percent // 100)] if times else 0.0
                found[f"{name}_p{percent}_ms"] = at * 1000
        return found


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, run: Run, done: asyncio.Future[None], first: float = 0) -> None:
        self.run = run
        self.due = first
        self.done = done
        self.parser = httptools.HttpResponseParser(self)
        self.began = 0.0
        self.waiting = True

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.next()

    def next(self) -> None:
        """Ask when it is time to."""
        wait = self.due - time.perf_counter()
        if wait > 0:
            asyncio.get_running_loop().call_later(wait, self.ask)
        else:
            self.ask()

    def ask(self) -> None:
        """Send the request, unless the time is up."""
        self.began = time.perf_counter()
        if self.began >= self.run.until:
            self.transport.close()
            return
        # Who is late does not make up for it.
        self.due = max(self.due, self.began - self.run.pause) + self.run.pause
        self.waiting = True
        self.transport.write(self.run.request)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        if self.waiting:
            self.waiting = False
            self.run.first.append(time.perf_counter() - self.began)
        self.run.events += body.count(b"data: {")

    def on_message_complete(self) -> None:
        self.run.whole.append(time.perf_counter() - self.began)
        self.run.errors += self.parser.get_status_code() != 200
        self.next()

    def connection_lost(self, exc: Exception | None) -> None:
        if time.perf_counter() < self.run.until:
            self.run.errors += 1
        if not self.done.done():
            self.done.set_result(None)


async def load(
    url: str, connections: int, seconds: float, body: bytes | None, rate: float = 0
) -> dict[str, Any]:
    """Run the load, with so many requests per second if there is a rate."""
    parts = urlsplit(url)
    head = f"{'GET' if body is None else 'POST'} {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\n"
    if body is not None:
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    loop = asyncio.get_running_loop()
    pause = connections / rate if rate else 0.0
    run = Run(f"{head}\r\n".encode() + (body or b""), seconds, pause)
    began = time.perf_counter()
    ends: list[asyncio.Future[None]] = []
    for number in range(connections):
        end: asyncio.Future[None] = loop.create_future()
        ends.append(end)
        first = began + pause * number / connections
        await loop.create_connection(
            lambda end=end, first=first: Client(run, end, first), parts.hostname, parts.port
        )
    async with asyncio.timeout(seconds + 60):
        await asyncio.gather(*ends)
    return run.summary(time.perf_counter() - began)


def main() -> None:
    """The command."""
    url, connections, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    body = Path(sys.argv[4]).read_bytes() if len(sys.argv) > 4 else None
    work = load(url, connections, seconds, body, float(sys.argv[5]) if len(sys.argv) > 5 else 0)
    try:
        import uvloop

        print(json.dumps(uvloop.run(work)))
    except ImportError:
        print(json.dumps(asyncio.run(work)))


if __name__ == "__main__":
    main()
