"""What a routing table holds and gives out."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

P = TypeVar("P")

Source = Literal["config", "registered", "discovered"]
"""Who put an entry into a table: the run config, a client, or the provider that announces it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A resource that somebody wants in the table: a client, the run config or a provider.

    `identifier` is the id that requests will use, except where a provider announces it: then it is
    the provider's own id. `provider_resource_id` None means the provider knows it under `identifier`;
    `provider_id` None means the default provider.
    """

    identifier: str
    provider_id: str | None = None
    provider_resource_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A resource in the table. `created` is Unix time in seconds.

    `tenant` and `owner` are those of the client that registered it; they are no part of what it is.
    """

    identifier: str
    provider_id: str
    provider_resource_id: str
    source: Source
    created: int
    metadata: Mapping[str, Any]
    attributes: Mapping[str, str]
    tenant: str | None = field(default=None, compare=False)
    owner: str | None = field(default=None, compare=False)

    @property
    def place(self) -> tuple[str, str]:
        """The provider and its own id for the resource."""
        return self.provider_id, self.provider_resource_id


class Keeper(Protocol):
    """Where a table keeps what clients register. All but `lock` and `catch_up` is for who holds it."""

    lock: asyncio.Lock

    async def catch_up(self) -> None:
        """Take the lock and `sync`, as far as that is possible soon."""
        ...

    async def sync(self) -> None:
        """Bring in what other processes have changed, by the table's `take`."""
        ...

    async def keep(self, entry: Entry) -> bool:
        """Write an entry; False when another stands under its id."""
        ...

    async def drop(self, entry: Entry) -> None:
        """Remove an entry."""
        ...


@dataclass(frozen=True, slots=True)
class Route(Generic[P]):
    """Where a call goes. `entry` is None for an id that was never registered but names its provider."""

    provider: P
    provider_id: str
    provider_resource_id: str
    entry: Entry | None

    @property
    def resource_id(self) -> str | None:
        """The table's own id of the resource, by whatever name it was asked for."""
        return None if self.entry is None else self.entry.identifier


@dataclass(frozen=True, slots=True)
class Member(Generic[P]):
    """A provider that takes part in a table; `discovers` says whether it can list its own resources.

    `offers` are its own ids of all that it will serve; None for whatever it has.
    """

    provider: P
    discovers: bool = False
    offers: frozenset[str] | None = None
