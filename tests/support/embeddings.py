"""Calls of inline::embeddings, as the server makes them, and their replies as JSON."""

import json
from collections.abc import Sequence
from typing import Any

from specstack_api.models.inference import CreateEmbeddingRequest
from specstack_api.provider_config.inference.inline_embeddings import InlineEmbeddingsConfig
from specstack_wire import Deps, Request, RequestContext
from support.calls import received

STORED = "all-minilm-l6-v2"
CTX = RequestContext(request_id="req_test")
SENTENCES = [
    "The bakery sells fresh bread every morning.",
    "How do I reset my password?",
    "",
    "Paris is the capital of France and has been for a very long time, apart from some interruptions.",
    "cat",
]


async def made(deps: Deps, *, start: bool = True, **config: Any) -> Any:
    """The provider, with the stored model if the config names no other."""
    from specstack_providers.inline.inference.embeddings import create

    config.setdefault("models", [{"model_id": "mini", "store": STORED}])
    provider = await create(InlineEmbeddingsConfig.model_validate(config), deps)
    if start:
        await provider.start()
    return provider


def embedding(texts: object, **fields: Any) -> Request[Any]:
    return received(CreateEmbeddingRequest, model="mini", input=texts, **fields)


async def embed(provider: Any, texts: object, **fields: Any) -> dict[str, Any]:
    reply = await provider.create_embedding(CTX, embedding(texts, **fields))
    return json.loads(reply.raw)


async def vectors(provider: Any, texts: object) -> list[list[float]]:
    return [row["embedding"] for row in (await embed(provider, texts))["data"]]


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
