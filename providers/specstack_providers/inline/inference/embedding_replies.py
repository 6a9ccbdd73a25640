"""Embeddings replies in OpenAI's shape."""

import base64
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from specstack_api.errors import UnsupportedParameter

Json = dict[str, Any]


def check_dimensions(body: Mapping[str, Any], own: int) -> None:
    """Raises `UnsupportedParameter` when other than the model's own length of vector is asked for."""
    asked = body.get("dimensions")
    if asked is not None and asked != own:
        raise UnsupportedParameter(
            f"this model's vectors have {own} numbers and cannot be cut to {asked} and keep their meaning",
            param="dimensions",
        )


def embeddings_reply(model: str, vectors: Sequence[Sequence[float]], tokens: int, encoding: object) -> Json:
    """The reply. `encoding` is `base64` (little-endian 32-bit floats) or anything else for numbers."""
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": packed(vector) if encoding == "base64" else list(vector),
        }
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "model": model, "data": data, "usage": usage}


def packed(vector: Sequence[float]) -> str:
    """The vector as Base64 of its little-endian 32-bit floats."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
