"""inline::llama-cpp talks: recordings of the real model. What it says is its affair, the form is ours."""

import json
from typing import Any

import pytest

from specstack_api.errors import (
    ContextLengthExceeded,
    InvalidJsonSchema,
    InvalidToolChoice,
    InvalidValue,
    ModelNotFound,
    ModelTypeMismatch,
    UnsupportedContent,
    UnsupportedParameter,
)
from specstack_api.models.inference import CreateEmbeddingRequest
from specstack_wire import ApiError, Request
from support.llama import CTX, SCHEMA, TOOLS, chat, chat_request, chat_stream, function, read, text_in

pytestmark = pytest.mark.asyncio(loop_scope="session")


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
