"""inline::embeddings by recordings of its real model, called as the server calls it."""

import base64
import json
import math
import struct
from typing import Any

import pytest

from specstack_api.errors import ModelNotFound, UnsupportedContent, UnsupportedParameter
from specstack_api.models.inference import CreateEmbeddingRequest, RerankRequest
from specstack_wire import ApiError, Request
from support.calls import received
from support.embeddings import CTX, SENTENCES, cosine, embed, embedding, made, vectors

from .conftest import make_deps

# -- vectors -----------------------------------------------------------------------------------------------


async def test_reply_has_openais_shape_and_fits_the_generated_model(embeddings: Any) -> None:
    reply = await embeddings.create_embedding(CTX, embedding(["hello world", "hi"]))
    raw = json.loads(reply.raw)
    assert set(raw) == {"object", "model", "data", "usage"}
    assert (raw["object"], raw["model"]) == ("list", "mini")
    assert [set(row) for row in raw["data"]] == [{"object", "index", "embedding"}] * 2
    assert [(row["object"], row["index"]) for row in raw["data"]] == [("embedding", 0), ("embedding", 1)]
    # [CLS] hello world [SEP] and [CLS] hi [SEP]
    assert raw["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    assert len(reply.body.data[0].embedding) == 384
    assert json.loads(reply.replacing("model", "embeddings/mini").raw) == {**raw, "model": "embeddings/mini"}


async def test_alike_texts_are_closer_and_vectors_have_length_one(embeddings: Any) -> None:
    bread, food, car = await vectors(
        embeddings, ["fresh bread", "a loaf from the bakery", "a red sports car"]
    )
    assert cosine(bread, food) > cosine(bread, car) + 0.2
    for vector in (bread, food, car):
        assert math.isclose(cosine(vector, vector), 1.0, abs_tol=1e-5)


async def test_known_pairs_score_as_the_original_model_scores_them(embeddings: Any) -> None:
    """Figures of sentence-transformers with the same weights at full precision."""
    first, second = await vectors(
        embeddings, ["How do I reset my password?", "I forgot my login credentials"]
    )
    assert cosine(first, second) > 0.5


async def test_base64_holds_exactly_the_floats(embeddings: Any) -> None:
    numbers = await embed(embeddings, SENTENCES)
    packed = await embed(embeddings, SENTENCES, encoding_format="base64")
    for as_list, as_text in zip(numbers["data"], packed["data"], strict=True):
        data = base64.b64decode(as_text["embedding"], validate=True)
        assert data == struct.pack("<384f", *as_list["embedding"])
    assert numbers["usage"] == packed["usage"]


async def test_an_empty_text_has_a_vector(embeddings: Any) -> None:
    reply = await embed(embeddings, "")
    vector = reply["data"][0]["embedding"]
    assert math.isclose(cosine(vector, vector), 1.0, abs_tol=1e-5)
    assert reply["usage"]["prompt_tokens"] == 2


async def test_own_length_of_vector_may_be_asked_for(embeddings: Any) -> None:
    assert len((await embed(embeddings, "x", dimensions=384, user="me"))["data"][0]["embedding"]) == 384


# -- long inputs -------------------------------------------------------------------------------------------


async def test_long_texts_are_cut_and_usage_counts_what_is_left(embeddings: Any) -> None:
    start = "river " * 254
    cut = await embed(embeddings, start + "volcano " * 500)
    whole = await embed(embeddings, start)
    longer = await embed(embeddings, start[:-12] + "volcano " * 500)
    assert cut["usage"]["prompt_tokens"] == whole["usage"]["prompt_tokens"] == 256
    assert cut["data"][0]["embedding"] == whole["data"][0]["embedding"]
    assert longer["data"][0]["embedding"] != whole["data"][0]["embedding"]


async def test_max_tokens_of_the_config_counts(recorder: Any, embedding_packages: None) -> None:
    short = await made(make_deps("embeddings", recorder=recorder), threads=1, max_tokens=8)
    try:
        assert (await embed(short, "one two three four five six seven"))["usage"]["prompt_tokens"] == 8
        one, other = await vectors(
            short, ["one two three four five six", "one two three four five six seven"]
        )
        assert one == pytest.approx(other, abs=1e-6)
    finally:
        await short.stop()


# -- reranking ---------------------------------------------------------------------------------------------


async def rerank(embeddings: Any, query: object, items: list[Any], **fields: Any) -> list[tuple[int, float]]:
    request = received(RerankRequest, model="mini", query=query, items=items, **fields)
    reply = json.loads((await embeddings.rerank(CTX, request)).raw)
    assert set(reply) == {"data"}
    return [(row["index"], row["relevance_score"]) for row in reply["data"]]


async def test_rerank_puts_the_best_first_and_scores_are_cosines(embeddings: Any) -> None:
    items = ["The stock market fell.", "A kitten sleeps on the sofa.", "My cat naps all day.", ""]
    query = "a sleeping cat"
    found = await rerank(embeddings, query, items)
    assert {found[0][0], found[1][0]} == {1, 2}
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    asked, *known = await vectors(embeddings, [query, *items])
    for index, score in found:
        assert score == pytest.approx(cosine(asked, known[index]), abs=1e-4)


async def test_rerank_reads_text_parts_and_counts_results(embeddings: Any) -> None:
    part = {"type": "text", "text": "a cat"}
    items = ["tax law", {"type": "text", "text": "a small cat"}, "a cat"]
    assert [index for index, _ in await rerank(embeddings, part, items, max_num_results=2)] == [2, 1]
    assert len(await rerank(embeddings, part, items, max_num_results=9)) == 3


async def test_equal_items_keep_their_order(embeddings: Any) -> None:
    assert [index for index, _ in await rerank(embeddings, "cat", ["dog", "cat", "cat"])] == [1, 2, 0]


# -- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "fields", "error", "param"),
    [
        ([101, 102], {}, UnsupportedContent, "input"),
        ([[101], [102]], {}, UnsupportedContent, "input"),
        ("x", {"dimensions": 100}, UnsupportedParameter, "dimensions"),
        ("x", {"model": "maxi"}, ModelNotFound, "model"),
    ],
)
async def test_what_it_cannot_do_is_refused(
    embeddings: Any, texts: Any, fields: dict[str, Any], error: type[ApiError], param: str
) -> None:
    request = received(CreateEmbeddingRequest, **{"model": "mini", "input": texts, **fields})
    with pytest.raises(error) as caught:
        await embeddings.create_embedding(CTX, request)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("query", "items", "param"), [("image", ["x"], "query"), ("x", ["x", "image"], "items.1")]
)
async def test_images_are_refused(embeddings: Any, query: str, items: list[str], param: str) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    parts = [image if item == "image" else item for item in (query, *items)]
    with pytest.raises(UnsupportedContent) as caught:
        await rerank(embeddings, parts[0], parts[1:])
    assert (caught.value.code, caught.value.param) == ("unsupported_content", param)


# -- what it tells of itself ---------------------------------------------------------------------------------


async def test_list_models_tells_type_and_dimensions(embeddings: Any) -> None:
    (model,) = json.loads((await embeddings.list_models(CTX, Request[None].of(None))).raw)["data"]
    assert (model["id"], model["object"], model["owned_by"]) == ("mini", "model", "embeddings")
    assert model["custom_metadata"] == {
        "model_type": "embedding",
        "dimensions": 384,
        "context_length": 256,
        "provider_id": "embeddings",
        "provider_resource_id": "mini",
    }
