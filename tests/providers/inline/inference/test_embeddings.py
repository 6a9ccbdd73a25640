"""inline::embeddings with its real model, called as the server calls it."""

import asyncio
import base64
import gc
import itertools
import json
import logging
import math
import os
import shutil
import struct
import time
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from specstack_api.errors import (
    InvalidValue,
    ModelNotFound,
    ModelUnavailable,
    Overloaded,
    UnsupportedContent,
    UnsupportedParameter,
)
from specstack_api.models.inference import CreateEmbeddingRequest, RerankRequest
from specstack_api.provider_config.inference.inline_embeddings import InlineEmbeddingsConfig
from specstack_providers.inline.inference import embed_workers
from specstack_providers.model_store import ModelStore, WeightsUnavailable, default_cache_dir
from specstack_wire import ApiError, Deps, Request, RequestContext
from support.calls import received
from support.storage import no_storage

pytestmark = pytest.mark.model

STORED = "all-minilm-l6-v2"
CTX = RequestContext(request_id="req_test")
SENTENCES = [
    "The bakery sells fresh bread every morning.",
    "How do I reset my password?",
    "",
    "Paris is the capital of France and has been for a very long time, apart from some interruptions.",
    "cat",
]


class Sources:
    def new(self, prefix: str) -> str:
        return f"{prefix}1"

    def now(self) -> float:
        return 1_764_000_000.5

    def created(self) -> int:
        return 1_764_000_000


def deps(cache_dir: Path | None = None) -> Deps:
    def no_upstream(settings: Any) -> Any:
        raise AssertionError("this provider calls no other server")

    log = logging.getLogger("test")
    cache = cache_dir or default_cache_dir()
    return Deps("near", {}, {}, no_upstream, Sources(), Sources(), log, cache, no_storage())


async def make(cache_dir: Path | None = None, *, start: bool = True, **config: Any) -> Any:
    from specstack_providers.inline.inference.embeddings import create

    config.setdefault("models", [{"model_id": "mini", "store": STORED}])
    provider = await create(InlineEmbeddingsConfig.model_validate(config), deps(cache_dir))
    if start:
        await provider.start()
    return provider


@pytest.fixture(scope="session")
def files() -> Path:
    """The folder of the real model. Skips only where package or weights cannot be had."""
    for package in ("numpy", "onnxruntime", "tokenizers"):
        pytest.importorskip(package, reason="the extra `embeddings` is not installed")
    try:
        return ModelStore().pull(STORED).parent
    except WeightsUnavailable as error:
        pytest.skip(f"no weights: {error.message}")


@pytest.fixture(scope="session")
def provider(files: Path) -> Iterator[Any]:
    made = asyncio.run(make(threads=2))
    yield made
    asyncio.run(made.stop())


def embedding(texts: object, **fields: Any) -> Request[Any]:
    return received(CreateEmbeddingRequest, model="mini", input=texts, **fields)


async def embed(provider: Any, texts: object, **fields: Any) -> dict[str, Any]:
    reply = await provider.create_embedding(CTX, embedding(texts, **fields))
    return json.loads(reply.raw)


async def vectors(provider: Any, texts: object) -> list[list[float]]:
    return [row["embedding"] for row in (await embed(provider, texts))["data"]]


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


# -- vectors -----------------------------------------------------------------------------------------------


