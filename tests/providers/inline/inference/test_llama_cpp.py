"""inline::llama-cpp with the real default model. What it says is its own affair; the form of it is ours."""

import asyncio
import json
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from specstack_api.errors import (
    ContextLengthExceeded,
    InvalidJsonSchema,
    InvalidToolChoice,
    InvalidValue,
    ModelNotFound,
    ModelTypeMismatch,
    ModelUnavailable,
    UnsupportedContent,
    UnsupportedParameter,
)
from specstack_api.models.inference import (
    CreateChatCompletionRequest,
    CreateCompletionRequest,
    CreateEmbeddingRequest,
)
from specstack_api.provider_config.inference.inline_llama_cpp import InlineLlamaCppConfig
from specstack_wire import ApiError, Payload, Request, RequestContext, Stream

from .conftest import make_deps

pytestmark = [pytest.mark.model, pytest.mark.asyncio(loop_scope="session")]

CTX = RequestContext(request_id="test")


def function(name: str, description: str, **arguments: str) -> dict[str, Any]:
    properties = {key: {"type": kind} for key, kind in arguments.items()}
    schema = {"type": "object", "properties": properties, "required": list(arguments)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


TOOLS = [
    function("get_weather", "Get the current weather in a city.", city="string"),
    function("add_numbers", "Add two numbers.", a="number", b="number"),
]


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def chat_request(text: str | list[Any], **fields: Any) -> Request[Any]:
    body = {
        "model": "smol",
        "messages": user(text) if isinstance(text, str) else text,
        "temperature": 0,
        "max_completion_tokens": 24,
        **fields,
    }
    return Request.from_raw(json.dumps(body).encode(), CreateChatCompletionRequest)


def read(payload: Payload[Any]) -> dict[str, Any]:
    """The reply as JSON, after it has passed the spec's model."""
    assert payload.body is not None
    return json.loads(payload.raw)


async def chat(llama: Any, text: str | list[Any], **fields: Any) -> dict[str, Any]:
    return read(await llama.create_chat_completion(CTX, chat_request(text, **fields)))


async def chunks_of(stream: Stream[Any]) -> list[dict[str, Any]]:
    return [read(event) async for event in stream]


async def chat_stream(llama: Any, text: str | list[Any], **fields: Any) -> list[dict[str, Any]]:
    return await chunks_of(await llama.create_chat_completion(CTX, chat_request(text, stream=True, **fields)))


async def complete(llama: Any, prompt: Any, **fields: Any) -> Any:
    body = {"model": "smol", "prompt": prompt, "temperature": 0, "max_tokens": 6, **fields}
    raw = json.dumps(body).encode()
    reply = await llama.create_completion(CTX, Request.from_raw(raw, CreateCompletionRequest))
    return await chunks_of(reply) if isinstance(reply, Stream) else read(reply)


def text_in(chunks: list[dict[str, Any]], index: int = 0) -> str:
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
    return "".join(delta.get("content") or "" for delta in deltas)


async def test_an_answer_in_openais_shape(llama: Any) -> None:
    reply = await chat(llama, "Why is the sky blue?")
    assert reply["object"] == "chat.completion"
    assert reply["model"] == "smol"
    assert reply["created"] == 1_764_000_000
    assert reply["id"].startswith("chatcmpl-")
    choice = reply["choices"][0]
    assert choice["finish_reason"] == "length"
    assert choice["logprobs"] is None
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["refusal"] is None
    assert "sky" in choice["message"]["content"] or "light" in choice["message"]["content"]
    usage = reply["usage"]
    assert usage["completion_tokens"] == 24
    assert usage["total_tokens"] == usage["prompt_tokens"] + 24


async def test_an_answer_without_a_limit_is_held_to_the_configured_one(llama: Any) -> None:
    reply = await chat(
        llama, "Count from one to five hundred.", max_completion_tokens=None, logit_bias={"2": -100}
    )
    assert (reply["usage"]["completion_tokens"], reply["choices"][0]["finish_reason"]) == (40, "length")


async def test_a_stream_says_the_same_and_ends_with_usage(llama: Any) -> None:
    whole = await chat(llama, "Why is the sky blue?")
    chunks = await chat_stream(llama, "Why is the sky blue?", stream_options={"include_usage": True})
    assert text_in(chunks) == whole["choices"][0]["message"]["content"]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 24
    assert [c["choices"][0]["finish_reason"] for c in chunks[:-1]].count("length") == 1
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"


async def test_without_include_usage_no_chunk_speaks_of_it(llama: Any) -> None:
    chunks = await chat_stream(llama, "Hi", max_completion_tokens=3)
    assert all("usage" not in chunk for chunk in chunks)


async def test_several_choices_differ_and_a_seed_repeats_them(llama: Any) -> None:
    fields = {"n": 4, "seed": 11, "temperature": 1.0, "max_completion_tokens": 8}
    first = await chat(llama, "Tell me a story.", **fields)
    texts = [choice["message"]["content"] for choice in first["choices"]]
    assert [choice["index"] for choice in first["choices"]] == [0, 1, 2, 3]
    assert len(set(texts)) > 1
    assert first["usage"]["completion_tokens"] == 32
    again = await chat_stream(llama, "Tell me a story.", **fields)
    assert [text_in(again, index) for index in range(4)] == texts


async def test_logprobs_for_every_token(llama: Any) -> None:
    reply = await chat(llama, "Say hello.", logprobs=True, top_logprobs=2, max_completion_tokens=5)
    entries = reply["choices"][0]["logprobs"]["content"]
    assert "".join(entry["token"] for entry in entries) == reply["choices"][0]["message"]["content"]
    assert len(entries) == 5
    for entry in entries:
        assert entry["logprob"] <= 0
        assert bytes(entry["bytes"]).decode() == entry["token"]
        assert len(entry["top_logprobs"]) == 2
    bare = await chat_stream(llama, "Say hello.", logprobs=True, max_completion_tokens=5)
    told = [e for c in bare for e in (c["choices"][0]["logprobs"] or {"content": []})["content"]]
    assert [entry["token"] for entry in told] == [entry["token"] for entry in entries]
    assert all(entry["top_logprobs"] == [] for entry in told)


async def test_stop_bias_and_penalties_reach_the_sampler(llama: Any) -> None:
    free = await complete(llama, "1 2 3 4 5 6", max_tokens=12)
    text = free["choices"][0]["text"]
    assert " 9" in text
    stopped = await complete(llama, "1 2 3 4 5 6", max_tokens=12, stop=[" 9"])
    assert stopped["choices"][0]["text"] == text[: text.index(" 9")]
    assert stopped["choices"][0]["finish_reason"] == "stop"

    space = (await llama._models["smol"].engine.ask("/tokenize", {"content": " "}))["tokens"][0]
    biased = await complete(llama, "1 2 3 4 5 6", logit_bias={str(space): -100})
    assert not biased["choices"][0]["text"].startswith(" ")

    loop = {"max_tokens": 30, "temperature": 0}
    plain = (await complete(llama, "la la la la la la la la", **loop))["choices"][0]["text"]
    varied = await complete(llama, "la la la la la la la la", **loop, frequency_penalty=2, presence_penalty=2)
    assert plain.count("la") > varied["choices"][0]["text"].count("la")


SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 12},
        "size": {"enum": ["small", "big"]},
        "river": {"type": "boolean"},
    },
    "required": ["city", "size", "river"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("strict", [True, False])
async def test_a_schema_is_kept_to(llama: Any, strict: bool) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "town", "schema": SCHEMA, "strict": strict}}
    reply = await chat(llama, "Describe Paris.", response_format=form, max_completion_tokens=60)
    town = json.loads(reply["choices"][0]["message"]["content"])
    assert set(town) == {"city", "size", "river"}
    assert town["size"] in ("small", "big")
    assert isinstance(town["river"], bool)
    chunks = await chat_stream(llama, "Describe Paris.", response_format=form, max_completion_tokens=60)
    assert json.loads(text_in(chunks)) == town


