"""`inline::llama-cpp`: GGUF models in this process."""

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from specstack_api.errors import InvalidValue, ModelNotFound, ModelTypeMismatch, ModelUnavailable
from specstack_api.models.inference import (
    CreateChatCompletionRequest,
    CreateChatCompletionResponse,
    CreateChatCompletionStreamResponse,
    CreateCompletionRequest,
    CreateCompletionResponse,
    CreateCompletionStreamResponse,
    CreateEmbeddingRequest,
    CreateEmbeddingResponse,
)
from specstack_api.models.models import ListModelsResponse
from specstack_api.protocols.inference import Inference
from specstack_api.provider_config.inference.inline_llama_cpp import (
    InlineLlamaCppConfig,
    InlineLlamaCppConfigModelsItem,
)
from specstack_providers.inline.inference.embedding_replies import check_dimensions, embeddings_reply
from specstack_providers.inline.inference.listing import models_list
from specstack_providers.inline.inference.llama_chat import chat_chunks, chat_reply, plan_chat
from specstack_providers.inline.inference.llama_completions import (
    completion_chunks,
    completion_reply,
    plan_completion,
)
from specstack_providers.inline.inference.llama_engine import (
    EngineSettings,
    batch_threads,
    generation_threads,
)
from specstack_providers.inline.inference.llama_front import EngineFront
from specstack_providers.inline.inference.llama_replies import Frame
from specstack_providers.inline.inference.weights import find_weights
from specstack_providers.model_store import manifest
from specstack_wire import Deps, Event, Health, Payload, Request, RequestContext, Stream

T = TypeVar("T")
Json = dict[str, Any]


@dataclass(slots=True)
class _Model:
    """A configured model; its engine is there once it is loaded."""

    item: InlineLlamaCppConfigModelsItem
    context: int
    sampling: Mapping[str, float] = field(default_factory=dict[str, float])
    engine: EngineFront | None = None
    fingerprint: str = ""


