"""A loopback model server over real sockets, and what a provider is given to call it."""

from __future__ import annotations

import importlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from specstack.upstream import UpstreamPool
from specstack_api.protocols.inference import Inference
from specstack_server.provider_registry import PROVIDERS
from specstack_wire import Deps, RequestContext
from support.loopback_upstream import LoopbackUpstream
from support.storage import no_storage

Make = Callable[..., Awaitable[Inference]]


class FixedIds:
    def new(self, prefix: str) -> str:
        return f"{prefix}fixed"


class FixedClock:
    def now(self) -> float:
        return 1_700_000_000.0

    def created(self) -> int:
        return 1_700_000_000


@pytest.fixture
async def deps(tmp_path: Path) -> AsyncIterator[Deps]:
    pool = UpstreamPool()
    yield Deps(
        provider_id="far",
        apis={},
        siblings={},
        upstream=pool.open,
        ids=FixedIds(),
        clock=FixedClock(),
        log=logging.getLogger("test"),
        cache_dir=tmp_path,
        kv=no_storage(),
    )
    await pool.aclose()


@pytest.fixture
def far() -> Iterator[LoopbackUpstream]:
    with LoopbackUpstream.running() as upstream:
        yield upstream


@pytest.fixture
async def make(deps: Deps) -> AsyncIterator[Make]:
    """Builds a started provider from the registry, as the resolver does, and stops it afterwards."""
    started: list[Inference] = []

    async def build(provider_type: str, **config: Any) -> Inference:
        spec = PROVIDERS["inference", provider_type]
        module, _, name = spec.config.partition(":")
        settings = getattr(importlib.import_module(module), name).model_validate(config)
        provider: Inference = await importlib.import_module(spec.module).create(settings, deps)
        await provider.start()
        started.append(provider)
        return provider

    yield build
    for provider in started:
        await provider.stop()


@pytest.fixture
def ctx() -> RequestContext:
    return RequestContext(request_id="req_test")
