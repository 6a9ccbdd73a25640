"""`inline::embeddings`: sentence embeddings and reranking in this process."""

import asyncio
import json
import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from specstack_api.errors import InvalidValue, ModelNotFound, ModelUnavailable, UnsupportedContent
from specstack_api.models.inference import (
    ChatCompletionRequestMessageContentPartText,
    CreateEmbeddingRequest,
    CreateEmbeddingResponse,
    RerankData,
    RerankRequest,
    RerankResponse,
)
from specstack_api.models.models import ListModelsResponse
from specstack_api.protocols.inference import Inference
from specstack_api.provider_config.inference.inline_embeddings import (
    InlineEmbeddingsConfig,
    InlineEmbeddingsConfigModelsItem,
)
from specstack_providers.inline.inference.embed_engine import Embedder
from specstack_providers.inline.inference.embed_model import SentenceModel, Vectors
from specstack_providers.inline.inference.embed_workers import Workers, usable_cores
from specstack_providers.inline.inference.embedding_replies import check_dimensions
from specstack_providers.inline.inference.listing import models_list
from specstack_providers.inline.inference.weights import find_weights
from specstack_providers.model_store import ModelStore
from specstack_wire import Deps, Health, Payload, Request, RequestContext, given

_PACKAGES = ("numpy", "onnxruntime", "tokenizers")
_PROBE = "Is anybody there?"
_PROBE_SECONDS = 3.0


async def create(config: InlineEmbeddingsConfig, deps: Deps) -> Inference:
    """The provider. Raises ImportError without the extra's packages and `InvalidValue` for a wrong config."""
    # The tokenizer's own threads would come on top of `threads`.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for package in _PACKAGES:
        await asyncio.to_thread(import_module, package)
    return Embeddings(config, deps)


