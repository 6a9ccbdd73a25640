"""Fixtures with real weights. They skip, with the reason, where engine or weights cannot be had."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from specstack_api.provider_config.inference.inline_llama_cpp import InlineLlamaCppConfig
from specstack_providers.model_store import ModelStore, WeightsUnavailable, default_cache_dir
from specstack_wire import Deps
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


def make_deps(name: str = "embedded", cache_dir: Path | None = None) -> Deps:
    def no_upstream(settings: Any) -> Any:
        raise AssertionError("an embedded provider calls no other server")

    log = logging.getLogger(f"specstack.providers.{name}")
    cache = cache_dir or default_cache_dir()
    return Deps(name, {}, {}, no_upstream, CountedIds(), StoppedClock(), log, cache, no_storage())


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


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def llama(chat_weights: Path) -> AsyncIterator[Any]:
    """inline::llama-cpp with one chat model, three slots and one thread."""
    from specstack_providers.inline.inference.llama_cpp import create

    config = InlineLlamaCppConfig.model_validate(
        {
            "models": [{"model_id": "smol", "path": str(chat_weights)}],
            "threads": 1,
            "batch_threads": 1,
            "slots": 3,
            "context_length": 1024,
            "max_tokens": 40,
        }
    )
    provider = await create(config, make_deps("llama-cpp"))
    await provider.start()
    yield provider
    await provider.stop()
