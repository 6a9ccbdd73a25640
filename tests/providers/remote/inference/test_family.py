"""What remote::openai, remote::ollama and remote::vllm do in their own way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from specstack_api import errors
from specstack_api.models.inference import RerankRequest
from specstack_api.protocols.inference import Inference
from specstack_wire import Payload, Request, RequestContext
from support.calls import chat, received
from support.loopback_upstream import LoopbackUpstream

Make = Callable[..., Awaitable[Inference]]
KEY = "sk-loopback-secret-2"


async def kinds(provider: Inference, ctx: RequestContext) -> dict[str, str]:
    listed = (await provider.list_models(ctx, Request.of(None))).body.data
    return {model.id: model.custom_metadata.model_type for model in listed}


@pytest.mark.parametrize(
    ("kind", "configured", "brought"),
    [
        ("remote::openai-compatible", "api_key", "openai_compatible_api_key"),
        ("remote::openai", "api_key", "openai_api_key"),
        ("remote::vllm", "api_token", "vllm_api_token"),
        ("remote::ollama", "api_key", None),
    ],
)
async def test_keys(
    make: Make, far: LoopbackUpstream, kind: str, configured: str, brought: str | None
) -> None:
    far.app.api_key = KEY
    plain = RequestContext(request_id="r")
    provider = await make(kind, base_url=far.base_url, **{configured: KEY})
    assert isinstance(await provider.create_chat_completion(plain, chat()), Payload)

    if brought is not None:
        other = await make(kind, base_url=far.base_url, **{configured: "sk-of-the-operator"})
        own = RequestContext(request_id="r", provider_data={brought: KEY})
        assert isinstance(await other.create_chat_completion(own, chat()), Payload)


async def test_ollama_types_models_by_family(make: Make, far: LoopbackUpstream, ctx: RequestContext) -> None:
    def tag(name: str, family: str) -> dict[str, Any]:
        return {"name": name, "model": name, "details": {"family": family, "families": [family]}}

    far.app.tags = {
        "models": [tag("llama3.2:3b", "llama"), tag("snowflake-arctic:latest", "nomic-bert"), {"name": 5}]
    }
    provider = await make("remote::ollama", base_url=far.base_url)

    assert await kinds(provider, ctx) == {"llama3.2:3b": "llm", "snowflake-arctic:latest": "embedding"}
    assert far.seen[-1].path == "/api/tags"


async def test_ollama_behind_a_gateway_lists_as_others_do(
    make: Make, far: LoopbackUpstream, ctx: RequestContext
) -> None:
    provider = await make("remote::ollama", base_url=far.base_url, allowed_models=["echo"])

    assert await kinds(provider, ctx) == {"echo": "llm"}


async def test_openai_announces_what_it_can_serve(
    make: Make, far: LoopbackUpstream, ctx: RequestContext
) -> None:
    names = [
        "gpt-5",
        "o4-mini",
        "text-embedding-3-small",
        "whisper-1",
        "tts-1-hd",
        "dall-e-3",
        "gpt-4o-mini-tts",
    ]
    far.app.models = {"object": "list", "data": [{"id": name} for name in names]}

    provider = await make("remote::openai", base_url=far.base_url)
    assert await kinds(provider, ctx) == {
        "gpt-5": "llm",
        "o4-mini": "llm",
        "text-embedding-3-small": "embedding",
    }

    asked_for = await make("remote::openai", base_url=far.base_url, allowed_models=["gpt-4o-mini-tts"])
    assert await kinds(asked_for, ctx) == {"gpt-4o-mini-tts": "llm"}


async def test_vllm_reranks_without_being_told_where(
    make: Make, far: LoopbackUpstream, ctx: RequestContext
) -> None:
    provider = await make("remote::vllm", base_url=far.base_url)

    reply = await provider.rerank(ctx, received(RerankRequest, query="red", items=["blue", "red"]))

    assert [row.index for row in reply.body.data] == [1, 0]


@pytest.mark.parametrize("kind", ["remote::openai", "remote::ollama"])
async def test_others_do_not_rerank(
    make: Make, far: LoopbackUpstream, ctx: RequestContext, kind: str
) -> None:
    provider = await make(kind, base_url=far.base_url)

    with pytest.raises(errors.OperationNotSupported):
        await provider.rerank(ctx, received(RerankRequest, query="red", items=["red"]))
