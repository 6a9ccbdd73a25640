"""Streams, binary replies, empty replies and what a failure makes of them."""

import asyncio
import json
import logging
from dataclasses import replace

import pytest

from core.http.kit import (
    ERRORS,
    Answer,
    app_with,
    asking,
    call_raw,
    client_of,
    error_class,
    http_post,
    live,
    operation,
    piece,
    streaming,
)
from specstack.descriptors import Reply
from specstack.http import reply as reply_module
from specstack_wire import Binary, Event, Payload, Stream, codec_of

ASK = {"subject": "tea", "stream": True}


async def ask(op, handler, **settings):
    async with client_of(app_with(op, handler, **settings)) as client:
        return await client.post("/v1/asks", json=ASK)


def streams(*events, fail=None):
    """A handler whose stream gives these events, then fails or ends."""

    async def source():
        for event in events:
            yield event
        if fail is not None:
            raise fail

    async def handler(ctx, request):
        return Stream.events(source())

    return handler


def answer(text: str, name: str | None = None) -> Event[Answer]:
    return Event(Answer(id="1", text=text), None, None, name)


async def test_server_sent_events_and_the_closing_sentinel():
    reply = await ask(streaming(), streams(answer("a"), answer("b")))
    assert reply.text == 'data: {"id":"1","text":"a"}\n\ndata: {"id":"1","text":"b"}\n\ndata: [DONE]\n\n'
    assert reply.headers["content-type"] == "text/event-stream"
    assert reply.headers["cache-control"] == "no-cache"
    assert reply.headers["x-accel-buffering"] == "no"
    assert reply.headers["x-request-id"]


async def test_named_events_take_their_name_from_the_event_or_the_property():
    reply = await ask(streaming(event="text", end=None), streams(answer("start"), answer("x", name="given")))
    assert reply.text == (
        'event: start\ndata: {"id":"1","text":"start"}\n\nevent: given\ndata: {"id":"1","text":"x"}\n\n'
    )


async def test_relayed_data_of_several_lines_stays_one_event():
    reply = await ask(streaming(), streams(Event.from_raw(b'{\n"a":\r\n1}', None)))
    assert reply.text.startswith('data: {\ndata: "a":\ndata: 1}\n\n')


async def test_an_empty_stream_is_complete():
    assert (await ask(streaming(), streams())).text == "data: [DONE]\n\n"


async def test_json_lines():
    op = streaming(media="application/jsonl", end=None)
    reply = await ask(op, streams(answer("a"), Event.from_raw(b'{"a":\n1}', None)))
    assert reply.headers["content-type"] == "application/jsonl"
    assert reply.text == '{"id":"1","text":"a"}\n{"a":1}\n'


async def test_relayed_json_of_several_lines_is_one_line_and_keeps_its_numbers():
    raw = b'{"text":"a\\nb",\r\n"f":1.50,\n"e":1e400}'
    reply = await ask(streaming(media="application/jsonl", end=None), streams(Event.from_raw(raw, Answer)))
    assert reply.content == b'{"text":"a\\nb","f":1.50,"e":1e400}\n'


async def test_a_failure_before_the_first_event_keeps_its_status():
    reply = await ask(streaming(), streams(fail=ERRORS.error("invalid", "no tea", param="subject")))
    assert reply.status_code == 400
    assert reply.json()["error"]["message"] == "no tea"


async def test_a_failure_midway_is_an_error_event_and_no_clean_end():
    reply = await ask(streaming(), streams(answer("a"), fail=ERRORS.error("invalid", "out of tea")))
    first, second, rest = reply.text.split("\n\n")
    assert json.loads(second.removeprefix("data: "))["error"]["message"] == "out of tea"
    assert first.startswith("data: ") and rest == ""
    assert "[DONE]" not in reply.text


async def test_a_failure_midway_in_the_envelope_of_the_api_and_named_where_events_are():
    op = replace(streaming(event="text"), envelope="other")
    reply = await ask(op, streams(answer("a"), fail=ERRORS.error("invalid", "gone")))
    assert reply.text.split("\n\n")[1].startswith('event: error\ndata: {"fault": "gone"')


async def test_a_failure_midway_in_json_lines_is_an_error_line():
    reply = await ask(
        streaming(media="application/jsonl"), streams(answer("a"), fail=OSError("disk 7 on fire"))
    )
    last = json.loads(reply.text.splitlines()[-1])
    assert last["error"]["code"] == "internal"
    assert "disk" not in reply.text


async def test_the_stream_is_closed_when_it_ends_and_when_it_fails():
    closed = []

    def handler_of(fail):
        async def source():
            try:
                yield answer("a")
                if fail:
                    raise OSError
            finally:
                closed.append(fail)

        async def handler(ctx, request):
            return Stream.events(source())

        return handler

    await ask(streaming(), handler_of(False))
    await ask(streaming(), handler_of(True))
    assert closed == [False, True]


async def test_no_event_waits_for_a_later_one():
    """Each event is on the wire before the next is made."""
    go = asyncio.Event()

    async def source():
        for text in "abc":
            yield answer(text)
            await go.wait()
            go.clear()

    async def handler(ctx, request):
        return Stream.events(source())

    async with live(app_with(streaming(), handler)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(http_post(ASK))
        for text in (b"a", b"b", b"c"):
            assert b'"text":"%s"' % text in await asyncio.wait_for(reader.readuntil(b"}\n\n"), 2)
            go.set()
        assert b"[DONE]" in await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 2)
        writer.close()


