"""What only a real socket shows: clients that leave, clients that read slowly, bodies that are too long."""

import asyncio
import json
import resource
import time

import pytest

from core.http.kit import Answer, app_with, asking, echo, http_head, http_post, live, operation, streaming
from specstack_wire import Event, Payload, Stream

ASK = {"subject": "tea"}


async def connect(port: int):
    return await asyncio.open_connection("127.0.0.1", port)


async def until(condition, seconds: float = 2.0) -> float:
    """Waits for a condition; gives the time that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not happen in time"
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def reply_on(reader) -> tuple[bytes, bytes]:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2)
    length = int(
        next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))[15:]
    )
    return head, await asyncio.wait_for(reader.readexactly(length), 2)


class Upstream:
    """Stands for work on somebody else's machine: knows whether it goes on."""

    def __init__(self) -> None:
        self.busy = 0
        self.contexts = []

    async def whole(self, ctx, request):
        self.contexts.append(ctx)
        self.busy += 1
        try:
            await asyncio.sleep(60)
        finally:
            self.busy -= 1

    async def streamed(self, ctx, request):
        self.contexts.append(ctx)
        return Stream.of(self.items())

    async def items(self):
        self.busy += 1
        try:
            yield Answer(id="1", text="first")
            await asyncio.sleep(60)
        finally:
            self.busy -= 1


@pytest.mark.parametrize("kind", ["whole", "streamed", "get"])
async def test_a_client_that_leaves_frees_the_upstream_within_a_second(kind):
    upstream = Upstream()
    op, handler, request = {
        "whole": (asking(), upstream.whole, http_post(ASK)),
        "streamed": (streaming(), upstream.streamed, http_post(ASK)),
        "get": (operation(method="GET"), upstream.whole, b"GET /v1/asks HTTP/1.1\r\nhost: x\r\n\r\n"),
    }[kind]
    async with live(app_with(op, handler)) as port:
        _, writer = await connect(port)
        writer.write(request)
        await until(lambda: upstream.busy == 1)
        writer.close()
        assert await until(lambda: upstream.busy == 0) < 1
        assert upstream.contexts[0].cancellation.requested


async def test_a_client_that_leaves_while_events_flow_stops_them():
    made = 0
    closed = asyncio.Event()

    async def source():
        nonlocal made
        try:
            while True:
                made += 1
                yield Answer(id=str(made), text="x")
                await asyncio.sleep(0.005)
        finally:
            closed.set()

    async def handler(ctx, request):
        return Stream.of(source())

    async with live(app_with(streaming(), handler)) as port:
        reader, writer = await connect(port)
        writer.write(http_post(ASK))
        await reader.readuntil(b"}\n\n")
        writer.close()
        await asyncio.wait_for(closed.wait(), 1)


async def test_a_client_that_leaves_while_sending_its_body_starts_nothing():
    upstream = Upstream()
    async with live(app_with(asking(), upstream.whole)) as port:
        _, writer = await connect(port)
        writer.write(http_post(ASK)[:-3])
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.close()
        await asyncio.sleep(0.2)
        assert upstream.contexts == []


async def test_the_connection_serves_on_after_many_kinds_of_replies():
    async def handler(ctx, request):
        if request.body.subject == "slow":
            await asyncio.sleep(0.5)
        return await echo(ctx, request)

    async with live(app_with(asking(), handler)) as port:
        reader, writer = await connect(port)
        for value, status in (({"subject": "slow"}, b"200"), ({}, b"400"), (ASK, b"200")):
            writer.write(http_post(value))
            assert (await reply_on(reader))[0].split()[1] == status
        writer.write(b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n" + http_post(ASK))
        assert (await reply_on(reader))[0].split()[1] == b"404"
        assert (await reply_on(reader))[0].split()[1] == b"200"
        writer.close()


async def test_a_long_body_is_refused_at_once_and_the_connection_stays_sane():
    async with live(app_with(asking(), echo, body_limit=1000)) as port:
        reader, writer = await connect(port)
        writer.write(http_head("content-length: 2000"))
        head, body = await reply_on(reader)
        assert head.split()[1] == b"413" and b"1000 bytes" in body
        writer.write(b"x" * 2000 + http_post(ASK))
        assert (await reply_on(reader))[0].split()[1] == b"200"
        writer.close()


async def test_a_long_chunked_body_is_refused_when_the_limit_is_reached():
    async with live(app_with(asking(), echo, body_limit=1000)) as port:
        reader, writer = await connect(port)
        writer.write(http_head("transfer-encoding: chunked"))
        chunk = b"258\r\n" + b"x" * 600 + b"\r\n"
        writer.write(chunk + chunk)
        head, _ = await reply_on(reader)
        assert head.split()[1] == b"413"
        writer.write(chunk + b"0\r\n\r\n" + http_post(ASK))
        assert (await reply_on(reader))[0].split()[1] == b"200"
        writer.close()


async def test_a_slow_reader_holds_the_stream_back_instead_of_filling_memory():
    made = 0
    block = "x" * 100_000

    async def source():
        nonlocal made
        for number in range(2000):
            made += 1
            yield Event(Answer(id=str(number), text=block), None, None)

    async def handler(ctx, request):
        return Stream.events(source())

    async with live(app_with(streaming(), handler)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        writer.write(http_post(ASK))
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.5)
        held = made
        await asyncio.sleep(0.3)
        assert held == made < 200, "events are made though nobody reads them"
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000
        total = 0
        while total < 2000 * 100_000:
            total += len(await asyncio.wait_for(reader.read(1 << 20), 5))
        await until(lambda: made == 2000)
        writer.close()


async def test_shutdown_lets_a_call_in_flight_finish():
    began = asyncio.Event()

    async def handler(ctx, request):
        began.set()
        await asyncio.sleep(0.4)
        return Payload.of(Answer(id="1", text="done"))

    async with live(app_with(asking(), handler)) as port:
        reader, writer = await connect(port)
        writer.write(http_post(ASK))
        await began.wait()
    assert json.loads((await reply_on(reader))[1])["text"] == "done"
    writer.close()


async def test_a_thousand_calls_leave_no_tasks_behind():
    async with live(app_with(asking(), echo)) as port:
        reader, writer = await connect(port)
        before = len(asyncio.all_tasks())
        for _ in range(1000):
            writer.write(http_post(ASK))
            await reply_on(reader)
        assert len(asyncio.all_tasks()) <= before + 1
        writer.close()
