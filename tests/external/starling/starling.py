"""Chats, and does one thing wrong if it is told to."""

import asyncio
from collections.abc import AsyncGenerator

from starling_api.provider_config.inference.inline_starling import InlineStarlingConfig

from specstack_api.errors import ModelNotFound
from specstack_api.models.inference import (
    CreateChatCompletionRequest,
    CreateChatCompletionResponse,
    CreateChatCompletionStreamResponse,
)
from specstack_api.models.models import ListModelsResponse
from specstack_api.protocols.inference import Inference
from specstack_wire import Deps, NoParams, Payload, Request, RequestContext, Stream

ALIVE: set[str] = set()


class Starling(Inference):
    """Has one model, `star`."""

    def __init__(self, wrong: str) -> None:
        self._wrong = wrong

    async def start(self) -> None:
        """What it needs is there for all of its kind."""
        ALIVE.add("voice")

    async def stop(self) -> None:
        """Stop, in one of two wrong ways."""
        if self._wrong == "takes-all-with-it":
            ALIVE.discard("voice")
        if self._wrong == "stop-fails":
            raise RuntimeError("it cannot stop")

    async def list_models(
        self, ctx: RequestContext, request: Request[None, NoParams]
    ) -> Payload[ListModelsResponse]:
        """The one model."""
        if self._wrong == "list-fails":
            raise RuntimeError("it cannot list")
        if self._wrong == "list-is-none":
            return Payload.from_raw(b'{"data": 5}', ListModelsResponse)
        told = {"model_type": "llm", "provider_id": "s", "provider_resource_id": "star"}
        model = {"id": "star", "object": "model", "created": 1, "owned_by": "s", "custom_metadata": told}
        return Payload.of(ListModelsResponse.model_validate({"object": "list", "data": [model]}))

    async def create_chat_completion(
        self, ctx: RequestContext, request: Request[CreateChatCompletionRequest, NoParams]
    ) -> Payload[CreateChatCompletionResponse] | Stream[CreateChatCompletionStreamResponse]:
        """Says hello."""
        if request.body.model != "star":
            raise ModelNotFound("There is only star.", param="model")
        if not ALIVE:
            raise RuntimeError("it has no voice")
        head = {"id": "c", "created": 1, "model": "star"}
        if request.body.stream is True:
            return Stream.of(self._pieces(head))
        message = {"role": "assistant", "content": "Hello!", "refusal": None}
        choice = {"index": 0, "finish_reason": "stop", "logprobs": None, "message": message}
        body = {**head, "object": "chat.completion", "choices": [choice]}
        return Payload.of(CreateChatCompletionResponse.model_validate(body))

    async def _pieces(self, head: dict[str, object]) -> AsyncGenerator[CreateChatCompletionStreamResponse]:
        for content, finish in (("Hello!", None), ("", "stop")):
            choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
            body = {**head, "object": "chat.completion.chunk", "choices": [choice]}
            yield CreateChatCompletionStreamResponse.model_validate(body)
            if self._wrong == "stream-hangs":
                await asyncio.sleep(3600)


async def create(config: InlineStarlingConfig, deps: Deps) -> Inference:
    """Called once at start-up."""
    return Starling(config.wrong)