async def test_reply_has_openais_shape_and_fits_the_generated_model(provider: Any) -> None:
    reply = await provider.create_embedding(CTX, embedding(["hello world", "hi"]))
    raw = json.loads(reply.raw)
    assert set(raw) == {"object", "model", "data", "usage"}
    assert (raw["object"], raw["model"]) == ("list", "mini")
    assert [set(row) for row in raw["data"]] == [{"object", "index", "embedding"}] * 2
    assert [(row["object"], row["index"]) for row in raw["data"]] == [("embedding", 0), ("embedding", 1)]
    # [CLS] hello world [SEP] and [CLS] hi [SEP]
    assert raw["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    assert len(reply.body.data[0].embedding) == 384
    assert json.loads(reply.replacing("model", "near/mini").raw) == {**raw, "model": "near/mini"}


async def test_alike_texts_are_closer_and_vectors_have_length_one(provider: Any) -> None:
    bread, food, car = await vectors(provider, ["fresh bread", "a loaf from the bakery", "a red sports car"])
    assert cosine(bread, food) > cosine(bread, car) + 0.2
    for vector in (bread, food, car):
        assert math.isclose(cosine(vector, vector), 1.0, abs_tol=1e-5)


async def test_known_pairs_score_as_the_original_model_scores_them(provider: Any) -> None:
    """Figures of sentence-transformers with the same weights at full precision."""
    first, second = await vectors(provider, ["How do I reset my password?", "I forgot my login credentials"])
    assert cosine(first, second) > 0.5


async def test_a_batch_gives_what_single_requests_give_in_the_order_of_the_inputs(provider: Any) -> None:
    texts = SENTENCES * 9
    together = await vectors(provider, texts)
    alone = {text: (await vectors(provider, text))[0] for text in SENTENCES}
    for text, vector in zip(texts, together, strict=True):
        assert vector == pytest.approx(alone[text], abs=1e-4)
    assert cosine(alone[SENTENCES[0]], alone[SENTENCES[1]]) < 0.5


async def test_base64_holds_exactly_the_floats(provider: Any) -> None:
    numbers = await embed(provider, SENTENCES)
    packed = await embed(provider, SENTENCES, encoding_format="base64")
    for as_list, as_text in zip(numbers["data"], packed["data"], strict=True):
        data = base64.b64decode(as_text["embedding"], validate=True)
        assert data == struct.pack("<384f", *as_list["embedding"])
    assert numbers["usage"] == packed["usage"]


async def test_an_empty_text_has_a_vector(provider: Any) -> None:
    reply = await embed(provider, "")
    vector = reply["data"][0]["embedding"]
    assert math.isclose(cosine(vector, vector), 1.0, abs_tol=1e-5)
    assert reply["usage"]["prompt_tokens"] == 2


async def test_own_length_of_vector_may_be_asked_for(provider: Any) -> None:
    assert len((await embed(provider, "x", dimensions=384, user="me"))["data"][0]["embedding"]) == 384


# -- long inputs -------------------------------------------------------------------------------------------


async def test_long_texts_are_cut_and_usage_counts_what_is_left(provider: Any) -> None:
    start = "river " * 254
    cut = await embed(provider, start + "volcano " * 500)
    whole = await embed(provider, start)
    longer = await embed(provider, start[:-12] + "volcano " * 500)
    assert cut["usage"]["prompt_tokens"] == whole["usage"]["prompt_tokens"] == 256
    assert cut["data"][0]["embedding"] == whole["data"][0]["embedding"]
    assert longer["data"][0]["embedding"] != whole["data"][0]["embedding"]


async def test_max_tokens_of_the_config_counts(files: Path) -> None:
    short = await make(threads=1, max_tokens=8)
    try:
        assert (await embed(short, "one two three four five six seven"))["usage"]["prompt_tokens"] == 8
        one, other = await vectors(
            short, ["one two three four five six", "one two three four five six seven"]
        )
        assert one == pytest.approx(other, abs=1e-6)
    finally:
        await short.stop()


async def test_max_tokens_beyond_the_model_is_refused_at_start(files: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"cannot read 600 tokens.*`max_tokens` too high"):
        await make(threads=1, max_tokens=600)


@pytest.mark.parametrize(
    "text",
    [
        " " * 20_000 + "a river runs",
        "x" * 30_000 + " a river runs",
        ("x" * 3_000 + " ") * 20 + "end",
        "河" * 9_000,
        "word " * 60_000,
        " " * (4096 - 520) + "a " * 250 + "qxz" * 60,
    ],
    ids=["space", "endless word", "long words", "no spaces", "words", "word at the cut"],
)
async def test_reading_only_the_beginning_changes_nothing(provider: Any, files: Path, text: str) -> None:
    from tokenizers import Tokenizer

    reference = Tokenizer.from_file(str(files / "tokenizer.json"))
    reference.no_padding()
    reference.enable_truncation(256)
    model = provider._embedders["mini"].model
    assert model.tokens([text, "short"]) == [reference.encode(text).ids, reference.encode("short").ids]


@pytest.mark.slow
async def test_two_thousand_texts_leave_the_loop_and_others_free(provider: Any) -> None:
    texts = [f"{'house ' * (i % 7)}number {i}" for i in range(2048)]
    gaps: list[float] = []
    waits: list[float] = []

    async def beat() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.01)
            gaps.append(time.perf_counter() - before)

    async def others() -> None:
        while True:
            before = time.perf_counter()
            await embed(provider, "a short one")
            waits.append(time.perf_counter() - before)

    background = [asyncio.ensure_future(beat()), asyncio.ensure_future(others())]
    began = time.perf_counter()
    reply = await embed(provider, texts, encoding_format="base64")
    took = time.perf_counter() - began
    for task in background:
        task.cancel()
    assert [row["index"] for row in reply["data"]] == list(range(2048))
    single = await embed(provider, texts[1234], encoding_format="base64")
    expected, got = (
        struct.unpack("<384f", base64.b64decode(row["embedding"]))
        for row in (single["data"][0], reply["data"][1234])
    )
    assert got == pytest.approx(expected, abs=1e-4)
    gaps.sort()
    assert gaps[int(len(gaps) * 0.95)] < 0.15
    assert len(waits) >= 3
    assert sorted(waits)[len(waits) // 2] < took / 3


# -- requests that go --------------------------------------------------------------------------------------


async def test_cancelling_a_request_drops_its_waiting_work(
    provider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = provider._embedders["mini"]
    batches = itertools.count()
    compute = embedder.model.vectors

    def counted(batch: Any) -> Any:
        next(batches)
        return compute(batch)

    monkeypatch.setattr(embedder.model, "vectors", counted)
    task = asyncio.ensure_future(embed(provider, ["river " * 100] * 1000))
    while provider._workers.requests and next(batches) < 3:
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert provider._workers.requests == 0
    at_cancel = next(batches)
    await embed(provider, "the threads are free again")
    assert next(batches) - at_cancel <= 5
    assert at_cancel < 100


async def test_too_many_requests_are_refused(provider: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed_workers, "MOST_REQUESTS", 2)
    results = await asyncio.gather(
        *(embed(provider, "one of many") for _ in range(5)), return_exceptions=True
    )
    refused = [one for one in results if isinstance(one, Overloaded)]
    assert len(refused) == 3
    assert len([one for one in results if isinstance(one, dict)]) == 2
    assert int(refused[0].headers["retry-after"]) > 0
    assert (await provider.health()).status == "ok"


# -- reranking ---------------------------------------------------------------------------------------------


async def rerank(provider: Any, query: object, items: list[Any], **fields: Any) -> list[tuple[int, float]]:
    request = received(RerankRequest, model="mini", query=query, items=items, **fields)
    reply = json.loads((await provider.rerank(CTX, request)).raw)
    assert set(reply) == {"data"}
    return [(row["index"], row["relevance_score"]) for row in reply["data"]]


async def test_rerank_puts_the_best_first_and_scores_are_cosines(provider: Any) -> None:
    items = ["The stock market fell.", "A kitten sleeps on the sofa.", "My cat naps all day.", ""]
    query = "a sleeping cat"
    found = await rerank(provider, query, items)
    assert {found[0][0], found[1][0]} == {1, 2}
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    asked, *known = await vectors(provider, [query, *items])
    for index, score in found:
        assert score == pytest.approx(cosine(asked, known[index]), abs=1e-4)


async def test_rerank_reads_text_parts_and_counts_results(provider: Any) -> None:
    part = {"type": "text", "text": "a cat"}
    items = ["tax law", {"type": "text", "text": "a small cat"}, "a cat"]
    assert [index for index, _ in await rerank(provider, part, items, max_num_results=2)] == [2, 1]
    assert len(await rerank(provider, part, items, max_num_results=9)) == 3


async def test_equal_items_keep_their_order(provider: Any) -> None:
    assert [index for index, _ in await rerank(provider, "cat", ["dog", "cat", "cat"])] == [1, 2, 0]


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
    provider: Any, texts: Any, fields: dict[str, Any], error: type[ApiError], param: str
) -> None:
    request = received(CreateEmbeddingRequest, **{"model": "mini", "input": texts, **fields})
    with pytest.raises(error) as caught:
        await provider.create_embedding(CTX, request)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("query", "items", "param"), [("image", ["x"], "query"), ("x", ["x", "image"], "items.1")]
)
async def test_images_are_refused(provider: Any, query: str, items: list[str], param: str) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    parts = [image if item == "image" else item for item in (query, *items)]
    with pytest.raises(UnsupportedContent) as caught:
        await rerank(provider, parts[0], parts[1:])
    assert (caught.value.code, caught.value.param) == ("unsupported_content", param)


