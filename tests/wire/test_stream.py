"""Relayed streams: nothing held back, nothing lost, and a broken one never looks complete."""

import itertools
import json
import random
import re
from collections.abc import AsyncIterator
from typing import Any

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


@pytest.mark.parametrize("first", [b"\n", b"\r", b"\r\n"])
@pytest.mark.parametrize("second", [b"\n", b"\r", b"\r\n"])
async def test_any_two_line_ends_end_an_event_and_a_byte_order_mark_is_skipped(
    first: bytes, second: bytes
) -> None:
    # A line feed after a carriage return belongs to it.
    ends = first + (b"\r\n" if (first, second) == (b"\r", b"\n") else second)
    block = b'event: x\ndata: {"model":"m",\ndata: "n":%d}'.replace(b"\n", first)
    whole = b"\xef\xbb\xbf" + b"".join(block % n + ends for n in (1, 2, 3)) + b"data: [DONE]" + ends
    for cut in range(len(whole)):
        for chunks in ((whole[:cut], whole[cut:]), (whole[:cut], whole[cut : cut + 1], whole[cut + 1 :])):
            stream = Stream[Chunk].relay(Source(*chunks).chunks(), Chunk)
            assert [(event.name, event.body.n) async for event in stream] == [("x", 1), ("x", 2), ("x", 3)]


async def test_a_byte_order_mark_does_not_hide_a_first_plain_event() -> None:
    whole = b"\xef\xbb\xbf" + data(1) + data(2) + b"data: [DONE]\n\n"
    stream = Stream[Chunk].relay(Source(whole).chunks(), Chunk).replacing("model", "mine")
    assert [event.body.n async for event in stream] == [1, 2]


@pytest.mark.parametrize("start", [b'data: {"a":"', b': c\r\ndata: {"a":"'])
async def test_an_event_without_end_is_refused_at_a_limit(start: bytes) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield data(1) + start
        while True:
            sent += 1 << 18
            assert sent <= 34 << 20, "it was taken without a limit"
            yield b"x" * (1 << 18)

    got: list[int] = []
    with pytest.raises(UpstreamBroken, match="more than 32 MB"):
        async for event in Stream[Chunk].relay(endless(), Chunk):
            got.append(event.body.n)
    assert got == [1] and sent >= 32 << 20


async def test_a_long_event_in_many_pieces_is_passed_on() -> None:
    text = "x" * (1 << 20)
    long = b'data: {"model":"m","n":2,"text":"%b"}\n\n' % text.encode()
    whole = data(1) + long + data(3) + b"data: [DONE]\n\n"
    pieces = [whole[start : start + 4096] for start in range(0, len(whole), 4096)]
    stream = Stream[Chunk].relay(Source(*pieces).chunks(), Chunk).replacing("model", "mine")
    events = [json.loads(event.raw) async for event in stream]
    assert [event["n"] for event in events] == [1, 2, 3] and events[1]["text"] == text


WHOLE = b'data: {"model":"m","n":2}'


@pytest.mark.parametrize("ends", [b"", b"\n", b"\r\n"])
async def test_a_last_event_needs_no_blank_line(ends: bytes) -> None:
    for tail, numbers in (
        (b"data: [DONE]", [1]),
        (b"event: x\n" + WHOLE, [1, 2]),
        (b": bye", [1]),
        (b"", [1]),
    ):
        stream = Stream[Chunk].relay(Source(data(1), tail + ends).chunks(), Chunk, complete=lambda _: True)
        assert [event.body.n async for event in stream] == numbers


@pytest.mark.parametrize("cut", [*range(1, len(WHOLE)), "event: error", "data: [DON"])
async def test_half_an_event_at_the_end_is_no_event_and_no_end(cut: int | str) -> None:
    tail = WHOLE[:cut] if isinstance(cut, int) else cut.encode()
    stream = Stream[Chunk].relay(Source(data(1), tail).chunks(), Chunk, complete=lambda _: True)
    got: list[int] = []
    with pytest.raises(UpstreamBroken, match="middle of an event"):
        async for event in stream:
            got.append(event.body.n)
    assert got == [1]


FAULTS = [
    b'{"model":"m","error":{"message":"boom"}}',
    b'{  "error": {"message":"boom"}}',
    b'{\t"error"\t:"boom"}',
    b'{"model":"m","n":9,"choices":[{"error":null}],"error":{"code":502}}',
    b'{"error":{"message":"bo',
]
HARMLESS = [
    b'{"model":"m","n":2,"error":null}',
    b'{"model":"m","n":2,"error": null ,"x":1}',
    b'{"model":"m","n":2,"in":{"error":"no"}}',
    b'{"model":"m","n":2,"token":"error","list":["error",{"error":1}]}',
    b'{"model":"m","n":2,"text":"\\"error\\":{}"}',
]


