"""Embedded models, twice: answered by recordings (`llama`), and the engine itself (`live_llama`).

Tests of what a model says use the first, and need neither engine nor weights while recordings answer. Tests
of how the engine runs use the second, are marked `live`, and skip where engine or weights cannot be had.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from specstack_api.provider_config.inference.inline_llama_cpp import InlineLlamaCppConfig
from specstack_providers.model_store import ModelStore, WeightsUnavailable, default_cache_dir
from specstack_wire import DIRECT, Deps
from support.embeddings import STORED, made
from support.storage import no_storage

CHAT = "smollm2-135m-instruct"


class CountedIds:
    def __init__(self) -> None:
        self.count = 0

    def new(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"


class StoppedClock:
    def now(self) -> float:
        return 1_764_000_000.5

    def created(self) -> int:
        return 1_764_000_000


def make_deps(name: str = "embedded", cache_dir: Path | None = None, recorder: Any = None) -> Deps:
    """What the server would give a provider; with a recorder, its calls are recorded or replayed."""

    def no_upstream(settings: Any) -> Any:
        raise AssertionError("an embedded provider calls no other server")

    return Deps(
        provider_id=name,
        apis={},
        siblings={},
        upstream=no_upstream,
        ids=CountedIds(),
        clock=StoppedClock(),
        log=logging.getLogger(f"specstack.providers.{name}"),
        cache_dir=cache_dir or default_cache_dir(),
        kv=no_storage(),
        calls=DIRECT if recorder is None else recorder.calls(name),
    )


def weights(name: str) -> Path:
    """The main file of a stored model, fetched once; skips when it cannot be."""
    try:
        return ModelStore().pull(name)
    except WeightsUnavailable as error:
        pytest.skip(f"no weights: {error.message}")


@pytest.fixture(scope="session")
def chat_weights() -> Path:
    pytest.importorskip("xllamacpp", reason="the extra `llama-cpp` is not installed")
    return weights(CHAT)


@pytest.fixture(scope="session")
def asked_weights(request: pytest.FixtureRequest, inference_mode: str) -> Path:
    """The weights of models behind a recorder, which nobody opens where recordings answer."""
    return Path("nowhere.gguf") if inference_mode == "replay" else request.getfixturevalue("chat_weights")


async def started(recorder: Any, name: str, **config: Any) -> Any:
    """A provider of type inline::llama-cpp that is ready."""
    from specstack_providers.inline.inference.llama_cpp import create

    settings = InlineLlamaCppConfig.model_validate({"threads": 1, "batch_threads": 1, **config})
    provider = await create(settings, make_deps(name, recorder=recorder))
    await provider.start()
    return provider


def chat_config(weights: Path) -> dict[str, Any]:
    """One chat model on three slots."""
    models = [{"model_id": "smol", "path": str(weights)}]
    return {"models": models, "slots": 3, "context_length": 1024, "max_tokens": 40}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def llama(recorder: Any, asked_weights: Path) -> AsyncIterator[Any]:
    """A chat model that recordings speak for, unless --inference-mode says otherwise."""
    provider = await started(recorder, "llama-cpp", **chat_config(asked_weights))
    yield provider
    await provider.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def live_llama(chat_weights: Path) -> AsyncIterator[Any]:
    """The same model, always the real one."""
    provider = await started(None, "llama-cpp", **chat_config(chat_weights))
    yield provider
    await provider.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def embedder(recorder: Any, asked_weights: Path) -> AsyncIterator[Any]:
    """The chat model as a model for vectors, by recordings as well."""
    model = {"model_id": "e", "path": str(asked_weights), "embedding": True, "context_length": 256}
    provider = await started(recorder, "llama-embedder", models=[model], slots=2)
    yield provider
    await provider.stop()


@pytest.fixture(scope="session")
def embedding_packages() -> None:
    """Skips where the packages of inline::embeddings are not installed."""
    for package in ("numpy", "onnxruntime", "tokenizers"):
        pytest.importorskip(package, reason="the extra `embeddings` is not installed")


@pytest.fixture(scope="session")
def embedding_files(embedding_packages: None) -> Path:
    """The folder of the real embedding model."""
    return weights(STORED).parent


@pytest.fixture(scope="session")
def embeddings(recorder: Any, embedding_packages: None) -> Iterator[Any]:
    """inline::embeddings that recordings speak for, unless --inference-mode says otherwise."""
    provider = asyncio.run(made(make_deps("embeddings", recorder=recorder), threads=2))
    yield provider
    asyncio.run(provider.stop())


@pytest.fixture(scope="session")
def live_embeddings(embedding_files: Path) -> Iterator[Any]:
    """The same with its model, always the real one."""
    provider = asyncio.run(made(make_deps("embeddings"), threads=2))
    yield provider
    asyncio.run(provider.stop())
