"""A client that leaves while a call is under way ends the call, whatever it has sent behind it."""

import asyncio
import json
import logging

import pytest
import uvloop

from core.http.kit import Answer, app_with, asking, http_head, http_post, live, streaming
from specstack.http import server
from specstack_wire import Event, Payload, Stream

ASK = {"subject": "tea"}
NEXT = http_post({"subject": "next"})
ODD = b"GET http://x/v1/other HTTP/1.1\r\nhost: x\r\nx-pad: " + b"y" * 100 + b"\r\n\r\n"
"""A target that uvicorn's own cycle serves."""


class Slow:
    """A handler that goes on until it is cancelled, or answers when it may."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self.may = asyncio.Semaphore(0)
        self.subjects: list[str] = []

    async def whole(self, ctx, request):
        await self._last(request)
        return Payload.of(Answer(id="1", text=request.body.subject))

    async def streamed(self, ctx, request):
        async def events():
            yield Event(Answer(id="1", text="first"), None, None)
            await self._last(request)

        return Stream.events(events())

    async def _last(self, request) -> None:
        self.subjects.append(request.body.subject)
        self.begun.set()
        try:
            await self.may.acquire()
        finally:
            self.ended.set()


def kinds(slow: Slow, stream: bool):
    return app_with(streaming(), slow.streamed) if stream else app_with(asking(), slow.whole)


def served(app):
    return live(app, log_config=None, log_level=None)


@pytest.mark.parametrize(
    ("stream", "loop"),
    [(False, asyncio.new_event_loop), (False, uvloop.new_event_loop), (True, uvloop.new_event_loop)],
)
@pytest.mark.parametrize(
    ("behind", "pause"),
    [
        ([], 0.0),
        ([NEXT], 0.0),
        ([NEXT], 0.4),
        ([NEXT[:-5]], 0.0),
        ([NEXT[:-5]], 0.4),
        ([NEXT[:20]], 0.4),
        ([NEXT, NEXT, NEXT[:-5]], 0.1),
        ([ODD], 0.0),
        ([ODD], 0.4),
        ([http_head("content-length: 90000") + b" " * 50000], 0.4),
    ],
)
def test_a_client_that_leaves_ends_its_call(caplog, stream, loop, behind, pause):
    async def go():
        slow = Slow()
        async with served(kinds(slow, stream)) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(http_post(ASK) if pause else http_post(ASK) + b"".join(behind))
            await asyncio.wait_for(slow.begun.wait(), 5)
            for piece in behind if pause else ():
                await asyncio.sleep(pause)
                writer.write(piece)
            await asyncio.sleep(0.1)
            writer.close()
            await asyncio.wait_for(slow.ended.wait(), 5)
            await asyncio.sleep(0.05)
            assert slow.subjects == ["tea"]

    with caplog.at_level(logging.WARNING), asyncio.Runner(loop_factory=loop) as runner:
        runner.run(go())
    assert [one for one in caplog.records if one.levelno >= logging.ERROR or one.exc_info] == []


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_it_ends_the_call_that_runs_and_not_the_first(loop):
    async def go():
        slow = Slow()
        async with served(kinds(slow, False)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(http_post(ASK) + NEXT + NEXT)
            await asyncio.wait_for(slow.begun.wait(), 5)
            slow.may.release()
            await asyncio.wait_for(reader.readuntil(b'"tea"}'), 5)
            while len(slow.subjects) < 2:
                await asyncio.sleep(0.01)
            slow.ended.clear()
            writer.close()
            await asyncio.wait_for(slow.ended.wait(), 5)
            assert slow.subjects == ["tea", "next"]

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(go())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("piece", [NEXT * 8, ODD * 8, b" " * 1000])
def test_what_waits_is_bounded_and_all_is_answered_in_the_end(monkeypatch, loop, piece):
    seen: list[int] = []
    known = server.ServerProtocol.data_received

    def counted(self, data):
        seen.append(len(data))
        known(self, data)

    monkeypatch.setattr(server.ServerProtocol, "data_received", counted)

    async def go():
        slow = Slow()
        async with served(kinds(slow, False)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(http_post(ASK))
            await asyncio.wait_for(slow.begun.wait(), 5)
            if piece.isspace():  # one long body
                count = 1
                writer.write(http_head(f"content-length: {1000 * len(piece) + 15}") + b'{"subject":"a"}')
            else:
                count = 8 * 1000
            await asyncio.sleep(0.3)  # somebody listens whether the client leaves
            for _ in range(1000):
                writer.write(piece)
            total = 0
            while total != len(seen):
                total = len(seen)
                await asyncio.sleep(0.3)
            # The read that brings the first of them and the last one may have 256 KiB each.
            assert sum(seen) < server.MOST_BEHIND + (2 << 18) < 1000 * len(piece)
            for n in range(count + 1):
                slow.may.release()
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
                length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
                body = json.loads(await asyncio.wait_for(reader.readexactly(length), 5))
                if piece != ODD * 8 or n == 0:
                    assert body["text"] == ("tea" if n == 0 else "a" if count == 1 else "next")
            writer.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(go())
