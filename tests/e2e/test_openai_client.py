"""The official client against the running server: each check once with `OpenAI` and once with `AsyncOpenAI`.

The server's replies are checked against the spec meanwhile (see tests/conftest.py).
"""

import json
from typing import Any

import openai
import pytest

from e2e.kit import CHAT, EMBED, SHORT, Check, holds, text

pytestmark = [pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(240)]

TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
            "required": ["a", "b"],
        },
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


def pieces(chunks: list[Any]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


CHECKS = [
    Check("chat", "chat.completions.create", SHORT, lambda reply: "Paris" in text(reply)),
    Check(
        "usage adds up",
        "chat.completions.create",
        SHORT,
        lambda reply: (
            reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
            and reply.usage.completion_tokens <= 16
        ),
    ),
    Check(
        "two choices",
        "chat.completions.create",
        {**SHORT, "n": 2},
        lambda reply: [choice.index for choice in reply.choices] == [0, 1],
    ),
    Check(
        "log probabilities",
        "chat.completions.create",
        {**SHORT, "logprobs": True, "top_logprobs": 2},
        lambda reply: all(len(one.top_logprobs) == 2 for one in reply.choices[0].logprobs.content),
    ),
    Check(
        "a stop word",
        "chat.completions.create",
        {**SHORT, "stop": ["France"]},
        lambda reply: "France" not in text(reply) and reply.choices[0].finish_reason == "stop",
    ),
    Check(
        "parts of a message",
        "chat.completions.create",
        {**SHORT, "messages": [{"role": "user", "content": [{"type": "text", "text": "Say hello."}]}]},
        lambda reply: bool(text(reply)),
    ),
    Check(
        "a tool call",
        "chat.completions.create",
        {**SHORT, "tools": [TOOL], "tool_choice": "required", "max_completion_tokens": 48},
        lambda reply: (
            set(json.loads(reply.choices[0].message.tool_calls[0].function.arguments)) == {"a", "b"}
        ),
    ),
    Check(
        "a schema",
        "chat.completions.create",
        {
            **SHORT,
            "max_completion_tokens": 40,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA},
            },
        },
        lambda reply: set(json.loads(text(reply))) == {"city"},
    ),
    Check(
        "unknown fields are taken",
        "chat.completions.create",
        {**SHORT, "extra_body": {"not_known_to_openai": {"a": 1}}},
        lambda reply: bool(text(reply)),
    ),
    Check(
        "a stream",
        "chat.completions.create",
        {**SHORT, "stream": True},
        lambda chunks: "Paris" in pieces(chunks) and len({chunk.id for chunk in chunks}) == 1,
    ),
    Check(
        "a stream with usage",
        "chat.completions.create",
        {**SHORT, "stream": True, "stream_options": {"include_usage": True}},
        lambda chunks: chunks[-1].usage.completion_tokens > 0 and not chunks[-1].choices,
    ),
    Check(
        "a completion",
        "completions.create",
        {"model": CHAT, "prompt": "The sun rises in the", "max_tokens": 4, "temperature": 0},
        lambda reply: bool(reply.choices[0].text) and reply.object == "text_completion",
    ),
    Check(
        "a streamed completion",
        "completions.create",
        {"model": CHAT, "prompt": "The sun rises in the", "max_tokens": 4, "temperature": 0, "stream": True},
        lambda chunks: "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) != "",
        strict=False,
    ),
    Check(
        "embeddings",
        "embeddings.create",
        {"model": EMBED, "input": ["a", "b"]},
        lambda reply: [len(one.embedding) for one in reply.data] == [384, 384],
        strict=False,
    ),
    Check(
        "embeddings as numbers",
        "embeddings.create",
        {"model": EMBED, "input": "a", "encoding_format": "float"},
        lambda reply: abs(sum(one * one for one in reply.data[0].embedding) - 1) < 1e-4,
    ),
    Check("models", "models.list", {}, lambda reply: {CHAT, EMBED} <= {one.id for one in reply.data}),
    Check(
        "one model",
        "models.retrieve",
        {"model": CHAT},
        lambda model: (model.id, model.object) == (CHAT, "model"),
    ),
    Check(
        "a model that there is not",
        "models.retrieve",
        {"model": "none/none"},
        lambda error: (error.status_code, error.code) == (404, "model_not_found"),
        openai.NotFoundError,
    ),
    Check(
        "a chat with a model that there is not",
        "chat.completions.create",
        {**SHORT, "model": "none"},
        lambda error: error.param == "model" and error.request_id.startswith("req_"),
        openai.NotFoundError,
    ),
    Check(
        "a field that does not fit",
        "chat.completions.create",
        {**SHORT, "temperature": "hot"},
        lambda error: (error.param, error.type) == ("temperature", "invalid_request_error"),
        openai.BadRequestError,
    ),
    Check(
        "a refused stream is an error before it begins",
        "chat.completions.create",
        {**SHORT, "stream": True, "messages": []},
        lambda error: "messages" in str(error.message),
        openai.BadRequestError,
    ),
    Check(
        "a prompt that is too long",
        "chat.completions.create",
        {**SHORT, "messages": [{"role": "user", "content": "word " * 9000}]},
        lambda error: error.code == "context_length_exceeded",
        openai.BadRequestError,
    ),
    Check(
        "a time limit of the client",
        "chat.completions.create",
        {**SHORT, "max_completion_tokens": 400, "timeout": 0.02},
        lambda error: True,
        openai.APITimeoutError,
    ),
    Check(
        "raw: headers and the parsed answer",
        "chat.completions.with_raw_response.create",
        SHORT,
        lambda raw: (
            raw.headers["x-request-id"].startswith("req_")
            and raw.headers["content-type"] == "application/json"
            and "Paris" in text(raw.parse())
        ),
    ),
    Check(
        "an answer's request id",
        "embeddings.create",
        {"model": EMBED, "input": "a", "extra_headers": {"x-request-id": "mine-1"}},
        lambda reply: reply._request_id == "mine-1",
        strict=False,
    ),
    Check(
        "the client's own parsing",
        "chat.completions.parse",
        {
            **SHORT,
            "max_completion_tokens": 40,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA},
            },
        },
        lambda reply: "city" in json.loads(text(reply)),
    ),
]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
async def test_the_official_client(check: Check, url: str, asynchronous: bool) -> None:
    await holds(check, url, asynchronous=asynchronous)


def test_streaming_response_helper(url: str) -> None:
    with openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0) as client:
        with client.chat.completions.with_streaming_response.create(**SHORT, stream=True) as reply:
            assert reply.headers["content-type"].startswith("text/event-stream")
            lines = [line for line in reply.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    assert all(line.startswith("data: ") for line in lines)


async def test_streaming_response_helper_async(url: str) -> None:
    async with openai.AsyncOpenAI(base_url=url + "/v1", api_key="none", max_retries=0) as client:
        asked = client.chat.completions.with_streaming_response.create(**SHORT, stream=True)
        async with asked as reply:
            assert reply.headers["content-type"].startswith("text/event-stream")
            lines = [line async for line in reply.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"


def test_stream_helper_accumulates(url: str) -> None:
    with openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0) as client:
        with client.chat.completions.stream(**SHORT) as stream:
            kinds = {event.type for event in stream}
            final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert "Paris" in text(final)


def test_a_client_that_leaves_a_stream_may_go_on(url: str) -> None:
    with openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0) as client:
        with client.chat.completions.create(**{**SHORT, "max_completion_tokens": 400}, stream=True) as stream:
            next(iter(stream))
        assert "Paris" in text(client.chat.completions.create(**SHORT))
