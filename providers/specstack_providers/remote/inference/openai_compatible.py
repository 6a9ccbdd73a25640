"""Any server that speaks OpenAI's HTTP API; the base of the provider types for known ones."""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

from specstack_api.models.inference import (
    CreateChatCompletionRequest,
    CreateChatCompletionResponse,
    CreateChatCompletionStreamResponse,
    CreateCompletionRequest,
    CreateCompletionResponse,
    CreateEmbeddingRequest,
    CreateEmbeddingResponse,
    RerankRequest,
    RerankResponse,
)
from specstack_api.models.models import ListModelsResponse
from specstack_api.protocols.inference import Inference
from specstack_providers.remote.inference import reranking
from specstack_providers.remote.inference.discovery import entries, model_type
from specstack_providers.remote.upstream_errors import UpstreamErrors
from specstack_wire import (
    Deps,
    Event,
    Health,
    OperationNotSupported,
    Payload,
    Request,
    RequestContext,
    Stream,
    UpstreamError,
    UpstreamReply,
    UpstreamSettings,
    UpstreamStream,
    given,
)

T = TypeVar("T")

HEALTH_SECONDS: Final = 5.0
_FINISHED: Final = re.compile(rb'"finish_reason"\s*:\s*"').search
_FLOAT_VECTOR: Final = re.compile(rb'"embedding"\s*:\s*\[').search


@dataclass(frozen=True, slots=True)
class Settings:
    """One OpenAI-style server, independent of how its provider type names the fields.

    `key_field` is the property of the per-request provider data that replaces `api_key`. With
    `allowed_models` only these ids of the server's list are announced. `rerank_path` is None where
    the server cannot rerank. Times are in seconds.
    """

    base_url: str
    key_field: str
    api_key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    allowed_models: Sequence[str] | None = None
    rerank_path: str | None = None
    timeout: float = 600.0
    connect_timeout: float = 10.0
    max_connections: int = 1000
    verify_tls: bool | str = True
    proxy: str | None = None

    def upstream(self) -> UpstreamSettings:
        return UpstreamSettings(
            base_url=self.base_url,
            headers=self.headers,
            timeout=self.timeout,
            connect_timeout=self.connect_timeout,
            max_connections=self.max_connections,
            verify_tls=self.verify_tls,
            proxy=self.proxy,
        )