class Embeddings(Inference):
    """The sentence models of one run config, on threads that they share."""

    def __init__(self, config: InlineEmbeddingsConfig, deps: Deps) -> None:
        self._config = config
        self._deps = deps
        self._created = deps.clock.created()
        self._workers: Workers | None = None
        self._embedders: dict[str, Embedder] = {}
        self._facts: dict[str, dict[str, int]] = {}
        ids = [item.model_id for item in config.models]
        for model_id in ids:
            if ids.count(model_id) > 1:
                raise InvalidValue(f"two models have the model_id {model_id!r}")

    async def start(self) -> None:
        """Fetches what is missing, verifies it and loads every model, unless recordings answer for it.

        Raises `ModelUnavailable` with the command that mends it.
        """
        self._workers = Workers(self._config.threads or usable_cores())
        for item in self._config.models:

            async def facts(name: str = item.model_id) -> dict[str, int]:
                model = (await self._live(name)).model
                return {"dimensions": model.dimensions, "max_tokens": model.max_tokens}

            asked = {"do": "load", "max_tokens": self._config.max_tokens}
            self._facts[item.model_id] = await self._deps.calls.call(item.model_id, asked, facts)

    async def stop(self) -> None:
        embedders = list(self._embedders.values())
        self._embedders.clear()
        self._facts.clear()
        workers, self._workers = self._workers, None
        if workers is not None:
            await workers.close()
        for embedder in embedders:
            embedder.model.close()

    async def health(self) -> Health:
        """`ok` means that every model is loaded and computes: now if nothing else runs, else a moment ago."""
        missing = [item.model_id for item in self._config.models if item.model_id not in self._facts]
        workers = self._workers
        if workers is None or missing:
            return Health("error", f"not loaded: {', '.join(missing)}")
        if workers.requests == 0:
            await self._probe()
        for name, embedder in self._embedders.items():
            if embedder.failure:
                return Health("error", f"model {name} fails: {embedder.failure}")
        return Health("ok", f"{len(self._facts)} loaded, {workers.requests} requests in hand")

    async def list_models(self, ctx: RequestContext, request: Request[None]) -> Payload[ListModelsResponse]:
        """The loaded models, with the length of their vectors and of the texts that they read, in tokens."""
        models = {
            name: (
                "embedding",
                {"dimensions": one["dimensions"], "context_length": one["max_tokens"]},
            )
            for name, one in self._facts.items()
        }
        listed = models_list(self._deps.provider_id, self._created, models)
        return Payload[ListModelsResponse].of(ListModelsResponse.model_validate(listed))

    async def create_embedding(
        self, ctx: RequestContext, request: Request[CreateEmbeddingRequest]
    ) -> Payload[CreateEmbeddingResponse]:
        """Vectors of texts. What is over `max_tokens` is cut, and usage counts what is left."""
        body = request.body
        facts = self._find(body.model)
        check_dimensions({"dimensions": given(body.dimensions)}, facts["dimensions"])
        finish = Vectors.as_base64 if body.encoding_format == "base64" else Vectors.as_numbers
        texts = _texts(body.input)

        async def live() -> dict[str, Any]:
            vectors, tokens = await (await self._live(body.model)).each(texts, finish)
            # Written as JSON in the worker threads: what a recorder keeps is their text.
            return {"vectors": [one.decode() for one in vectors], "tokens": tokens}

        asked = {"do": "embed", "input": texts, "form": finish.__name__}
        found = await self._deps.calls.call(body.model, asked, live)
        reply = _reply(body.model, found["vectors"], found["tokens"])
        return Payload[CreateEmbeddingResponse].from_raw(reply, CreateEmbeddingResponse)

    async def rerank(self, ctx: RequestContext, request: Request[RerankRequest]) -> Payload[RerankResponse]:
        """Items by the cosine of their vectors with the query's, best first."""
        body = request.body
        self._find(body.model)
        query = _text(body.query, "query")
        items = [_text(item, f"items.{index}") for index, item in enumerate(body.items)]

        async def live() -> list[float]:
            embedder = await self._live(body.model)
            found, _ = await embedder.each([query], lambda vectors: [vectors])
            cosines, _ = await embedder.each(items, lambda vectors: vectors.cosines(found[0]))
            return cosines

        asked = {"do": "rerank", "query": query, "items": items}
        scores = await self._deps.calls.call(body.model, asked, live)
        order = sorted(range(len(items)), key=lambda index: -scores[index])[: given(body.max_num_results)]
        data = [RerankData(index=index, relevance_score=scores[index]) for index in order]
        return Payload[RerankResponse].of(RerankResponse(data=data))

    async def _folder(self, item: InlineEmbeddingsConfigModelsItem) -> Path:
        """The folder of a model's files, which for a stored one are all there and what they should be."""
        deps = self._deps
        found = await find_weights(item.model_id, item.path, item.store, deps.cache_dir, deps.log)
        if item.store is None:
            return found
        return (await asyncio.to_thread(ModelStore(deps.cache_dir).verify, item.store)).parent

    async def _probe(self) -> None:
        """Lets every model compute something small, so that its `failure` tells how it is now."""
        for embedder in self._embedders.values():
            try:
                async with asyncio.timeout(_PROBE_SECONDS):
                    await embedder.each([_PROBE], Vectors.as_base64)
            except TimeoutError:
                embedder.failure = f"no answer within {_PROBE_SECONDS:g} s"
            except Exception as error:
                self._deps.log.warning("model %s fails: %s", embedder.model.name, error)

    async def _live(self, name: str) -> Embedder:
        """The loaded model, which it is not while recordings answer."""
        if name not in self._embedders:
            item = next(item for item in self._config.models if item.model_id == name)
            folder = await self._folder(item)
            model = await asyncio.to_thread(SentenceModel, name, folder, self._config.max_tokens)
            assert self._workers is not None
            self._embedders[name] = Embedder(model, self._workers, self._config.batch_size)
        return self._embedders[name]

    def _find(self, model: str) -> dict[str, int]:
        facts = self._facts.get(model)
        if facts is not None:
            return facts
        known = [item.model_id for item in self._config.models]
        if model in known:
            raise ModelUnavailable(f"model {model!r} is not loaded (the server is starting or stopping)")
        raise ModelNotFound(f"there is no model {model!r} here; there are: {', '.join(known)}", param="model")


def _texts(given_input: str | Sequence[object]) -> list[str]:
    """The texts of a request. Raises `UnsupportedContent` for token ids."""
    if isinstance(given_input, str):
        return [given_input]
    texts = [one for one in given_input if isinstance(one, str)]
    if len(texts) != len(given_input):
        raise UnsupportedContent("this model takes texts, not token ids; send the text itself", param="input")
    return texts


def _text(content: Any, param: str) -> str:
    """The text of a query or item. Raises `UnsupportedContent` for an image."""
    if isinstance(content, str):
        return content
    if isinstance(content, ChatCompletionRequestMessageContentPartText):
        return content.text
    raise UnsupportedContent("this model reads texts, not images; send a description instead", param=param)


def _reply(model: str, vectors: list[str], tokens: int) -> bytes:
    """The reply's JSON. `vectors` are JSON already, for 2048 of them take megabytes and time."""
    data = b",".join(
        b'{"object":"embedding","index":%d,"embedding":%b}' % (index, vector.encode())
        for index, vector in enumerate(vectors)
    )
    usage = b'{"prompt_tokens":%d,"total_tokens":%d}' % (tokens, tokens)
    # The model stands before the vectors, so that the server finds it without reading them all.
    return b'{"object":"list","model":%b,"data":[%b],"usage":%b}' % (json.dumps(model).encode(), data, usage)
