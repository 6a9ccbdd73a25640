"""Relayed streams: nothing held back, nothing lost, and a broken one never looks complete."""

from collections.abc import AsyncIterator

import pytest

from specstack_wire import ApiModel, Event, Stream, UpstreamBroken


class Chunk(ApiModel):
    model: str
    n: int


class Source:
    """Byte chunks that know whether they were closed."""

    def __init__(self, *chunks: bytes) -> None:
        self.closed = False
        self._chunks = chunks

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            for chunk in self._chunks:
                yield chunk
        finally:
            self.closed = True


def data(n: int) -> bytes:
    return b'data: {"model":"m","n":%d}\n\n' % n


async def test_every_cut_of_the_bytes_gives_the_same_events() -> None:
    whole = (
        b": hi\n\n"
        + data(1)
        + b'event: x\r\ndata: {"model":"m",\r\ndata: "n":2}\r\n\r\n'
        + b"data: [DONE]\n\n"
    )
    for cut in range(1, len(whole)):
        source = Source(whole[:cut], whole[cut:])
        events = [(e.name, e.body.n) async for e in Stream[Chunk].relay(source.chunks(), Chunk)]
        assert events == [(None, 1), ("x", 2)], cut
        assert source.closed


async def test_an_event_is_there_before_the_next_chunk_is() -> None:
    seen: list[str] = []

    async def chunks() -> AsyncIterator[bytes]:
        for n in (1, 2):
            seen.append(f"sent {n}")
            yield data(n)
        yield b"data: [DONE]\n\n"

    async for event in Stream[Chunk].relay(chunks(), Chunk):
        seen.append(f"got {event.body.n}")
    assert seen == ["sent 1", "got 1", "sent 2", "got 2"]


async def test_events_pass_unread_and_the_id_is_put_back() -> None:
    source = Source(data(1), b"data: [DONE]\n\n")
    events = [e async for e in Stream[Chunk].relay(source.chunks(), Chunk).replacing("model", "mine")]
    assert "unread" in repr(events[0])
    assert events[0].raw == b'{"model":"mine","n":1}'


@pytest.mark.parametrize(
    ("tail", "said"),
    [
        (b"", "before the end"),
        (b'data: {"error":{"message":"boom"}}\n\n', "error"),
        (b'event: error\ndata: {"message":"boom"}\n\n', "error"),
    ],
)
async def test_a_broken_stream_raises_after_what_came_and_closes_its_source(tail: bytes, said: str) -> None:
    source = Source(data(1), tail)
    got: list[int] = []
    with pytest.raises(UpstreamBroken, match=said):
        async for event in Stream[Chunk].relay(source.chunks(), Chunk):
            got.append(event.body.n)
    assert got == [1] and source.closed


async def test_a_clean_close_is_complete_when_an_event_said_so_or_no_end_is_expected() -> None:
    assert [
        e.body.n async for e in Stream[Chunk].relay(Source(data(1)).chunks(), Chunk, complete=lambda _: True)
    ] == [1]
    assert [e.body.n async for e in Stream[Chunk].relay(Source(data(1)).chunks(), Chunk, end=None)] == [1]


async def test_closing_early_closes_the_source_through_every_wrapper() -> None:
    source = Source(data(1), data(2))
    stream = Stream[Chunk].relay(source.chunks(), Chunk).replacing("model", "x")
    async for _ in stream:
        break
    await stream.aclose()
    await stream.aclose()
    assert source.closed


async def test_a_stream_of_models_names_its_events() -> None:
    async def items() -> AsyncIterator[Chunk]:
        yield Chunk(model="m", n=1)

    events = [e async for e in Stream[Chunk].of(items(), name=lambda chunk: f"n{chunk.n}")]
    assert [(e.name, e.raw) for e in events] == [("n1", b'{"model":"m","n":1}')]

    async def ready() -> AsyncIterator[Event[Chunk]]:
        for event in events:
            yield event

    assert [e async for e in Stream[Chunk].events(ready())] == events


async def test_closing_a_stream_that_was_never_read_frees_its_source() -> None:
    closed: list[bool] = []

    async def close() -> None:
        closed.append(True)

    stream = Stream[Chunk].relay(Source(data(1)).chunks(), Chunk, close=close).replacing("model", "x")
    await stream.aclose()
    assert closed == [True]
