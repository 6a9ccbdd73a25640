"""Any server that speaks OpenAI's HTTP API; the base of the provider types for known ones."""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, Protocol, TypeVar, cast

from pydantic import SecretStr

from specstack_api.errors import InvalidRequest, OperationNotSupported, UpstreamModelNotFound
from specstack_api.models.inference import (
    CreateChatCompletionRequest,
    CreateChatCompletionResponse,
    CreateChatCompletionStreamResponse,
    CreateCompletionRequest,
    CreateCompletionResponse,
    CreateCompletionStreamResponse,
    CreateEmbeddingRequest,
    CreateEmbeddingResponse,
    RerankRequest,
    RerankResponse,
)
from specstack_api.models.models import ListModelsResponse
from specstack_api.protocols.inference import Inference
from specstack_api.provider_config.inference.remote_openai_compatible import RemoteOpenaiCompatibleConfig
from specstack_providers.remote.inference import reranking
from specstack_providers.remote.inference.discovery import entries, model_type
from specstack_providers.remote.upstream_errors import UpstreamErrors, of_url
from specstack_wire import (
    ApiError,
    Deps,
    Health,
    Payload,
    Request,
    RequestContext,
    Stream,
    UpstreamBroken,
    UpstreamError,
    UpstreamReply,
    UpstreamSettings,
    UpstreamStream,
    given,
    tells_error,
)

T = TypeVar("T")

HEALTH_SECONDS: Final = 5.0
_LONGEST_COMPARED: Final = 200
_payload = Payload[Any].from_raw
_relay = Stream[Any].relay
_FINISHED: Final = re.compile(rb'"finish_reason"\s*:\s*"').search
_FLOAT_VECTOR: Final = re.compile(rb'"embedding"\s*:\s*\[').search


