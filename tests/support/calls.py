"""Requests as the server hands them to a provider: received bytes and the model read from them."""

from __future__ import annotations

import json
from typing import Any

from specstack_api.models.inference import CreateChatCompletionRequest
from specstack_wire import Request, codec_of


def received(type_: Any, **fields: Any) -> Request[Any]:
    """A request with these body fields, for the model `echo` if they name no other."""
    raw = json.dumps({"model": "echo", **fields}).encode()
    return Request.received(raw, codec_of(type_).decode(raw), type_)


def chat(text: str = "Hello there", **fields: Any) -> Request[CreateChatCompletionRequest]:
    """A chat request with one user message."""
    return received(CreateChatCompletionRequest, messages=[{"role": "user", "content": text}], **fields)