async def test_headers_of_a_quiet_stream_do_not_wait_for_its_first_event(monkeypatch):
    monkeypatch.setattr(reply_module, "HEADERS_WITHIN", 0.05)
    go = asyncio.Event()

    async def source():
        await go.wait()
        yield answer("late")

    async def handler(ctx, request):
        return Stream.events(source())

    async with live(app_with(streaming(), handler)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(http_post(ASK))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2)
        assert head.startswith(b"HTTP/1.1 200") and b"text/event-stream" in head
        go.set()
        assert b"late" in await asyncio.wait_for(reader.readuntil(b"}\n\n"), 2)
        writer.close()


async def test_a_stream_where_the_spec_has_none_is_our_fault():
    assert (await ask(asking(), streams(answer("a")))).status_code == 500


async def test_204_has_no_body():
    async def handler(ctx, request):
        return None

    reply = await ask(asking(reply=Reply(status=204, media=None)), handler)
    assert (reply.status_code, reply.content) == (204, b"")
    assert "content-length" not in reply.headers
    assert reply.headers["x-request-id"]


async def test_the_status_is_the_documented_one():
    async def handler(ctx, request):
        return Payload.of(Answer(id="1", text="new"))

    assert (await ask(asking(reply=Reply(status=201, media="application/json")), handler)).status_code == 201


def binary_reply(binary):
    async def handler(ctx, request):
        return binary

    return handler


async def test_binary_from_memory():
    reply = await ask(asking(), binary_reply(Binary(b"\x00\x01", "image/png", "a.png")))
    assert reply.content == b"\x00\x01"
    assert reply.headers["content-type"] == "image/png"
    assert reply.headers["content-length"] == "2"
    assert reply.headers["content-disposition"] == 'attachment; filename="a.png"'


async def test_binary_from_a_file(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"ab" * 100_000)
    reply = await ask(asking(), binary_reply(Binary(path)))
    assert reply.content == path.read_bytes()
    assert reply.headers["content-length"] == "200000"


async def test_a_file_that_is_gone_is_an_error_reply(tmp_path):
    assert (await ask(asking(), binary_reply(Binary(tmp_path / "gone")))).status_code == 500


async def test_binary_from_an_iterator_that_may_yield_empty_pieces():
    async def chunks():
        for chunk in (b"a", b"", b"b"):
            yield chunk

    reply = await ask(asking(), binary_reply(Binary(chunks(), length=2)))
    assert (reply.content, reply.headers["content-length"]) == (b"ab", "2")


async def test_a_binary_reply_that_fails_midway_breaks_the_connection_off(caplog):
    async def chunks():
        yield b"a"
        raise OSError("disk")

    async with live(app_with(asking(), binary_reply(Binary(chunks())))) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with caplog.at_level(logging.CRITICAL, "uvicorn.error"):
            writer.write(http_post(ASK))
            whole = await asyncio.wait_for(reader.read(), 2)
        assert whole.startswith(b"HTTP/1.1 200") and b"0\r\n\r\n" not in whole
        writer.close()


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a b.txt", b'attachment; filename="a b.txt"'),
        ("../x/y.txt", b'attachment; filename="y.txt"'),
        (
            'q"\r\nset-cookie: x',
            b"attachment; filename=\"q_set-cookie: x\"; filename*=UTF-8''q%22set-cookie%3A%20x",
        ),
        ("grün.txt", b"attachment; filename=\"gr_n.txt\"; filename*=UTF-8''gr%C3%BCn.txt"),
    ],
)
def test_file_names_cannot_break_out_of_their_header(name, header):
    assert reply_module.disposition(name) == header


async def test_a_media_type_cannot_break_out_of_its_header():
    reply = await ask(asking(), binary_reply(Binary(b"x", "text/plain\r\nset-cookie: x")))
    assert reply.headers["content-type"] == "application/octet-stream"


async def test_an_error_header_cannot_break_out():
    async def handler(ctx, request):
        raise ERRORS.error("invalid", "x", headers={"retry-after": "1\r\nset-cookie: y"})

    reply = await ask(asking(), handler)
    assert reply.headers["retry-after"] == "1set-cookie: y"


async def test_internal_errors_hide_their_reason_and_are_logged_with_the_request_id(caplog):
    async def handler(ctx, request):
        raise RuntimeError("the secret word")

    reply = await ask(asking(), handler)
    assert (reply.status_code, reply.json()["error"]["code"]) == (500, "internal")
    assert "secret" not in reply.text
    assert reply.headers["x-request-id"] in reply.json()["error"]["message"]
    assert any(
        reply.headers["x-request-id"] in record.getMessage() and record.exc_info for record in caplog.records
    )


async def test_failures_of_others_are_logged_with_the_request_id(caplog):
    async def handler(ctx, request):
        raise error_class("far", 502)("the far server fell over")

    reply = await ask(asking(), handler)
    assert reply.status_code == 502
    (record,) = [one for one in caplog.records if "the far server fell over" in one.getMessage()]
    assert reply.headers["x-request-id"] in record.getMessage()


async def test_a_reply_that_does_not_fit_its_type_is_our_fault_not_the_clients():
    async def handler(ctx, request):
        return Payload.of(codec_of(Answer).decode(b'{"id":5}'))

    assert (await ask(asking(), handler)).status_code == 500


@pytest.mark.parametrize("reply", [{"id": 1}, "text", 5])
async def test_a_handler_that_returns_something_else_is_our_fault(reply):
    assert (await ask(asking(), binary_reply(reply))).status_code == 500


async def test_a_timeout_inside_a_handler_is_504():
    async def handler(ctx, request):
        raise TimeoutError

    assert (await ask(asking(), handler)).status_code == 504


async def test_a_get_reads_no_body():
    async def handler(ctx, request):
        assert request.body is None
        return Payload.of(Answer(id="1", text="x"))

    status, _, left = await call_raw(
        app_with(operation(method="GET"), handler), [piece(b"ignored")], {}, method="GET"
    )
    assert (status, len(left)) == (200, 1)