class LlamaCpp(Inference):
    """Models of one run config, an engine for each."""

    def __init__(self, config: InlineLlamaCppConfig, deps: Deps) -> None:
        self._config = config
        self._deps = deps
        self._created = deps.clock.created()
        self._models: dict[str, _Model] = {}
        for item in config.models:
            if item.model_id in self._models:
                raise InvalidValue(f"two models have the model_id {item.model_id!r}")
            self._models[item.model_id] = _Model(item, item.context_length or config.context_length)

    async def start(self) -> None:
        """Fetches what is missing and loads every model, one after the other."""
        for model in self._models.values():
            await self._load(model)

    async def stop(self) -> None:
        for model in self._models.values():
            if model.engine is not None:
                await model.engine.close()
                model.engine = None

    async def health(self) -> Health:
        """`ok` means that every model is loaded and its engine answers."""
        for name, model in self._models.items():
            if model.engine is None or not model.engine.loaded:
                return Health("error", f"model {name} is not loaded")
            try:
                async with asyncio.timeout(5):
                    await model.engine.ask("/health")
            except Exception as error:
                return Health("error", f"the engine of model {name} does not answer: {error}")
        return Health("ok", f"{len(self._models)} loaded")

    async def list_models(self, ctx: RequestContext, request: Request[None]) -> Payload[ListModelsResponse]:
        """The configured models."""
        models = {
            name: ("embedding" if model.item.embedding else "llm", {"context_length": model.context})
            for name, model in self._models.items()
        }
        return _payload(models_list(self._deps.provider_id, self._created, models), ListModelsResponse)

    async def create_chat_completion(
        self, ctx: RequestContext, request: Request[CreateChatCompletionRequest]
    ) -> Payload[CreateChatCompletionResponse] | Stream[CreateChatCompletionStreamResponse]:
        body = cast(Json, json.loads(request.raw))
        model, engine = self._find(body["model"], embedding=False)
        plan = await plan_chat(engine, body, model.sampling)
        frame = self._frame("chatcmpl-", body["model"], model)
        if body.get("stream"):
            chunks = chat_chunks(engine, plan, frame, self._deps.ids.new)
            return await _stream(chunks, CreateChatCompletionStreamResponse)
        reply = await chat_reply(engine, plan, frame, self._deps.ids.new)
        return _payload(reply, CreateChatCompletionResponse)

    async def create_completion(
        self, ctx: RequestContext, request: Request[CreateCompletionRequest]
    ) -> Payload[CreateCompletionResponse] | Stream[CreateCompletionStreamResponse]:
        body = cast(Json, json.loads(request.raw))
        model, engine = self._find(body["model"], embedding=False)
        plan = await plan_completion(engine, body, model.sampling)
        frame = self._frame("cmpl-", body["model"], model)
        if body.get("stream"):
            return await _stream(completion_chunks(engine, plan, frame), CreateCompletionStreamResponse)
        return _payload(await completion_reply(engine, plan, frame), CreateCompletionResponse)

    async def create_embedding(
        self, ctx: RequestContext, request: Request[CreateEmbeddingRequest]
    ) -> Payload[CreateEmbeddingResponse]:
        """Vectors by an embedding model. Texts that do not fit its context are refused, not cut."""
        body = cast(Json, json.loads(request.raw))
        _, engine = self._find(body["model"], embedding=True)
        reply = await engine.embed(body["input"])
        vectors = [row["embedding"] for row in sorted(reply["data"], key=lambda row: row["index"])]
        check_dimensions(body, len(vectors[0]))
        tokens = int(reply["usage"]["prompt_tokens"])
        content = embeddings_reply(body["model"], vectors, tokens, body.get("encoding_format"))
        return _payload(content, CreateEmbeddingResponse)

    async def _load(self, model: _Model) -> None:
        item = model.item
        deps = self._deps
        settings = EngineSettings(
            name=item.model_id,
            context=model.context,
            max_tokens=self._config.max_tokens,
            slots=self._config.slots,
            threads=self._config.threads or generation_threads(),
            batch_threads=self._config.batch_threads or batch_threads(),
            embedding=item.embedding,
        )

        async def find() -> Path:
            return await find_weights(item.model_id, item.path, item.store, deps.cache_dir, deps.log)

        engine = EngineFront(settings, find, deps.calls, deps.log)
        await engine.load()
        model.engine = engine
        model.sampling = manifest()[item.store].sampling if item.store else {}
        told = f"{engine.build} {settings.context} {settings.threads}"
        model.fingerprint = "fp_" + hashlib.sha256(told.encode()).hexdigest()[:12]

    def _find(self, name: str, *, embedding: bool) -> tuple[_Model, EngineFront]:
        model = self._models.get(name)
        if model is None:
            known = ", ".join(self._models)
            raise ModelNotFound(f"inline::llama-cpp has no model {name!r}; it has {known}", param="model")
        if model.item.embedding != embedding:
            has, needs = ("embedding", "llm") if model.item.embedding else ("llm", "embedding")
            raise ModelTypeMismatch(f"{name} is of type {has}, this operation needs {needs}", param="model")
        if model.engine is None:
            raise ModelUnavailable(f"{name} is not loaded (the server is starting or stopping)")
        return model, model.engine

    def _frame(self, prefix: str, name: str, model: _Model) -> Frame:
        return Frame(self._deps.ids.new(prefix), self._deps.clock.created(), name, model.fingerprint)


def _payload(body: Json, type_: type[T]) -> Payload[T]:
    return cast(Payload[T], Payload.from_raw(json.dumps(body, ensure_ascii=False).encode(), type_))


async def _stream(chunks: AsyncGenerator[Json], type_: type[T]) -> Stream[T]:
    """The chunks as a stream, once the first is there: refusals come before the stream begins."""
    try:
        first = await anext(chunks)
    except BaseException:
        await chunks.aclose()
        raise

    async def events() -> AsyncIterator[Event[T]]:
        try:
            yield _event(first, type_)
            async for chunk in chunks:
                yield _event(chunk, type_)
        finally:
            await chunks.aclose()

    return cast(Stream[T], Stream.events(events()))


def _event(chunk: Json, type_: type[T]) -> Event[T]:
    return cast(Event[T], Event.from_raw(json.dumps(chunk, ensure_ascii=False).encode(), type_))


async def create(config: InlineLlamaCppConfig, deps: Deps) -> Inference:
    """The provider, its models not loaded yet."""
    return LlamaCpp(config, deps)