async def test_a_json_object_is_one(llama: Any) -> None:
    form = {"type": "json_object"}
    reply = await chat(
        llama, "Name the capital of France as JSON.", response_format=form, max_completion_tokens=60
    )
    assert isinstance(json.loads(reply["choices"][0]["message"]["content"]), dict)


@pytest.mark.parametrize(
    "schema", [{"type": "strange"}, {"$ref": "#/nowhere"}, {"type": "string", "pattern": "("}, {"not": {}}]
)
async def test_a_schema_that_cannot_be_enforced_is_refused(llama: Any, schema: dict[str, Any]) -> None:
    """llama.cpp itself would ignore it and answer freely."""
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    with pytest.raises(InvalidJsonSchema) as caught:
        await chat(llama, "x", response_format=form)
    assert caught.value.param == "response_format.json_schema.schema"
    broken = function("f", "d")
    broken["function"] |= {"parameters": {"type": "object", "properties": {"a": schema}}, "strict": True}
    if schema == {"not": {}}:
        return  # an optional property that nothing fits just stays away
    with pytest.raises(InvalidJsonSchema) as caught:
        await chat(llama, "x", tools=[TOOLS[0], broken])
    assert caught.value.param == "tools[1].function.parameters"


def calls_in(reply: Mapping[str, Any]) -> list[tuple[str, Any]]:
    choice = reply["choices"][0]
    assert choice["finish_reason"] == "tool_calls", choice
    assert choice["message"]["content"] is None
    calls = choice["message"]["tool_calls"]
    assert all(call["type"] == "function" and call["id"].startswith("call_") for call in calls)
    assert len({call["id"] for call in calls}) == len(calls)
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]


