"""The messages of a stored request, as the list of messages shows them."""

from typing import Any, cast

from pydantic_core import from_json

Json = dict[str, Any]

_SHOWN_PARTS = ("text", "image_url")
_LEFT_OUT = ("content", "audio")


def messages_of(completion_id: str, request: bytes) -> list[Json]:
    """The messages in their order, each with its id: the completion's and its number."""
    body = from_json(request)
    messages = cast(Json, body).get("messages") if isinstance(body, dict) else None
    found = cast("list[Any]", messages) if isinstance(messages, list) else []
    return [
        _shown(f"{completion_id}-{number}", cast(Json, message))
        for number, message in enumerate(found)
        if isinstance(message, dict)
    ]


def _shown(message_id: str, message: Json) -> Json:
    shown: Json = {"id": message_id, "refusal": None}
    shown.update((name, value) for name, value in message.items() if name not in _LEFT_OUT)
    content = message.get("content")
    parts = None
    if isinstance(content, list):
        given = [cast(Json, part) for part in cast("list[Any]", content) if isinstance(part, dict)]
        parts = [part for part in given if part.get("type") in _SHOWN_PARTS]
        refusals = [part["refusal"] for part in given if part.get("type") == "refusal"]
        if refusals and shown["refusal"] is None:
            shown["refusal"] = "".join(refusals)
        content = None
    return {**shown, "content": content, "content_parts": parts}
