"""The whole server before model servers whose replies are not as the spec has them, and go on as they are."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from core.http1.raw import Conversation
from core.test_gateway_failures import HEAD, ask, chunk, event, gateway

CANARY = "CANARY-answer"
ANSWER = {"id": "c", "object": "chat.completion", "created": 1, "choices": [], "note": CANARY}
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


async def whole(reply: bytes, tmp_path: Path) -> tuple[int, Any]:
    """Status and body of a chat that a model server answers with these bytes."""

    async def script(it: Conversation) -> None:
        await it.request()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        await it.say(head % len(reply) + reply)

    async with gateway(script, tmp_path, validating=False) as (port, _):
        reader, writer = await ask(port)
        said = await asyncio.wait_for(reader.read(), 10)
        writer.close()
    head, _, body = said.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


async def streamed(blocks: bytes, tmp_path: Path) -> list[str]:
    """The data of a stream's events when the model server sends these bytes at once, and the sentinel."""

    async def script(it: Conversation) -> None:
        await it.request()
        end = chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
        await it.say(HEAD + b"\r\n" + event("one") + chunk(blocks) + event("two", "stop") + end)

    async with gateway(script, tmp_path, validating=False) as (port, _):
        reader, writer = await ask(port, stream=True)
        said = (await asyncio.wait_for(reader.read(), 10)).decode()
        writer.close()
    assert said.startswith("HTTP/1.1 200")
    return [line.removeprefix("data: ") for line in said.split("\n") if line.startswith("data: ")]


async def test_a_reply_that_names_no_model_goes_on_as_it_is(tmp_path: Path) -> None:
    assert await whole(json.dumps(ANSWER).encode(), tmp_path) == (200, ANSWER)


async def test_a_model_that_is_null_becomes_the_one_that_was_asked(tmp_path: Path) -> None:
    found = await whole(json.dumps({**ANSWER, "model": None}).encode(), tmp_path)
    assert found == (200, {**ANSWER, "model": "far/m"})


@pytest.mark.parametrize(
    "reply",
    [
        f'{{"id": , "note": "{CANARY}"}}'.encode(),
        b'{"error": {"message": "it fell over", "type": "server_error"}}',
    ],
)
async def test_what_is_no_answer_is_a_502(
    reply: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        status, body = await whole(reply, tmp_path)
    assert status == 502 and body["error"]["message"]
    assert ("it fell over" in body["error"]["message"]) == (b"fell" in reply)
    assert CANARY not in caplog.text + json.dumps(body) and "Traceback" not in caplog.text


async def test_an_error_that_is_null_is_none(tmp_path: Path) -> None:
    status, body = await whole(json.dumps({"error": None, **ANSWER, "model": "m"}).encode(), tmp_path)
    assert (status, body["model"]) == (200, "far/m")


@pytest.mark.parametrize(
    ("block", "comes"),
    [
        (b'event: ping\ndata: {"type":"ping"}\n\n', {"type": "ping"}),
        (b"data: \n\n", None),
        (b"data:\n\n", None),
        (json.dumps({"choices": [], "usage": USAGE}).encode(), {"choices": [], "usage": USAGE}),
        (b'{"model":null,"choices":[]}', {"model": "far/m", "choices": []}),
    ],
    ids=["ping", "empty", "empty without a space", "usage", "null"],
)
async def test_events_that_lack_the_model(block: bytes, comes: Any, tmp_path: Path) -> None:
    data = await streamed(block if block.endswith(b"\n\n") else b"data: " + block + b"\n\n", tmp_path)
    assert data[-1] == "[DONE]"
    found = [json.loads(one) for one in data[:-1]]
    assert [one["choices"][0]["delta"]["content"] for one in (found[0], found[-1])] == ["one", "two"]
    assert found[1:-1] == ([] if comes is None else [comes])


async def test_an_event_that_is_no_json_ends_the_stream_behind_the_good_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        first, *more = await streamed(f"data: not json {CANARY}\n\n".encode(), tmp_path)
    assert json.loads(first)["choices"][0]["delta"]["content"] == "one"
    assert len(more) == 1 and "broken JSON" in json.loads(more[0])["error"]["message"]
    assert CANARY not in caplog.text + str(more) and "Traceback" not in caplog.text
