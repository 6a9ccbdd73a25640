"""The rerank form that Cohere, Jina, vLLM and others share, to and from ours."""

from __future__ import annotations

import json
import math
from typing import Any, cast

from specstack_api.errors import UnsupportedContent
from specstack_api.models.inference import ChatCompletionRequestMessageContentPartText, RerankRequest
from specstack_wire import is_given


def asked(body: RerankRequest) -> bytes:
    """The upstream's request: `documents` and `top_n`. Unknown fields travel on.

    Raises UnsupportedContent for an image: the common form has texts alone.
    """
    wanted: dict[str, Any] = {
        **(body.model_extra or {}),
        "model": body.model,
        "query": _text(body.query, "query"),
        "documents": [_text(item, f"items.{i}") for i, item in enumerate(body.items)],
    }
    if is_given(body.max_num_results):
        wanted["top_n"] = body.max_num_results
    return json.dumps(wanted).encode()


def _text(content: Any, param: str) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, ChatCompletionRequestMessageContentPartText):
        return content.text
    raise UnsupportedContent(
        "This provider reranks texts only; send the image's description instead.", param=param
    )


def ranked(found: object, count: int, limit: int | None) -> bytes | None:
    """Our reply, best first and at most `limit` items, or None if `found` is no ranking of `count` items.

    Reads `results` (Cohere, Jina, vLLM), `data` (Voyage) and a bare list (text-embeddings-inference), each
    item with `relevance_score` or `score`.
    """
    rows = found
    if isinstance(found, dict):
        reply = cast(dict[str, Any], found)
        rows = reply.get("results", reply.get("data"))
    if not isinstance(rows, list):
        return None
    data: list[dict[str, Any]] = []
    for row in cast(list[object], rows):
        item = cast(dict[str, Any], row) if isinstance(row, dict) else {}
        index, score = item.get("index"), item.get("relevance_score", item.get("score"))
        if type(index) is not int or not 0 <= index < count or not _is_number(score):
            return None
        data.append({"index": index, "relevance_score": score})
    data.sort(key=lambda item: (-item["relevance_score"], item["index"]))
    return json.dumps({"data": data[:limit]}).encode()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