@pytest.mark.parametrize("before", [b"", data(1), data(1) * 3])
@pytest.mark.parametrize("fault", FAULTS)
async def test_an_error_anywhere_at_the_top_of_an_event_ends_the_stream(fault: bytes, before: bytes) -> None:
    block = b"data: " + fault + b"\n\n"
    for chunks in ((before + block + data(3),), (before + block[:-9], block[-9:]), (before, block)):
        stream = Stream[Chunk].relay(Source(*chunks, b"data: [DONE]\n\n").chunks(), Chunk)
        got: list[int] = []
        with pytest.raises(UpstreamBroken, match="reported an error") as caught:
            async for event in stream.replacing("model", "mine"):
                got.append(event.body.n)
        assert got == [1] * before.count(b"data") and caught.value.raw == fault


@pytest.mark.parametrize("harmless", HARMLESS)
async def test_the_word_error_elsewhere_is_no_error(harmless: bytes) -> None:
    whole = data(1) * 2 + b"data: " + harmless + b"\n\n" + data(3) + b"data: [DONE]\n\n"
    stream = Stream[Chunk].relay(Source(whole).chunks(), Chunk).replacing("model", "mine")
    assert [json.loads(event.raw)["n"] async for event in stream] == [1, 1, 2, 3]


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


ODD_EVENTS = [
    b'data: {"model":"m","n":1}\n\n',
    b'data: {"model":"m","n":2,"text":"model"}\n\n',
    b'data: {"model":"m","n":3,"in":{"model":"m"}}\n\n',
    b'data: {"model":"m","n":4,"\\u006dodel":"last wins"}\n\n',
    b'data: {"model":"m","n":5,"text":"\\u00e4"}\n\n',
    b'data: {"model":"mm","n":6}\n\n',
    b'data: {"n":7,"model":"m"}\n\n',
    b'data:{"model":"m","n":8}\n\n',
    b'data: {"model":"m",\ndata: "n":9}\n\n',
    b'event: x\ndata: {"model":"m","n":10}\n\n',
    b': data: {"model":"m","n":-1}\n\n',
    b'\ndata: {"model":"m","n":11}\n\n\n',
    b'data: {"model":"m","n":12}\r\n\r\n',
]


@pytest.mark.parametrize("seed", range(60))
async def test_events_that_came_together_are_what_they_are_alone(seed: int) -> None:
    chance = random.Random(seed)
    blocks = [chance.choice(ODD_EVENTS if seed % 3 else ODD_EVENTS[:2]) for _ in range(40)]

    async def read(chunks: list[bytes]) -> list[tuple[str | None, dict]]:
        stream = Stream[Any].relay(Source(*chunks, b"data: [DONE]\n\n").chunks(), Chunk)
        return [(event.name, json.loads(event.raw)) async for event in stream.replacing("model", 'my"m')]

    alone = await read(blocks)
    told = [event for _, event in alone]
    assert [one["n"] for one in told] == [
        n for block in blocks if (n := int(re.findall(rb'"n":(-?\d+)', block)[0])) > 0
    ]
    assert all(one["model"] == 'my"m' for one in told)
    whole = b"".join(blocks)
    cuts = sorted(chance.sample(range(len(whole)), 12))
    pieces = [whole[start:end] for start, end in itertools.pairwise([0, *cuts, len(whole)])]
    assert await read([whole]) == await read(pieces) == alone


async def test_a_burst_has_its_bytes_where_all_events_are_alike() -> None:
    chunks = Source(data(1), data(2) + data(3), b"event: x\n" + data(4), b"data: [DONE]\n\n").chunks()
    stream = Stream[Chunk].relay(chunks, Chunk).replacing("model", "mine")
    found = [(burst.parts[0], [event.body.n for event in burst.events]) async for burst in stream.bursts()]
    both = (data(2) + data(3)).replace(b'"m"', b'"mine"')
    assert [numbers for _, numbers in found] == [[1], [2, 3], [4]]
    assert found[1][0] == both and isinstance(found[0][0], Event)


async def test_closing_a_stream_that_was_never_read_frees_its_source() -> None:
    closed: list[bool] = []

    async def close() -> None:
        closed.append(True)

    stream = Stream[Chunk].relay(Source(data(1)).chunks(), Chunk, close=close).replacing("model", "x")
    await stream.aclose()
    assert closed == [True]
