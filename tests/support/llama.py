"""Calls of an embedded llama.cpp provider, as the server makes them, and their replies as JSON."""

import json
from typing import Any

from specstack_api.models.inference import (
    CreateChatCompletionRequest,
    CreateCompletionRequest,
    CreateEmbeddingRequest,
)
from specstack_wire import Payload, Request, RequestContext, Stream

CTX = RequestContext(request_id="test")


def function(name: str, description: str, **arguments: str) -> dict[str, Any]:
    properties = {key: {"type": kind} for key, kind in arguments.items()}
    schema = {"type": "object", "properties": properties, "required": list(arguments)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


TOOLS = [
    function("get_weather", "Get the current weather in a city.", city="string"),
    function("add_numbers", "Add two numbers.", a="number", b="number"),
]


SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 12},
        "size": {"enum": ["small", "big"]},
        "river": {"type": "boolean"},
    },
    "required": ["city", "size", "river"],
    "additionalProperties": False,
}


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def chat_request(text: str | list[Any], **fields: Any) -> Request[Any]:
    body = {
        "model": "smol",
        "messages": user(text) if isinstance(text, str) else text,
        "temperature": 0,
        "max_completion_tokens": 24,
        **fields,
    }
    return Request.from_raw(json.dumps(body).encode(), CreateChatCompletionRequest)


def read(payload: Payload[Any]) -> dict[str, Any]:
    """The reply as JSON, after it has passed the spec's model."""
    assert payload.body is not None
    return json.loads(payload.raw)


async def chat(llama: Any, text: str | list[Any], **fields: Any) -> dict[str, Any]:
    return read(await llama.create_chat_completion(CTX, chat_request(text, **fields)))


async def chunks_of(stream: Stream[Any]) -> list[dict[str, Any]]:
    return [read(event) async for event in stream]


async def chat_stream(llama: Any, text: str | list[Any], **fields: Any) -> list[dict[str, Any]]:
    return await chunks_of(await llama.create_chat_completion(CTX, chat_request(text, stream=True, **fields)))


async def complete(llama: Any, prompt: Any, **fields: Any) -> Any:
    body = {"model": "smol", "prompt": prompt, "temperature": 0, "max_tokens": 6, **fields}
    raw = json.dumps(body).encode()
    reply = await llama.create_completion(CTX, Request.from_raw(raw, CreateCompletionRequest))
    return await chunks_of(reply) if isinstance(reply, Stream) else read(reply)


def text_in(chunks: list[dict[str, Any]], index: int = 0) -> str:
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
    return "".join(delta.get("content") or "" for delta in deltas)


async def embed(llama: Any, **body: Any) -> dict[str, Any]:
    raw = json.dumps({"model": "e", **body}).encode()
    return read(await llama.create_embedding(CTX, Request.from_raw(raw, CreateEmbeddingRequest)))
