"""inline::embeddings at work, always with the real model: batches, cutting, threads, cancelling, its end."""

import asyncio
import base64
import gc
import itertools
import struct
import time
import weakref
from pathlib import Path
from typing import Any

import pytest

from specstack_api.errors import ModelUnavailable, Overloaded
from specstack_providers.inline.inference import embed_workers
from support.embeddings import SENTENCES, cosine, embed, made, vectors

from .conftest import make_deps

pytestmark = [pytest.mark.live, pytest.mark.model]


async def test_a_batch_gives_what_single_requests_give_in_the_order_of_the_inputs(
    live_embeddings: Any,
) -> None:
    texts = SENTENCES * 9
    together = await vectors(live_embeddings, texts)
    alone = {text: (await vectors(live_embeddings, text))[0] for text in SENTENCES}
    for text, vector in zip(texts, together, strict=True):
        assert vector == pytest.approx(alone[text], abs=1e-4)
    assert cosine(alone[SENTENCES[0]], alone[SENTENCES[1]]) < 0.5


async def test_max_tokens_beyond_the_model_is_refused_at_start(embedding_files: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"cannot read 600 tokens.*`max_tokens` too high"):
        await made(make_deps(), threads=1, max_tokens=600)


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
async def test_reading_only_the_beginning_changes_nothing(
    live_embeddings: Any, embedding_files: Path, text: str
) -> None:
    from tokenizers import Tokenizer

    reference = Tokenizer.from_file(str(embedding_files / "tokenizer.json"))
    reference.no_padding()
    reference.enable_truncation(256)
    model = live_embeddings._embedders["mini"].model
    assert model.tokens([text, "short"]) == [reference.encode(text).ids, reference.encode("short").ids]


@pytest.mark.slow
async def test_two_thousand_texts_leave_the_loop_and_others_free(live_embeddings: Any) -> None:
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
            await embed(live_embeddings, "a short one")
            waits.append(time.perf_counter() - before)

    background = [asyncio.ensure_future(beat()), asyncio.ensure_future(others())]
    began = time.perf_counter()
    reply = await embed(live_embeddings, texts, encoding_format="base64")
    took = time.perf_counter() - began
    for task in background:
        task.cancel()
    assert [row["index"] for row in reply["data"]] == list(range(2048))
    single = await embed(live_embeddings, texts[1234], encoding_format="base64")
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
    live_embeddings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = live_embeddings._embedders["mini"]
    batches = itertools.count()
    compute = embedder.model.vectors

    def counted(batch: Any) -> Any:
        next(batches)
        return compute(batch)

    monkeypatch.setattr(embedder.model, "vectors", counted)
    task = asyncio.ensure_future(embed(live_embeddings, ["river " * 100] * 1000))
    while live_embeddings._workers.requests and next(batches) < 3:
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert live_embeddings._workers.requests == 0
    at_cancel = next(batches)
    await embed(live_embeddings, "the threads are free again")
    assert next(batches) - at_cancel <= 5
    assert at_cancel < 100


async def test_too_many_requests_are_refused(live_embeddings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed_workers, "MOST_REQUESTS", 2)
    results = await asyncio.gather(
        *(embed(live_embeddings, "one of many") for _ in range(5)), return_exceptions=True
    )
    refused = [one for one in results if isinstance(one, Overloaded)]
    assert len(refused) == 3
    assert len([one for one in results if isinstance(one, dict)]) == 2
    assert int(refused[0].headers["retry-after"]) > 0
    assert (await live_embeddings.health()).status == "ok"


async def test_health_is_what_the_model_does_now(
    live_embeddings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await live_embeddings.health()).status == "ok"

    def broken(batch: Any) -> Any:
        raise RuntimeError("bad weights")

    with monkeypatch.context() as patch:
        patch.setattr(live_embeddings._embedders["mini"].model, "vectors", broken)
        health = await live_embeddings.health()
    assert (health.status, health.message) == ("error", "model mini fails: RuntimeError: bad weights")
    assert (await live_embeddings.health()).status == "ok"


async def test_stop_frees_the_model_and_refuses_what_comes_later(embedding_files: Path) -> None:
    short = await made(make_deps(), threads=1)
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