class RemoteConfig(Protocol):
    """The settings that every provider type of this family has, by the same names."""

    @property
    def base_url(self) -> str: ...
    @property
    def allowed_models(self) -> list[str] | None: ...
    @property
    def headers(self) -> dict[str, SecretStr] | None: ...
    @property
    def timeout_seconds(self) -> float: ...
    @property
    def connect_timeout_seconds(self) -> float: ...
    @property
    def max_connections(self) -> int: ...
    @property
    def verify_tls(self) -> bool | str: ...
    @property
    def proxy(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Traits:
    """In what one server of the family differs from another.

    `key_field` is the property of a request's provider data that takes the place of `api_key`; "" means
    that requests bring none. `rerank_path` is None where the server cannot rerank.
    """

    api_key: SecretStr | None = None
    key_field: str = ""
    rerank_path: str | None = None


class OpenAICompatible(Inference):
    """Passes requests and replies through as bytes; reads only what it has to translate."""

    def __init__(self, config: RemoteConfig, traits: Traits, deps: Deps) -> None:
        self._provider_id = deps.provider_id
        self._allowed = None if config.allowed_models is None else frozenset(config.allowed_models)
        self._names: list[str] = []
        self._traits = traits
        self._clock = deps.clock
        key = _revealed(traits.api_key)
        if not key.isprintable():
            raise ValueError("the key has a control character in it, such as a line break at its end")
        extra = {name: value.get_secret_value() for name, value in (config.headers or {}).items()}
        self._has_key = bool(key)
        self._headers = _bearer(key)
        urls = (*of_url(config.base_url), *of_url(config.proxy))
        self._errors = UpstreamErrors(deps.provider_id, [key, *extra.values(), *urls])
        self._settings = _upstream_settings(config, extra)
        self._upstream = deps.upstream(self._settings)

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
        if self._waits_for_keys(reply.status):
            return Health("ok", "reachable; no key is configured, so each request must bring its own")
        if reply.status >= 400:
            return Health("error", self._errors.refused(reply.status, reply.headers, reply.body).message)
        return Health("ok")

    async def create_chat_completion(
        self, ctx: RequestContext, request: Request[CreateChatCompletionRequest]
    ) -> Payload[CreateChatCompletionResponse] | Stream[CreateChatCompletionStreamResponse]:
        self._admit(request.body.model)
        if given(request.body.stream, False):
            return await self._stream(
                ctx, "chat/completions", request.raw, CreateChatCompletionStreamResponse
            )
        reply = await self._post(ctx, "chat/completions", request.raw)
        return _payload(reply, CreateChatCompletionResponse)

    async def create_completion(
        self, ctx: RequestContext, request: Request[CreateCompletionRequest]
    ) -> Payload[CreateCompletionResponse] | Stream[CreateCompletionStreamResponse]:
        self._admit(request.body.model)
        if given(request.body.stream, False):
            return await self._stream(ctx, "completions", request.raw, CreateCompletionStreamResponse)
        return _payload(await self._post(ctx, "completions", request.raw), CreateCompletionResponse)

    async def create_embedding(
        self, ctx: RequestContext, request: Request[CreateEmbeddingRequest]
    ) -> Payload[CreateEmbeddingResponse]:
        self._admit(request.body.model)
        reply = await self._post(ctx, "embeddings", request.raw)
        if given(request.body.encoding_format) == "base64" and _FLOAT_VECTOR(reply):
            try:
                reply = _with_base64_vectors(self._parsed(reply))
            except (AttributeError, TypeError, struct.error, OverflowError) as error:
                raise self._errors.invalid("embeddings that are no lists of numbers") from error
        return _payload(reply, CreateEmbeddingResponse)

    async def rerank(self, ctx: RequestContext, request: Request[RerankRequest]) -> Payload[RerankResponse]:
        if self._traits.rerank_path is None:
            message = (
                f"Provider {self._provider_id!r} does not rerank: no path for it is known or configured."
            )
            raise OperationNotSupported(message)
        body = request.body
        self._admit(body.model)
        reply = await self._post(ctx, self._traits.rerank_path, reranking.asked(body), opens=b"{[")
        raw = reranking.ranked(self._parsed(reply), len(body.items), given(body.max_num_results))
        if raw is None:
            raise self._errors.invalid("a ranking that does not fit the request")
        return _payload(raw, RerankResponse)

    async def _post(self, ctx: RequestContext, path: str, body: bytes, *, opens: bytes = b"{") -> bytes:
        headers = self._headers_for(ctx)
        try:
            reply = await self._upstream.request(ctx, "POST", path, body=body, headers=headers)
        except UpstreamError as error:
            raise self._errors.failed(error, self._secrets_of(ctx)) from error
        if not 200 <= reply.status < 300:
            raise self._refused(ctx, reply.status, reply.headers, reply.body, body)
        return self._checked(ctx, reply, opens)

    def _checked(self, ctx: RequestContext, reply: UpstreamReply, opens: bytes = b"{[") -> bytes:
        """The body of a successful reply that looks like JSON of the expected kind.

        Only its first and last byte are looked at: what passes through is not parsed here.
        """
        if not 200 <= reply.status < 300:
            raise self._refused(ctx, reply.status, reply.headers, reply.body)
        media = reply.headers.get("content-type", "application/json")
        if "json" not in media.lower():
            raise self._errors.invalid(f"{media} instead of JSON")
        body = reply.body.strip()
        if not body or body[0] not in opens or body[-1] not in b"}]":
            raise self._errors.invalid("something else than a JSON object")
        if tells_error(body):
            raise self._errors.failed(UpstreamBroken("it sent an error as a success", raw=body))
        return body

    def _parsed(self, body: bytes) -> Any:
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise self._errors.invalid("broken JSON") from error

    async def _stream(self, ctx: RequestContext, path: str, body: bytes, type_: type[T]) -> Stream[T]:
        secrets = self._secrets_of(ctx)
        try:
            source = await self._upstream.stream(ctx, "POST", path, body=body, headers=self._headers_for(ctx))
            media = source.headers.get("content-type", "a reply without a content type")
            if 200 <= source.status < 300 and "text/event-stream" in media.lower():

                def failed(error: UpstreamError) -> Exception:
                    return self._errors.failed(error, secrets)

                return _relay(source.chunks(), type_, complete=_finishes, failed=failed, close=source.aclose)
            refused = await _read(source)
        except UpstreamError as error:
            raise self._errors.failed(error, secrets) from error
        if 200 <= source.status < 300:
            raise self._errors.invalid(f"{media} instead of an event stream")
        raise self._refused(ctx, source.status, source.headers, refused, body)

    def _refused(
        self, ctx: RequestContext, status: int, headers: Mapping[str, str], said: bytes, asked: bytes = b""
    ) -> ApiError:
        """The error for a refusal. Of a model that is not known there, close ones are named."""
        error = self._errors.refused(status, headers, said, self._secrets_of(ctx))
        if not isinstance(error, UpstreamModelNotFound) or not asked:
            return error
        return self._unknown(error.message, self._parsed(asked).get("model"), error.headers)

    def _unknown(
        self, message: str, model: object, headers: Mapping[str, str] | None = None
    ) -> UpstreamModelNotFound:
        known = sorted(self._allowed) if self._allowed is not None else self._names
        names = [name for name in known if name != model]
        close = get_close_matches(model[:_LONGEST_COMPARED], names, 3, 0.5) if isinstance(model, str) else []
        if not close:
            return UpstreamModelNotFound(message, headers=headers)
        named = " or ".join(f"'{self._provider_id}/{name}'" for name in close)
        return UpstreamModelNotFound(f"{message} Did you mean {named}?", param="model", headers=headers)

    def _admit(self, model: str) -> None:
        """Raises UpstreamModelNotFound for a model that the config does not allow, listed or not."""
        if self._allowed is None or model in self._allowed:
            return
        shown = model[:_LONGEST_COMPARED]
        message = f"Provider {self._provider_id!r} does not offer the model {shown!r}."
        raise self._unknown(message, model)

    async def list_models(self, ctx: RequestContext, request: Request[None]) -> Payload[ListModelsResponse]:
        """The models that the server lists and `allowed_models` admits, each with its guessed kind."""
        rows = [self._record(entry) for entry in await self._listed(ctx) if self._admits(entry)]
        self._names = [row["id"] for row in rows]
        raw = json.dumps({"object": "list", "data": rows}).encode()
        return _payload(raw, ListModelsResponse)

    async def _listed(self, ctx: RequestContext) -> list[dict[str, Any]]:
        """What `GET /models` lists; the allowed models if the server has no list, or none without a key."""
        secrets = self._secrets_of(ctx)
        try:
            reply = await self._upstream.request(ctx, "GET", "models", headers=self._headers_for(ctx))
        except UpstreamError as error:
            raise self._errors.failed(error, secrets) from error
        untold = reply.status in {404, 405, 501} or self._waits_for_keys(reply.status)
        if untold and self._allowed is not None:
            return [{"id": name} for name in sorted(self._allowed)]
        return list(entries(self._parsed(self._checked(ctx, reply))))

    def _admits(self, entry: Mapping[str, Any]) -> bool:
        return self._allowed is None or entry["id"] in self._allowed

    def _waits_for_keys(self, status: int) -> bool:
        """Whether a refusal only says that no key is configured, requests being meant to bring theirs."""
        return status in {401, 403} and not self._has_key and self._traits.key_field != ""

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
        """The caller's own key for this server, from the request's provider data.

        Raises InvalidRequest for one that is no key: such a call must not be made on ours instead.
        """
        name = self._traits.key_field
        key = ctx.provider_data.get(name) if ctx.provider_data and name else None
        if key is None or key == "":
            return None
        if isinstance(key, str) and key.isprintable():
            return key
        message = f"The provider data's {name!r} must be a string without line breaks."
        raise InvalidRequest(message, param=name)

    def _headers_for(self, ctx: RequestContext) -> Mapping[str, str]:
        key = self._key_of(ctx)
        return self._headers if key is None else _bearer(key)

    def _secrets_of(self, ctx: RequestContext) -> tuple[str, ...]:
        key = self._key_of(ctx)
        return () if key is None else (key,)


def _finishes(data: bytes) -> bool:
    """Whether an event, or one of several, gives a choice's finish reason.

    Inside text the quotes would be escaped. Counting is much quicker than a look at each null.
    """
    given = data.count(b'"finish_reason"') > data.count(b'"finish_reason":null')
    return given and _FINISHED(data) is not None


async def _read(source: UpstreamStream) -> bytes:
    try:
        return await source.read()
    finally:
        await source.aclose()


def _upstream_settings(config: RemoteConfig, headers: Mapping[str, str]) -> UpstreamSettings:
    """Where and how to reach the server of a config."""
    return UpstreamSettings(
        base_url=config.base_url,
        headers=headers,
        timeout=config.timeout_seconds,
        connect_timeout=config.connect_timeout_seconds,
        max_connections=config.max_connections,
        verify_tls=config.verify_tls,
        proxy=config.proxy,
    )


def _revealed(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()


def _bearer(key: str) -> Mapping[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


def _with_base64_vectors(body: dict[str, Any]) -> bytes:
    """The reply of a server that ignores `encoding_format`, its vectors as base64 of little-endian floats."""
    for row in cast(list[dict[str, Any]], body.get("data", [])):
        vector = row.get("embedding")
        if isinstance(vector, list):
            numbers = cast(list[float], vector)
            row["embedding"] = base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
    return json.dumps(body).encode()


async def create(config: RemoteOpenaiCompatibleConfig, deps: Deps) -> OpenAICompatible:
    """The provider of one OpenAI-style server."""
    traits = Traits(config.api_key, "openai_compatible_api_key", config.rerank_path)
    return OpenAICompatible(config, traits, deps)