async def test_auto_calls_when_a_function_fits_and_talks_when_none_does(llama: Any) -> None:
    call = await chat(llama, "Is it raining in London right now?", tools=TOOLS, max_completion_tokens=60)
    assert calls_in(call) == [("get_weather", {"city": "London"})]
    text = await chat(llama, "Hello, how are you?", tools=TOOLS)
    assert "tool_calls" not in text["choices"][0]["message"]
    assert text["choices"][0]["message"]["content"]
    assert text["choices"][0]["finish_reason"] in ("stop", "length")


async def test_a_streamed_call(llama: Any) -> None:
    chunks = await chat_stream(llama, "Add 12 and 30.", tools=TOOLS, max_completion_tokens=60)
    deltas = [part for chunk in chunks for part in chunk["choices"][0]["delta"].get("tool_calls", [])]
    assert deltas[0]["function"]["name"] == "add_numbers"
    assert deltas[0]["id"].startswith("call_")
    assert len(deltas) > 2, "arguments shall come as they are written"
    assert json.loads("".join(part["function"]["arguments"] for part in deltas)) == {"a": 12, "b": 30}
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert text_in(chunks) == ""


async def test_text_under_auto_streams_as_it_is_written(llama: Any) -> None:
    chunks = await chat_stream(llama, "Hello, how are you?", tools=TOOLS, max_completion_tokens=12)
    assert len([chunk for chunk in chunks if chunk["choices"][0]["delta"].get("content")]) > 5


async def test_required_always_calls(llama: Any) -> None:
    reply = await chat(
        llama, "Hello, how are you?", tools=TOOLS, tool_choice="required", max_completion_tokens=24
    )
    choice = reply["choices"][0]
    assert len(choice["message"]["tool_calls"]) == 1
    assert choice["message"]["tool_calls"][0]["function"]["name"] in ("get_weather", "add_numbers")


