"""Events that are there together go out as one piece, and no event waits for one that is not there."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from specstack.descriptors import StreamSpec
from specstack.http.errors import ErrorReply
from specstack.http.reply import Framer, send_stream
from specstack_wire import ApiModel, Event, Stream, UpstreamBroken
from specstack_wire.event import Burst


class Chunk(ApiModel):
    model: str
    n: int


FRAMER = Framer(StreamSpec(media="text/event-stream", item=Chunk, end="[DONE]"))


def data(*numbers: int, model: str = "m") -> bytes:
    return b"".join(b'data: {"model":"%s","n":%d}\n\n' % (model.encode(), n) for n in numbers)


class Client:
    """What was sent, piece by piece."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.seen: list[int] = []
        self.slow = False

    async def send(self, message: dict) -> None:
        if self.slow:
            await asyncio.sleep(0.05)
        if message.get("body"):
            self.pieces.append(message["body"])

    async def get(self, stream: Stream) -> None:
        def failed(exc: Exception) -> ErrorReply:
            return ErrorReply(502, b'{"error":1}')

        def see(burst: Burst) -> None:
            self.seen.extend(event.body.n for event in burst.events)

        await send_stream(self.send, stream, FRAMER, [], lambda: None, failed, see)


async def chunks_of(*chunks: bytes | Exception) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(0)
        if isinstance(chunk, Exception):
            raise chunk
        yield chunk


async def test_events_of_one_chunk_are_one_piece_and_all_are_seen() -> None:
    client = Client()
    source = chunks_of(
        data(1), data(2, 3, 4), data(5) + b"data: {", b'"model":"m","n":6}\n\ndata: [DONE]\n\n'
    )
    await client.get(Stream.relay(source, Chunk).replacing("model", "other"))
    assert client.pieces == [
        data(1, model="other"),
        data(2, 3, 4, model="other"),
        data(5, model="other"),
        data(6, model="other") + b"data: [DONE]\n\n",
    ]
    assert client.seen == [1, 2, 3, 4, 5, 6]


async def test_a_failure_comes_after_the_events_before_it() -> None:
    client = Client()
    await client.get(Stream.relay(chunks_of(data(1, 2) + b'data: {"error":{}}\n\n' + data(3)), Chunk))
    assert client.pieces == [data(1, 2), b'data: {"error":1}\n\n']
    client = Client()
    await client.get(Stream.relay(chunks_of(data(1, 2), UpstreamBroken("gone")), Chunk))
    assert client.pieces == [data(1, 2), b'data: {"error":1}\n\n']


@pytest.mark.parametrize("slow", [False, True])
async def test_an_event_whose_successor_is_left_out_does_not_wait(slow: bool) -> None:
    """Somebody between the upstream and the client drops events, or takes his time with each."""
    client = Client()
    client.slow = slow
    go_on = asyncio.Event()

    async def odd_ones(source: Stream) -> AsyncIterator[Event]:
        async for event in source:
            if event.body.n == 4:
                await go_on.wait()
            if event.body.n % 2:
                yield event

    async def endless() -> AsyncIterator[bytes]:
        yield data(1, 2)
        await go_on.wait()
        yield data(3, 4, 5) + b"data: [DONE]\n\n"

    stream = Stream.events(odd_ones(Stream.relay(endless(), Chunk)))
    task = asyncio.create_task(client.get(stream))
    await asyncio.sleep(0.3)
    assert client.pieces == [data(1)]
    go_on.set()
    await task
    assert b"".join(client.pieces) == data(1, 3, 5) + b"data: [DONE]\n\n"


async def test_cancelled_while_an_event_waits() -> None:
    client = Client()
    closed = asyncio.Event()

    async def one(source: Stream) -> AsyncIterator[Event]:
        try:
            async for event in source:
                yield event
                await asyncio.sleep(30)
        finally:
            closed.set()

    task = asyncio.create_task(client.get(Stream.events(one(Stream.relay(chunks_of(data(1, 2)), Chunk)))))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed.is_set() and client.pieces == [data(1)]
    assert not [other for other in asyncio.all_tasks() if other is not asyncio.current_task()]
