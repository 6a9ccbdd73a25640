"""What a provider is given and what it may implement besides its API."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from specstack_wire.callouts import DIRECT, CallOuts
from specstack_wire.kv import KVStore
from specstack_wire.upstream import Upstream, UpstreamSettings


@dataclass(slots=True, frozen=True)
class Health:
    """A provider's state. `unknown` means that the provider does not check."""

    status: Literal["ok", "error", "unknown"]
    message: str = ""


@runtime_checkable
class Provider(Protocol):
    """Base of every generated Protocol. A provider overrides what it needs."""

    async def start(self) -> None:
        """Called once before the first request, within the start-up time limit."""

    async def stop(self) -> None:
        """Called once at shutdown, after the last request."""

    async def health(self) -> Health:
        """The provider's state now. Must be honest and quick."""
        return Health("unknown")


class Ids(Protocol):
    """The only source of new identifiers, so that a replay can repeat them."""

    def new(self, prefix: str) -> str:
        """A fresh identifier that starts with `prefix`."""
        ...


class Clock(Protocol):
    """The only source of time for anything a client can see."""

    def now(self) -> float:
        """Unix time in seconds."""
        ...

    def created(self) -> int:
        """Unix time in whole seconds, for `created` fields."""
        ...


@dataclass(slots=True, frozen=True)
class Deps:
    """What `create(config, deps)` gets: everything a provider may use of the server.

    `apis` are the APIs that its spec requires (optional ones are absent when not served);
    `siblings` are the other providers of its own API by id; `upstream` opens a client for
    another server; `cache_dir` is for data that can be fetched or made again; `kv` is a namespace of
    this provider for data that must stay, shared with the other processes that run it. What the provider
    asks of a model in this process, or of a vendor's package, goes through `calls`, so that it can be
    recorded and replayed; `upstream` does that by itself.
    """

    provider_id: str
    apis: Mapping[str, Any]
    siblings: Mapping[str, Any]
    upstream: Callable[[UpstreamSettings], Upstream]
    ids: Ids
    clock: Clock
    log: logging.Logger
    cache_dir: Path
    kv: KVStore
    calls: CallOuts = DIRECT
