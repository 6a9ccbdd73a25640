"""Other servers, and what a provider is given to call them.

`far` is a loopback server over real sockets that a test scripts. `chat_server` and `embedding_server` are
llama.cpp's own, which recordings speak for unless --inference-mode says otherwise.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from specstack.upstream import UpstreamPool
from specstack_api.protocols.inference import Inference
from specstack_server.provider_registry import PROVIDERS
from specstack_wire import Deps, RequestContext
from support.llama_server import running
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
async def pool() -> AsyncIterator[UpstreamPool]:
    found = UpstreamPool()
    yield found
    await found.aclose()


@pytest.fixture
def deps(tmp_path: Path, pool: UpstreamPool) -> Deps:
    return Deps(
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


@pytest.fixture
def far() -> Iterator[LoopbackUpstream]:
    with LoopbackUpstream.running() as upstream:
        yield upstream


@asynccontextmanager
async def builder(deps: Callable[[str], Deps]) -> AsyncIterator[Make]:
    """Builds a started provider from the registry, as the resolver does, and stops it afterwards."""
    started: list[Inference] = []

    async def build(provider_type: str, **config: Any) -> Inference:
        spec = PROVIDERS["inference", provider_type]
        module, _, name = spec.config.partition(":")
        settings = getattr(importlib.import_module(module), name).model_validate(config)
        provider: Inference = await importlib.import_module(spec.module).create(settings, deps(provider_type))
        await provider.start()
        started.append(provider)
        return provider

    yield build
    for provider in started:
        await provider.stop()


@pytest.fixture
async def make(deps: Deps) -> AsyncIterator[Make]:
    """Providers of the scripted server."""
    async with builder(lambda _: deps) as build:
        yield build


@pytest.fixture
async def make_recorded(deps: Deps, pool: UpstreamPool, recorder: Any) -> AsyncIterator[Make]:
    """Providers of the recorded server, each with recordings under the name of its type."""

    def of(provider_type: str) -> Deps:
        name = provider_type.partition("::")[2]
        if recorder is None:
            return replace(deps, provider_id=name)
        return replace(
            deps,
            provider_id=name,
            upstream=lambda settings: recorder.upstream(name, settings, pool.open(settings)),
        )

    async with builder(of) as build:
        yield build


@pytest.fixture(scope="module")
def chat_server(inference_mode: str) -> Iterator[str]:
    """The address of a llama.cpp server that talks."""
    with running(inference_mode) as address:
        yield address


@pytest.fixture(scope="module")
def embedding_server(inference_mode: str) -> Iterator[str]:
    """The address of a llama.cpp server that makes vectors."""
    with running(inference_mode, embedding=True) as address:
        yield address


@pytest.fixture
def ctx() -> RequestContext:
    return RequestContext(request_id="req_test")
