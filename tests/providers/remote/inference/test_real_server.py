"""The remote family in front of a real server, llama.cpp's, by recordings: every type, every operation."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from specstack_api import errors
from specstack_api.models.inference import CreateCompletionRequest, CreateEmbeddingRequest, RerankRequest
from specstack_api.protocols.inference import Inference
from specstack_wire import Payload, Request, RequestContext, Stream
from support.calls import chat, received
from support.llama_server import KEY, NAME

Make = Callable[..., Awaitable[Inference]]
QUESTION = "What is the capital of France? Answer in one sentence."
KEYS = {
    "remote::openai-compatible": "api_key",
    "remote::openai": "api_key",
    "remote::vllm": "api_token",
    "remote::ollama": "api_key",
}
OF_ANY_TYPE = pytest.mark.parametrize("kind", KEYS)


async def provider_of(make: Make, kind: str, address: str, key: str = KEY) -> Inference:
    return await make(kind, base_url=address, **{KEYS[kind]: key})


async def whole(reply: Payload[Any] | Stream[Any]) -> dict[str, Any]:
    """The reply as JSON, after it has passed the spec's model."""
    assert isinstance(reply, Payload)
    assert reply.body is not None
    return json.loads(reply.raw)


async def events(reply: Payload[Any] | Stream[Any]) -> list[dict[str, Any]]:
    assert isinstance(reply, Stream)
    found: list[dict[str, Any]] = []
    async for event in reply:
        assert event.body is not None
        found.append(json.loads(event.raw))
    return found


@OF_ANY_TYPE
async def test_a_chat_completion(
    make_recorded: Make, chat_server: str, ctx: RequestContext, kind: str
) -> None:
    provider = await provider_of(make_recorded, kind, chat_server)
    asked = chat(QUESTION, model=NAME, max_completion_tokens=24, temperature=0)
    reply = await whole(await provider.create_chat_completion(ctx, asked))
    assert "Paris" in reply["choices"][0]["message"]["content"]
    assert reply["usage"]["total_tokens"] > reply["usage"]["completion_tokens"] > 0


@OF_ANY_TYPE
async def test_a_streamed_chat_completion(
    make_recorded: Make, chat_server: str, ctx: RequestContext, kind: str
) -> None:
    provider = await provider_of(make_recorded, kind, chat_server)
    options = {"stream": True, "stream_options": {"include_usage": True}}
    asked = chat(QUESTION, model=NAME, max_completion_tokens=24, temperature=0, **options)
    said = await events(await provider.create_chat_completion(ctx, asked))
    deltas = [choice["delta"] for one in said for choice in one["choices"]]
    assert "Paris" in "".join(delta.get("content") or "" for delta in deltas)
    assert len(deltas) > 5
    assert said[-1]["usage"]["completion_tokens"] > 0


@OF_ANY_TYPE
async def test_a_completion_whole_and_streamed(
    make_recorded: Make, chat_server: str, ctx: RequestContext, kind: str
) -> None:
    provider = await provider_of(make_recorded, kind, chat_server)
    body = {"model": NAME, "prompt": "The sun rises in the", "max_tokens": 5, "temperature": 0}
    reply = await whole(await provider.create_completion(ctx, received(CreateCompletionRequest, **body)))
    asked = received(CreateCompletionRequest, **body, stream=True)
    said = await events(await provider.create_completion(ctx, asked))
    assert reply["choices"][0]["text"]
    assert "".join(choice["text"] for one in said for choice in one["choices"]) == reply["choices"][0]["text"]


@OF_ANY_TYPE
async def test_vectors_as_numbers_and_packed(
    make_recorded: Make, embedding_server: str, ctx: RequestContext, kind: str
) -> None:
    provider = await provider_of(make_recorded, kind, embedding_server)
    body = {"model": NAME, "input": ["a cat", "a dog"]}
    numbers = await whole(await provider.create_embedding(ctx, received(CreateEmbeddingRequest, **body)))
    asked = received(CreateEmbeddingRequest, **body, encoding_format="base64")
    packed = await whole(await provider.create_embedding(ctx, asked))
    for one, other in zip(numbers["data"], packed["data"], strict=True):
        vector = one["embedding"]
        assert struct.unpack(f"<{len(vector)}f", base64.b64decode(other["embedding"])) == pytest.approx(
            vector, abs=1e-4
        )
    assert len(numbers["data"]) == 2


@OF_ANY_TYPE
async def test_its_models(make_recorded: Make, chat_server: str, ctx: RequestContext, kind: str) -> None:
    provider = await provider_of(make_recorded, kind, chat_server)
    listed = (await provider.list_models(ctx, Request.of(None))).body.data
    assert [(model.id, model.custom_metadata.model_type) for model in listed] == [(NAME, "llm")]


async def test_logprobs(make_recorded: Make, chat_server: str, ctx: RequestContext) -> None:
    provider = await provider_of(make_recorded, "remote::openai-compatible", chat_server)
    asked = chat(
        "Say hello.", model=NAME, max_completion_tokens=4, temperature=0, logprobs=True, top_logprobs=2
    )
    (choice,) = (await whole(await provider.create_chat_completion(ctx, asked)))["choices"]
    assert "".join(one["token"] for one in choice["logprobs"]["content"]) == choice["message"]["content"]


@OF_ANY_TYPE
@pytest.mark.parametrize("stream", [False, True])
async def test_a_prompt_that_does_not_fit(
    make_recorded: Make, chat_server: str, ctx: RequestContext, kind: str, stream: bool
) -> None:
    provider = await provider_of(make_recorded, kind, chat_server)
    with pytest.raises(errors.ApiError) as caught:
        await provider.create_chat_completion(ctx, chat("word " * 3000, model=NAME, stream=stream))
    assert caught.value.status == 400
    assert "context" in caught.value.message


@OF_ANY_TYPE
async def test_a_wrong_key(make_recorded: Make, chat_server: str, ctx: RequestContext, kind: str) -> None:
    provider = await provider_of(make_recorded, kind, chat_server, key="sk-not-the-right-one")
    with pytest.raises(errors.ApiError) as caught:
        await provider.create_chat_completion(ctx, chat("Hi", model=NAME))
    assert caught.value.status in (401, 502)
    assert "sk-not-the-right-one" not in str(caught.value.message)


async def test_what_the_server_cannot_do(make_recorded: Make, chat_server: str, ctx: RequestContext) -> None:
    provider = await provider_of(make_recorded, "remote::vllm", chat_server)
    with pytest.raises(errors.ApiError) as caught:
        await provider.create_embedding(ctx, received(CreateEmbeddingRequest, model=NAME, input="a"))
    assert caught.value.status >= 400
    with pytest.raises(errors.ApiError):
        await provider.rerank(ctx, received(RerankRequest, model=NAME, query="red", items=["blue", "red"]))