# -- life --------------------------------------------------------------------------------------------------


async def test_list_models_tells_type_and_dimensions(provider: Any) -> None:
    (model,) = json.loads((await provider.list_models(CTX, Request[None].of(None))).raw)["data"]
    assert (model["id"], model["object"], model["owned_by"]) == ("mini", "model", "near")
    assert model["custom_metadata"] == {
        "model_type": "embedding",
        "dimensions": 384,
        "context_length": 256,
        "provider_id": "near",
        "provider_resource_id": "mini",
    }


async def test_health_is_what_the_model_does_now(provider: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await provider.health()).status == "ok"

    def broken(batch: Any) -> Any:
        raise RuntimeError("bad weights")

    with monkeypatch.context() as patch:
        patch.setattr(provider._embedders["mini"].model, "vectors", broken)
        health = await provider.health()
    assert (health.status, health.message) == ("error", "model mini fails: RuntimeError: bad weights")
    assert (await provider.health()).status == "ok"


async def test_stop_frees_the_model_and_refuses_what_comes_later(files: Path) -> None:
    short = await make(threads=1)
    session = weakref.ref(short._embedders["mini"].model._session)
    waiting = [asyncio.ensure_future(embed(short, ["river " * 100] * 50)) for _ in range(2)]
    await asyncio.sleep(0.05)
    await short.stop()
    for found in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(found, ModelUnavailable)
    gc.collect()
    assert session() is None
    assert (await short.health()).status == "error"
    with pytest.raises(ModelUnavailable):
        await embed(short, "x")
    await short.stop()


