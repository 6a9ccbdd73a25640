"""What kind of model an entry of a server's list is."""

import pytest

from specstack_providers.remote.inference.discovery import entries, model_type


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ({"id": "gpt-5"}, "llm"),
        ({"id": "llama3.2:3b"}, "llm"),
        ({"id": "text-embedding-3-small"}, "embedding"),
        ({"id": "nomic-embed-text"}, "embedding"),
        ({"id": "BAAI/bge-m3"}, "embedding"),
        ({"id": "intfloat/e5-large-v2"}, "embedding"),
        ({"id": "all-minilm:22m"}, "embedding"),
        ({"id": "BAAI/bge-reranker-v2-m3"}, "rerank"),
        ({"id": "cross-encoder/ms-marco"}, "rerank"),
        ({"id": "org/gemma-3:e4b"}, "llm"),
        ({"id": "bigtextmodel"}, "llm"),
        ({"id": "x", "type": "embeddings"}, "embedding"),
        ({"id": "x", "model_type": "rerank"}, "rerank"),
        ({"id": "x", "task": "feature-extraction"}, "embedding"),
        ({"id": "embedded-systems-coder", "type": "chat"}, "llm"),
        ({"id": "x", "type": "model"}, "llm"),
        ({"id": "e", "custom_metadata": {"model_type": "rerank"}, "type": "llm"}, "rerank"),
        ({"id": "x", "custom_metadata": "embedding", "type": 5}, "llm"),
    ],
)
def test_model_type(entry: dict[str, object], kind: str) -> None:
    assert model_type(entry) == kind


@pytest.mark.parametrize(
    "found",
    [
        {"object": "list", "data": [{"id": "a"}, {"id": ""}, {"name": "b"}, "c", {"id": "d", "created": 5}]},
        {"models": [{"model": "a", "name": "a"}, {"id": "d"}]},
        [{"id": "a"}, None, {"id": "d"}],
    ],
)
def test_lists_of_all_forms(found: object) -> None:
    assert [entry["id"] for entry in entries(found)] == ["a", "d"]


@pytest.mark.parametrize("found", [{}, {"data": None}, {"data": "x"}, None, "x", 5])
def test_no_list(found: object) -> None:
    assert list(entries(found)) == []