class OpenAICompatible(Inference):
    """Passes requests and replies through as bytes; reads only what it has to translate."""

    def __init__(self, settings: Settings, deps: Deps) -> None:
        self.settings = settings
        self._upstream = deps.upstream(settings.upstream())
        secrets = [settings.api_key or "", *(v for k, v in settings.headers.items() if _is_secret(k))]
        self._errors = UpstreamErrors(deps.provider_id, secrets)
        self._provider_id = deps.provider_id
        self._clock = deps.clock
        self._headers = _bearer(settings.api_key)

    async def stop(self) -> None:
        await self._upstream.aclose()

    async def health(self) -> Health:
        """Asks for the model list: `ok` means that the server answers and takes the configured key."""
        ctx = RequestContext(request_id="health")
        try:
            reply = await self._upstream.request(
                ctx, "GET", "models", headers=self._headers, timeout=HEALTH_SECONDS
            )
        except UpstreamError as error:
            return Health("error", self._errors.failed(error).message)
        if reply.status >= 400:
            return Health("error", self._errors.refused(reply.status, reply.headers, reply.body).message)
        return Health("ok")

    async def create_chat_completion(
        self, ctx: RequestContext, request: Request[CreateChatCompletionRequest]
    ) -> Payload[CreateChatCompletionResponse] | Stream[CreateChatCompletionStreamResponse]:
        if given(request.body.stream, False):
            return await self._stream(
                ctx, "chat/completions", request.raw, CreateChatCompletionStreamResponse
            )
        reply = await self._post(ctx, "chat/completions", request.raw)
        return Payload.from_raw(reply, CreateChatCompletionResponse)

    async def create_completion(
        self, ctx: RequestContext, request: Request[CreateCompletionRequest]
    ) -> Payload[CreateCompletionResponse] | Stream[CreateCompletionResponse]:
        if given(request.body.stream, False):
            return await self._stream(ctx, "completions", request.raw, CreateCompletionResponse)
        return Payload.from_raw(await self._post(ctx, "completions", request.raw), CreateCompletionResponse)

    async def create_embedding(
        self, ctx: RequestContext, request: Request[CreateEmbeddingRequest]
    ) -> Payload[CreateEmbeddingResponse]:
        reply = await self._post(ctx, "embeddings", request.raw)
        if given(request.body.encoding_format) == "base64" and _FLOAT_VECTOR(reply):
            reply = _with_base64_vectors(self._parsed(reply))
        return Payload.from_raw(reply, CreateEmbeddingResponse)

    async def rerank(self, ctx: RequestContext, request: Request[RerankRequest]) -> Payload[RerankResponse]:
        if self.settings.rerank_path is None:
            raise OperationNotSupported.of(self, "rerank")
        body = request.body
        reply = await self._post(ctx, self.settings.rerank_path, reranking.asked(body), opens=b"{[")
        raw = reranking.ranked(self._parsed(reply), len(body.items), given(body.max_num_results))
        if raw is None:
            raise self._errors.invalid("a ranking that does not fit the request")
        return Payload.from_raw(raw, RerankResponse)

    async def _post(self, ctx: RequestContext, path: str, body: bytes, *, opens: bytes = b"{") -> bytes:
        headers = self._headers_for(ctx)
        try:
            reply = await self._upstream.request(ctx, "POST", path, body=body, headers=headers)
        except UpstreamError as error:
            raise self._errors.failed(error, self._secrets_of(ctx)) from error
        return self._checked(ctx, reply, opens)

    def _checked(self, ctx: RequestContext, reply: UpstreamReply, opens: bytes = b"{[") -> bytes:
        """The body of a successful reply that looks like JSON of the expected kind.

        Only its first and last byte are looked at: what passes through is not parsed here.
        """
        if not 200 <= reply.status < 300:
            raise self._errors.refused(reply.status, reply.headers, reply.body, self._secrets_of(ctx))
        media = reply.headers.get("content-type", "application/json")
        if "json" not in media:
            raise self._errors.invalid(f"{media} instead of JSON")
        body = reply.body.strip()
        if not body or body[0] not in opens or body[-1] not in b"}]":
            raise self._errors.invalid("something else than a JSON object")
        return body

    def _parsed(self, body: bytes) -> Any:
        try:
            return json.loads(body)
        except ValueError as error:
            raise self._errors.invalid("broken JSON") from error

    async def _stream(self, ctx: RequestContext, path: str, body: bytes, type_: type[T]) -> Stream[T]:
        secrets = self._secrets_of(ctx)
        try:
            source = await self._upstream.stream(ctx, "POST", path, body=body, headers=self._headers_for(ctx))
            if 200 <= source.status < 300 and "text/event-stream" in source.headers.get("content-type", ""):
                relayed = Stream[T].relay(source.chunks(), type_, complete=_finishes, close=source.aclose)
                return Stream.events(self._guarded(relayed, secrets), close=relayed.aclose)
            refused = await _read(source)
        except UpstreamError as error:
            raise self._errors.failed(error, secrets) from error
        if 200 <= source.status < 300:
            media = source.headers.get("content-type", "a reply without a content type")
            raise self._errors.invalid(f"{media} instead of an event stream")
        raise self._errors.refused(source.status, source.headers, refused, secrets)

    async def _guarded(self, stream: Stream[T], secrets: tuple[str, ...]) -> AsyncIterator[Event[T]]:
        """The stream with its failures turned into the spec's errors."""
        try:
            async for event in stream:
                yield event
        except UpstreamError as error:
            raise self._errors.failed(error, secrets) from error
        finally:
            await stream.aclose()

    async def list_models(self, ctx: RequestContext, request: Request[None]) -> Payload[ListModelsResponse]:
        """The models that the server lists and `allowed_models` admits, each with its guessed kind."""
        rows = [self._record(entry) for entry in await self._listed(ctx) if self._admits(entry)]
        raw = json.dumps({"object": "list", "data": rows}).encode()
        return Payload.from_raw(raw, ListModelsResponse)

    async def _listed(self, ctx: RequestContext) -> list[dict[str, Any]]:
        """What `GET /models` lists. A server without that path has just the models that the config allows."""
        secrets = self._secrets_of(ctx)
        try:
            reply = await self._upstream.request(ctx, "GET", "models", headers=self._headers_for(ctx))
        except UpstreamError as error:
            raise self._errors.failed(error, secrets) from error
        if reply.status in {404, 405, 501} and self.settings.allowed_models is not None:
            return [{"id": name} for name in self.settings.allowed_models]
        return list(entries(self._parsed(self._checked(ctx, reply))))

    def _admits(self, entry: Mapping[str, Any]) -> bool:
        allowed = self.settings.allowed_models
        return allowed is None or entry["id"] in allowed

    def _record(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        created = entry.get("created")
        name = entry["id"]
        return {
            "id": name,
            "object": "model",
            "created": created if isinstance(created, int) else self._clock.created(),
            "owned_by": self._provider_id,
            "custom_metadata": {
                "model_type": model_type(entry),
                "provider_id": self._provider_id,
                "provider_resource_id": name,
            },
        }

    def _key_of(self, ctx: RequestContext) -> str | None:
        """The caller's own key for this server, from the request's provider data."""
        key = ctx.provider_data.get(self.settings.key_field) if ctx.provider_data else None
        return key if isinstance(key, str) and key else None

    def _headers_for(self, ctx: RequestContext) -> Mapping[str, str]:
        key = self._key_of(ctx)
        return self._headers if key is None else _bearer(key)

    def _secrets_of(self, ctx: RequestContext) -> tuple[str, ...]:
        key = self._key_of(ctx)
        return () if key is None else (key,)


def _finishes(data: bytes) -> bool:
    """Whether an event gives a choice's finish reason. Inside text the quotes would be escaped."""
    return _FINISHED(data) is not None


async def _read(source: UpstreamStream) -> bytes:
    try:
        return await source.read()
    finally:
        await source.aclose()


def _bearer(key: str | None) -> Mapping[str, str]:
    return {} if not key else {"authorization": f"Bearer {key}"}


def _is_secret(header: str) -> bool:
    return re.search(r"auth|key|token|secret|cookie", header, re.IGNORECASE) is not None


def _with_base64_vectors(body: dict[str, Any]) -> bytes:
    """The reply of a server that ignores `encoding_format`, its vectors as base64 of little-endian floats."""
    for row in cast(list[dict[str, Any]], body.get("data", [])):
        vector = row.get("embedding")
        if isinstance(vector, list):
            numbers = cast(list[float], vector)
            row["embedding"] = base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
    return json.dumps(body).encode()
