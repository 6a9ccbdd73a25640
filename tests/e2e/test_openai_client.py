"""The official client against the running server: each check once with `OpenAI` and once with `AsyncOpenAI`.

The server's replies are checked against the spec meanwhile (see tests/conftest.py).
"""

import asyncio
import inspect
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import openai
import pytest

pytestmark = [pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(240)]

CHAT, EMBED = "llama-cpp/smollm2-135m-instruct", "embeddings/all-minilm-l6-v2"
ASK = [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}]
SHORT: dict[str, Any] = {"model": CHAT, "messages": ASK, "temperature": 0, "max_completion_tokens": 16}
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


@dataclass(frozen=True)
class Check:
    """A call by its dotted name, and what is to be true of its answer or of the error that it raises.

    The client checks what comes against its own types, but for answers of which OpenAI's own do not fit them:
    vectors as base64, for which it asks by itself, pieces of a completion before the one with the reason why
    it ended, and messages of a stored request that are none of a model's (`spec/deviations.yaml`).

    `before` asks the server for what the call is about, and gives further arguments. `pages` are read to
    their end.
    """

    name: str
    call: str
    arguments: dict[str, Any]
    holds: Callable[[Any], bool]
    error: type[Exception] | None = None
    strict: bool = True
    before: Callable[[str], dict[str, Any]] | None = None
    pages: bool = False


def kept(url: str) -> dict[str, Any]:
    """A conversation that has been stored."""
    answered = {"role": "assistant", "content": "It is Paris."}
    again = {"role": "user", "content": [{"type": "text", "text": "Say it again."}]}
    body = {**SHORT, "messages": [*ASK, answered, again], "max_completion_tokens": 4, "store": True}
    made = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=120).raise_for_status()
    return {"completion_id": made.json()["id"]}


def kept_with(url: str, *topics: str) -> dict[str, Any]:
    """The metadata of stored completions that no other check has, one for each topic."""
    ours = {"check": uuid.uuid4().hex}
    for topic in topics:
        body = {**SHORT, "max_completion_tokens": 4, "store": True, "metadata": {**ours, "topic": topic}}
        httpx.post(f"{url}/v1/chat/completions", json=body, timeout=120).raise_for_status()
    return {"metadata": ours}


def registered(url: str) -> dict[str, Any]:
    """A further name of the chat model."""
    body = {
        "model_id": f"llama-cpp/{uuid.uuid4().hex}",
        "provider_id": "llama-cpp",
        "provider_model_id": CHAT.partition("/")[2],
    }
    return {"model": httpx.post(f"{url}/v1/models", json=body, timeout=60).raise_for_status().json()["id"]}


def only_the_role_is_wrong(error: Any) -> bool:
    """Whether nothing but the role of messages that a user wrote goes against the client's own types."""
    faults = [(*fault["loc"][-1:], fault["type"], fault["input"]) for fault in error.__cause__.errors()]
    return error.status_code == 200 and faults == [("role", "literal_error", "user")] * 2