# -- weights -----------------------------------------------------------------------------------------------


async def refused_start(cache_dir: Path | None = None, **model: str) -> str:
    config = {"models": [{"model_id": "mini", **(model or {"store": STORED})}]}
    made = await make(cache_dir, start=False, threads=1, **config)
    with pytest.raises(ModelUnavailable) as caught:
        await made.start()
    assert (await made.health()).status == "error"
    await made.stop()
    assert "\n" not in caught.value.message
    return caught.value.message


async def test_weights_that_cannot_be_had_name_the_command(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    message = await refused_start(tmp_path)
    assert message.startswith(f"cannot fetch {STORED}")
    assert f"`specstack models pull {STORED}`" in message


async def test_damaged_weights_name_the_command(files: Path, tmp_path: Path) -> None:
    copy = tmp_path / "models" / STORED
    shutil.copytree(files, copy)
    with (copy / "model.onnx").open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"damage")
    message = await refused_start(tmp_path)
    assert "damaged" in message
    assert f"`specstack models pull {STORED}`" in message


async def test_a_folder_of_ones_own_serves_as_well(provider: Any, files: Path, tmp_path: Path) -> None:
    shutil.copytree(files, tmp_path / "own")
    own = await make(threads=1, models=[{"model_id": "mini", "path": str(tmp_path / "own")}])
    assert await vectors(own, "hello") == await vectors(provider, "hello")
    await own.stop()


@pytest.mark.parametrize(
    ("file", "says"),
    [("model.onnx", "is no ONNX model"), ("tokenizer.json", "is no tokenizer"), (None, "has no model.onnx")],
)
async def test_wrong_folders_say_what_is_wrong(
    files: Path, tmp_path: Path, file: str | None, says: str
) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    if file is not None:
        shutil.copytree(files, folder, dirs_exist_ok=True)
        (folder / file).write_bytes(b"not this")
    message = await refused_start(path=str(folder))
    assert says in message
    assert str(folder) in message


async def test_model_ids_are_unique_and_weights_have_one_source(files: Path) -> None:
    with pytest.raises(InvalidValue, match="two models have the model_id 'a'"):
        await make(models=[{"model_id": "a", "store": STORED}] * 2)
    with pytest.raises(InvalidValue, match="`path` and `store`"):
        await make(models=[{"model_id": "a"}])
