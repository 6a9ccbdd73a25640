"""What another server's model list says, and what kind of model each entry is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast

ModelType = Literal["llm", "embedding", "rerank"]

# Where servers state a model's kind: Together and LM Studio `type`, Xinference `model_type`, Hugging Face
# servers `task` or `pipeline_tag`, another specstack `custom_metadata.model_type`.
_STATED = ("model_type", "type", "task", "pipeline_tag")
_RERANK = re.compile(r"rerank|cross-encoder|text-ranking", re.IGNORECASE)
_EMBEDDING = re.compile(
    r"embed|feature-extraction|sentence-similarity|minilm|(^|[/_:-])(bge|gte|e5|sbert)([/_:.-]|$)",
    re.IGNORECASE,
)
_GENERATES = re.compile(
    r"^(llm|vlm|chat|language|code|completions?|text-generation|image-text-to-text)$", re.IGNORECASE
)


def entries(found: object) -> Iterator[dict[str, Any]]:
    """The model objects of a list reply: `{"data": […]}`, `{"models": […]}` or a bare list.

    Entries that are no objects or have no `id` (or, as Ollama, `model`) are left out.
    """
    rows: object = found
    if isinstance(found, dict):
        reply = cast(dict[str, Any], found)
        rows = reply.get("data", reply.get("models"))
    if not isinstance(rows, list):
        return
    for row in cast(list[object], rows):
        if not isinstance(row, dict):
            continue
        entry = cast(dict[str, Any], row)
        name = entry.get("id", entry.get("model"))
        if isinstance(name, str) and name:
            yield {**entry, "id": name}


def model_type(entry: Mapping[str, Any]) -> ModelType:
    """The kind of a listed model.

    What the server states counts first; servers that state nothing (OpenAI, vLLM, most others) leave
    only the id: one that speaks of reranking or embedding, or belongs to a family known for it, is
    taken for such a model and every other for an `llm`. Register a model to say otherwise.
    """
    for value in _statements(entry):
        if _RERANK.search(value):
            return "rerank"
        if _EMBEDDING.search(value):
            return "embedding"
        if _GENERATES.search(value):
            return "llm"
    name = str(entry["id"])
    if _RERANK.search(name):
        return "rerank"
    return "embedding" if _EMBEDDING.search(name) else "llm"


def _statements(entry: Mapping[str, Any]) -> Iterator[str]:
    inner: object = entry.get("custom_metadata")
    nested = cast(Mapping[str, Any], inner) if isinstance(inner, Mapping) else entry
    for source in (nested, entry):
        for field in _STATED:
            value = source.get(field)
            if isinstance(value, str):
                yield value