def text(reply: Any) -> str:
    return reply.choices[0].message.content or ""


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
    Check(
        "stored completions, by what was noted of them",
        "chat.completions.list",
        {"model": CHAT},
        lambda page: (
            [one.metadata["topic"] for one in page.data] == ["a", "b"]
            and [one.object for one in page.data] == ["chat.completion"] * 2
            and not page.has_more
        ),
        before=lambda url: kept_with(url, "a", "b"),
    ),
    Check(
        "stored completions, page by page from the newest on",
        "chat.completions.list",
        {"limit": 1, "order": "desc"},
        lambda all_: [one.metadata["topic"] for one in all_] == ["c", "b", "a"],
        before=lambda url: kept_with(url, "a", "b", "c"),
        pages=True,
    ),
    Check(
        "a stored completion",
        "chat.completions.retrieve",
        {},
        lambda reply: reply.object == "chat.completion" and reply.model == CHAT and bool(text(reply)),
        before=kept,
    ),
    Check(
        "other notes on a stored completion",
        "chat.completions.update",
        {"metadata": {"topic": "spain"}},
        lambda reply: reply.metadata == {"topic": "spain"} and bool(text(reply)),
        before=kept,
    ),
    Check(
        "a stored completion goes",
        "chat.completions.delete",
        {},
        lambda gone: gone.deleted is True and gone.object == "chat.completion.deleted",
        before=kept,
    ),
    Check(
        "messages of a stored request",
        "chat.completions.messages.list",
        {"limit": 2},
        lambda all_: (
            [(one.role, one.content) for one in all_]
            == [("user", ASK[0]["content"]), ("assistant", "It is Paris."), ("user", None)]
            and all_[2].content_parts[0].text == "Say it again."
            and [one.id.rpartition("-")[2] for one in all_] == ["0", "1", "2"]
        ),
        before=kept,
        pages=True,
        strict=False,
    ),
    Check(
        "messages of which only the role goes against the client's types",
        "chat.completions.messages.list",
        {},
        only_the_role_is_wrong,
        openai.APIResponseValidationError,
        before=kept,
    ),
    Check(
        "a model's message of a stored request fits them",
        "chat.completions.messages.list",
        {"limit": 1},
        lambda page: [one.content for one in page.data] == ["It is Paris."] and page.has_more,
        before=lambda url: (found := kept(url)) and {**found, "after": found["completion_id"] + "-0"},
    ),
    Check(
        "a stored completion that there is not",
        "chat.completions.retrieve",
        {"completion_id": "chatcmpl-none"},
        lambda error: (error.status_code, error.code) == (404, "chat_completion_not_found"),
        openai.NotFoundError,
    ),
    Check(
        "a model goes",
        "models.delete",
        {},
        lambda gone: gone.deleted is True and gone.object == "model" and gone.id.startswith("llama-cpp/"),
        before=registered,
    ),
    Check(
        "a model that is not the caller's to remove",
        "models.delete",
        {"model": CHAT},
        lambda error: (error.status_code, error.code) == (409, "model_conflict"),
        openai.ConflictError,
    ),
    Check(
        "a call from a page of another site",
        "chat.completions.create",
        {**SHORT, "extra_headers": {"origin": "https://elsewhere.example"}},
        lambda error: (error.status_code, error.code) == (403, "permission_denied"),
        openai.PermissionDeniedError,
    ),
]


async def outcome(check: Check, url: str, *, asynchronous: bool) -> Any:
    """The answer, the chunks of a stream, or the error."""
    settings: dict[str, Any] = {
        "base_url": url + "/v1",
        "api_key": "none",
        "max_retries": 0,
        "timeout": 120,
        "_strict_response_validation": check.strict,
    }
    client: Any = openai.AsyncOpenAI(**settings) if asynchronous else openai.OpenAI(**settings)
    found = client
    for step in check.call.split("."):
        found = getattr(found, step)

    arguments = dict(check.arguments)
    if check.before is not None:
        arguments |= await asyncio.to_thread(check.before, url)
    many = check.pages or arguments.get("stream")

    def work() -> Any:
        reply = found(**arguments)
        return list(reply) if many else reply

    try:
        if not asynchronous:
            return await asyncio.to_thread(work)
        reply = found(**arguments)
        if check.pages:
            return [one async for one in reply]
        reply = await reply if inspect.isawaitable(reply) else reply
        return [one async for one in reply] if many else reply
    except openai.OpenAIError as error:
        return error
    finally:
        await client.close() if asynchronous else client.close()


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
async def test_the_official_client(check: Check, url: str, asynchronous: bool) -> None:
    found = await outcome(check, url, asynchronous=asynchronous)
    if check.error is None:
        assert not isinstance(found, Exception), found
    else:
        assert isinstance(found, check.error), found
    assert check.holds(found), found


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