async def test_a_named_function_is_the_one_called(llama: Any) -> None:
    named = {"type": "function", "function": {"name": "add_numbers"}}
    reply = await chat(
        llama, "What is the weather?", tools=TOOLS, tool_choice=named, max_completion_tokens=80
    )
    ((name, arguments),) = calls_in(reply)
    assert name == "add_numbers"
    assert set(arguments) == {"a", "b"}
    allowed = {
        "type": "allowed_tools",
        "allowed_tools": {
            "mode": "required",
            "tools": [{"type": "function", "function": {"name": "get_weather"}}],
        },
    }
    reply = await chat(
        llama, "Add 1 and 2 in Rome.", tools=TOOLS, tool_choice=allowed, max_completion_tokens=80
    )
    assert reply["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "get_weather"


async def test_none_never_calls(llama: Any) -> None:
    reply = await chat(llama, "What is the weather in Paris?", tools=TOOLS, tool_choice="none")
    assert "tool_calls" not in reply["choices"][0]["message"]


async def test_parallel_calls_come_only_when_asked_for(llama: Any) -> None:
    reply = await chat(
        llama,
        "What is the weather in Rome, Paris and London?",
        tools=TOOLS[:1],
        tool_choice="required",
        parallel_tool_calls=True,
        max_completion_tokens=60,
    )
    calls = reply["choices"][0]["message"]["tool_calls"]
    assert 1 <= len(calls) <= 8
    assert {call["function"]["name"] for call in calls} == {"get_weather"}


async def test_a_tools_result_becomes_an_answer(llama: Any) -> None:
    called = {
        "id": "c1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city":"Rome"}'},
    }
    messages = [
        *user("What is the weather in Rome?"),
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c1", "content": '{"sky": "sunny", "celsius": 21}'},
    ]
    reply = await chat(llama, messages, tools=TOOLS, max_completion_tokens=40)
    answer = reply["choices"][0]["message"]["content"]
    assert answer and ("sunny" in answer or "21" in answer)


async def test_tools_beside_a_schema(llama: Any) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "town", "schema": SCHEMA}}
    reply = await chat(llama, "Describe Paris.", tools=TOOLS, response_format=form, max_completion_tokens=80)
    message = reply["choices"][0]["message"]
    assert message.get("tool_calls") or set(json.loads(message["content"])) == {"city", "size", "river"}


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}
FILE = {"type": "file", "file": {"file_id": "f"}}


@pytest.mark.parametrize("part", [IMAGE, AUDIO, FILE])
async def test_what_is_no_text_is_refused(llama: Any, part: dict[str, Any]) -> None:
    content = [{"type": "text", "text": "What is this?"}, part]
    with pytest.raises(UnsupportedContent) as caught:
        await chat(llama, [{"role": "user", "content": content}])
    assert caught.value.param == "messages[0].content[1]"


@pytest.mark.parametrize(
    ("fields", "error", "param"),
    [
        ({"tool_choice": "required"}, InvalidToolChoice, "tool_choice"),
        (
            {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "nope"}}},
            InvalidToolChoice,
            "tool_choice.function.name",
        ),
        (
            {"tools": [{"type": "custom", "custom": {"name": "x"}}]},
            UnsupportedParameter,
            "tools[0].type",
        ),
        ({"tools": [TOOLS[0], TOOLS[0]]}, InvalidValue, "tools[1].function.name"),
        ({"functions": [{"name": "f"}]}, UnsupportedParameter, "functions"),
        ({"modalities": ["text", "audio"]}, UnsupportedParameter, "modalities"),
        ({"audio": {"voice": "ash", "format": "wav"}}, UnsupportedParameter, "audio"),
        ({"web_search_options": {}}, UnsupportedParameter, "web_search_options"),
        ({"top_logprobs": 3}, InvalidValue, "top_logprobs"),
        ({"logit_bias": {"99999999": 1}}, InvalidValue, "logit_bias"),
        ({"logit_bias": {"sky": 1}}, InvalidValue, "logit_bias"),
        ({"max_completion_tokens": 0}, InvalidValue, "max_completion_tokens"),
        ({"max_completion_tokens": None, "max_tokens": -1}, InvalidValue, "max_tokens"),
        ({"model": "other"}, ModelNotFound, "model"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_refusals_name_the_field(
    llama: Any, fields: dict[str, Any], error: type[ApiError], param: str, stream: bool
) -> None:
    with pytest.raises(error) as caught:
        await llama.create_chat_completion(CTX, chat_request("x", stream=stream, **fields))
    assert caught.value.param == param


@pytest.mark.parametrize("stream", [False, True])
async def test_a_prompt_that_does_not_fit(llama: Any, stream: bool) -> None:
    with pytest.raises(ContextLengthExceeded, match="1024") as caught:
        await llama.create_chat_completion(CTX, chat_request("word " * 2000, stream=stream))
    assert caught.value.param == "messages"


async def test_hints_are_passed_over(llama: Any) -> None:
    hints = {
        "service_tier": "flex",
        "user": "u",
        "metadata": {"a": "b"},
        "reasoning_effort": "low",
        "verbosity": "low",
    }
    reply = await chat(llama, "Hi", max_completion_tokens=2, **hints, store=True)
    assert reply["usage"]["completion_tokens"] == 2


async def test_completions_of_several_prompts(llama: Any) -> None:
    one = await complete(llama, "The cat sat on the")
    ids = (await llama._models["smol"].engine.ask("/tokenize", {"content": "The cat sat on the"}))["tokens"]
    by_ids = await complete(llama, ids)
    assert by_ids["choices"][0]["text"] == one["choices"][0]["text"]
    both = await complete(llama, ["The cat sat on the", "1 2 3 4 5"], n=2)
    assert [choice["index"] for choice in both["choices"]] == [0, 1, 2, 3]
    assert both["choices"][0]["text"] == both["choices"][1]["text"] == one["choices"][0]["text"]
    assert both["usage"]["completion_tokens"] == 24
    two = await complete(llama, [ids, ids])
    assert two["usage"]["prompt_tokens"] == 2 * one["usage"]["prompt_tokens"] == 2 * len(ids)


async def test_completions_echo_and_logprobs(llama: Any) -> None:
    ids = (await llama._models["smol"].engine.ask("/tokenize", {"content": "The cat sat"}))["tokens"]
    for prompt in ("The cat sat", ids):
        echoed = await complete(llama, prompt, echo=True)
        assert echoed["choices"][0]["text"].startswith("The cat sat ")
    nothing = await complete(llama, "The cat sat", echo=True, max_tokens=0)
    assert nothing["choices"][0]["text"] == "The cat sat"
    assert nothing["usage"]["completion_tokens"] == 0

    told = (await complete(llama, "The cat sat", logprobs=2))["choices"][0]
    lists = told["logprobs"]
    assert "".join(lists["tokens"]) == told["text"]
    assert lists["text_offset"][:2] == [0, len(lists["tokens"][0])]
    assert len(lists["token_logprobs"]) == len(lists["top_logprobs"]) == 6
    assert all(2 <= len(top) <= 3 for top in lists["top_logprobs"])
    chunks = await complete(
        llama, "The cat sat", logprobs=2, stream=True, stream_options={"include_usage": True}
    )
    assert "".join(c["choices"][0]["text"] for c in chunks[:-1]) == told["text"]
    streamed = [offset for c in chunks[:-1] for offset in c["choices"][0]["logprobs"]["text_offset"]]
    assert streamed == lists["text_offset"]
    assert chunks[-1]["usage"]["completion_tokens"] == 6


@pytest.mark.parametrize(
    ("prompt", "fields", "error", "param"),
    [
        ([], {}, InvalidValue, "prompt"),
        ([10**8], {}, InvalidValue, "prompt"),
        ([[1], [-3]], {}, InvalidValue, "prompt"),
        ("a", {"suffix": "b"}, UnsupportedParameter, "suffix"),
        ("a", {"best_of": 3, "n": 2}, UnsupportedParameter, "best_of"),
        ("a", {"echo": True, "logprobs": 1}, UnsupportedParameter, "logprobs"),
        ("word " * 2000, {}, ContextLengthExceeded, "prompt"),
    ],
)
async def test_completions_refuse(
    llama: Any, prompt: Any, fields: dict[str, Any], error: type[ApiError], param: str
) -> None:
    with pytest.raises(error) as caught:
        await complete(llama, prompt, **fields)
    assert caught.value.param == param


@pytest.mark.parametrize("prompt", ["", None, ["", "a"]])
async def test_completions_of_nothing(llama: Any, prompt: Any) -> None:
    reply = await complete(llama, prompt, max_tokens=2)
    assert all(choice["text"] for choice in reply["choices"])


def engine_of(llama: Any) -> Any:
    return llama._models["smol"].engine.engine


async def idle(llama: Any, limit: float = 10.0) -> float:
    """Seconds until no slot is taken."""
    began = time.monotonic()
    while engine_of(llama)._running:
        assert time.monotonic() - began < limit, "a cancelled generation goes on"
        await asyncio.sleep(0.002)
    return time.monotonic() - began


async def test_a_closed_stream_frees_its_slot(llama: Any) -> None:
    stream = await llama.create_chat_completion(
        CTX, chat_request("Count to one thousand.", stream=True, max_completion_tokens=900)
    )
    events = aiter(stream)
    for _ in range(3):
        await anext(events)
    await stream.aclose()
    assert await idle(llama) < 1.0


async def test_a_cancelled_call_frees_its_slot_also_while_it_reads_the_prompt(llama: Any) -> None:
    for text in ("Count to one thousand.", "many words " * 480):
        task = asyncio.create_task(chat(llama, text, max_completion_tokens=500))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await idle(llama)


async def test_requests_beyond_the_slots_wait_and_can_be_cancelled_there(llama: Any) -> None:
    busy = [asyncio.create_task(chat(llama, "Count to 100.", max_completion_tokens=40)) for _ in range(3)]
    await asyncio.sleep(0.1)
    waiting = asyncio.create_task(chat(llama, "Hi", max_completion_tokens=2))
    dropped = asyncio.create_task(chat(llama, "Hi", max_completion_tokens=2))
    await asyncio.sleep(0.05)
    dropped.cancel()
    began = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await dropped
    assert time.monotonic() - began < 0.2
    assert (await waiting)["usage"]["completion_tokens"] == 2
    await asyncio.gather(*busy)


async def test_slots_run_side_by_side(llama: Any) -> None:
    await asyncio.gather(*(chat(llama, f"Say {n}", max_completion_tokens=20) for n in range(3)))
    streams = [
        await llama.create_chat_completion(
            CTX, chat_request(f"Tell me about {n}", stream=True, max_completion_tokens=16)
        )
        for n in ("cats", "dogs")
    ]
    order: list[int] = []

    async def drain(number: int) -> None:
        async for _ in streams[number]:
            order.append(number)

    await asyncio.gather(drain(0), drain(1))
    assert order != sorted(order), "the second ran only after the first"


async def test_the_event_loop_stays_free(llama: Any) -> None:
    task = asyncio.create_task(chat(llama, "Tell me a story.", max_completion_tokens=40))
    ticks = 0
    while not task.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert ticks > 10


async def test_the_loopback_port_answers_nobody_without_the_key(llama: Any) -> None:
    address = engine_of(llama).address
    assert address.startswith("http://127.0.0.1:")

    def status(path: str, body: bytes | None, **headers: str) -> int:
        request = urllib.request.Request(address + path, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                return reply.status
        except urllib.error.HTTPError as error:
            return error.code

    ask = json.dumps({"messages": user("hi"), "max_tokens": 1}).encode()
    for path, body in (("/v1/chat/completions", ask), ("/completion", b'{"prompt":"a"}'), ("/props", None)):
        assert await asyncio.to_thread(status, path, body) == 401
        assert await asyncio.to_thread(status, path, body, authorization="Bearer guess") == 401
    for path in ("/", "/index.html"):
        assert await asyncio.to_thread(status, path, None) in (401, 404), "the web UI is on"


async def test_the_key_is_in_no_log(
    chat_weights: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    from specstack_providers.inline.inference.llama_engine import EngineSettings, LlamaEngine

    caplog.set_level(logging.DEBUG)
    engine = LlamaEngine(
        EngineSettings(name="smol", path=chat_weights, context=256, slots=1), logging.getLogger("l")
    )
    await engine.load()
    await engine.ask("/props")
    key = engine._key
    assert len(key) >= 32
    await engine.close()
    out, err = capfd.readouterr()
    assert key not in caplog.text + out + err + repr(engine.settings) + str(
        vars(engine.settings) if hasattr(engine.settings, "__dict__") else ""
    )


async def test_threads_do_not_oversubscribe(monkeypatch: pytest.MonkeyPatch) -> None:
    from specstack_providers.inline.inference import llama_engine

    for cores, generate in ((1, 1), (2, 1), (8, 4), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        assert llama_engine.generation_threads() == generate
        assert llama_engine.batch_threads() == generate


async def test_models_and_health(llama: Any) -> None:
    listed = read(await llama.list_models(CTX, Request.of(None)))
    assert [(model["id"], model["custom_metadata"]["model_type"]) for model in listed["data"]] == [
        ("smol", "llm")
    ]
    assert listed["data"][0]["custom_metadata"]["context_length"] == 1024
    assert (await llama.health()).status == "ok"


async def test_a_chat_model_makes_no_vectors(llama: Any) -> None:
    raw = json.dumps({"model": "smol", "input": "a"}).encode()
    with pytest.raises(ModelTypeMismatch):
        await llama.create_embedding(CTX, Request.from_raw(raw, CreateEmbeddingRequest))


async def test_an_embedding_model_and_shutdown(chat_weights: Path) -> None:
    """Any GGUF file works; as an embedder the chat model only shows that the pipes fit."""
    from specstack_providers.inline.inference.llama_cpp import create

    config = InlineLlamaCppConfig.model_validate(
        {
            "models": [
                {"model_id": "e", "path": str(chat_weights), "embedding": True, "context_length": 256}
            ],
            "threads": 1,
            "batch_threads": 1,
            "slots": 2,
        }
    )
    provider: Any = await create(config, make_deps())
    await provider.start()

    async def embed(**body: Any) -> dict[str, Any]:
        raw = json.dumps({"model": "e", **body}).encode()
        return read(await provider.create_embedding(CTX, Request.from_raw(raw, CreateEmbeddingRequest)))

    reply = await embed(input=["a cat", "a dog", "a cat"])
    vectors = [row["embedding"] for row in reply["data"]]
    assert [row["index"] for row in reply["data"]] == [0, 1, 2]
    assert vectors[0] == pytest.approx(vectors[2], abs=1e-4)
    assert sum(x * x for x in vectors[0]) == pytest.approx(1, abs=1e-3)
    assert reply["usage"]["prompt_tokens"] > 3
    packed = await embed(input="a cat", encoding_format="base64")
    assert isinstance(packed["data"][0]["embedding"], str)
    with pytest.raises(UnsupportedParameter) as caught:
        await embed(input="a", dimensions=5)
    assert caught.value.param == "dimensions"
    with pytest.raises(ContextLengthExceeded):
        await embed(input="word " * 1000)
    with pytest.raises(ModelTypeMismatch):
        await chat(provider, "x", model="e")

    await provider.stop()
    await provider.stop()
    assert (await provider.health()).status == "error"
    with pytest.raises(ModelUnavailable):
        await embed(input="a")


@pytest.mark.parametrize("content", [None, b"", b"GGUF and then nonsense" * 100])
async def test_weights_that_are_missing_or_broken_are_one_line(tmp_path: Path, content: bytes | None) -> None:
    pytest.importorskip("xllamacpp", reason="the extra `llama-cpp` is not installed")
    from specstack_providers.inline.inference.llama_cpp import create

    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    config = InlineLlamaCppConfig.model_validate({"models": [{"model_id": "m", "path": str(path)}]})
    provider: Any = await create(config, make_deps())
    with pytest.raises(ModelUnavailable, match=str(path)) as caught:
        await provider.start()
    assert "\n" not in caught.value.message
    await provider.stop()
