"""Keys and values that outlive a process: what every key-value backend does alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self, runtime_checkable

from specstack_wire.context import RequestContext
from specstack_wire.errors import ApiError


class StorageUnavailable(ApiError):
    """A storage backend cannot be reached or refuses to work. Nothing is known to have been written.

    `reason`, which is also what `str` gives, is for the log: it may name files and hosts. `message` may not,
    for clients read it.
    """

    status = 503
    type = "api_error"
    code = "storage_unavailable"

    def __init__(
        self,
        reason: str,
        *,
        message: str = "The server's storage does not answer; try again in a moment.",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, headers=headers)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose data it is. It is part of every key: the same key of another tenant or owner is another entry."""

    tenant: str = ""
    owner: str = ""

    @classmethod
    def of(cls, ctx: RequestContext) -> Self:
        """The caller's own scope. A caller without a tenant or principal has the empty one."""
        return cls(ctx.tenant or "", ctx.principal.id if ctx.principal else "")


SHARED = Scope()
"""The scope of what belongs to the server itself."""


class KVItem(NamedTuple):
    """A key and its value."""

    key: str
    value: bytes


@runtime_checkable
class KVStore(Protocol):
    """A namespace of a key-value backend.

    Keys are text of 1 to 1024 UTF-8 bytes without NUL, in the order of those bytes (that of their code
    points). Values are at most 15 MiB; text is stored as UTF-8. A `ttl` is in seconds and above 0; an
    entry whose time is over is gone for every operation. Each operation is atomic, also among processes.

    Raises ValueError for a key, value, ttl or limit outside that, and StorageUnavailable.
    """

    async def get(self, scope: Scope, key: str) -> bytes | None:
        """The value, or None."""
        ...

    async def set(self, scope: Scope, key: str, value: bytes | str, *, ttl: float | None = None) -> None:
        """Write a value, whatever was there; without `ttl` it stays until deleted."""
        ...

    async def delete(self, scope: Scope, key: str) -> bool:
        """Remove an entry; whether there was one."""
        ...

    async def scan(
        self,
        scope: Scope,
        *,
        prefix: str = "",
        start: str | None = None,
        end: str | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> Sequence[KVItem]:
        """The entries with `prefix` and `start` <= key < `end`, in the order of their keys, at most `limit`.

        `after` is the last key of the page before: only keys behind it come.

        Entries that are written meanwhile may or may not be among them.
        """
        ...

    async def incr(self, scope: Scope, key: str, by: int = 1, *, ttl: float | None = None) -> int:
        """Add to a counter and give its new value; one that is not there counts from 0.

        `ttl` runs from the call that makes the counter; later calls leave its end as it is. The value
        is decimal text to the other operations. Raises ValueError where the value is no integer of 64
        bits, or would leave them.
        """
        ...

    async def compare_and_set(
        self,
        scope: Scope,
        key: str,
        expected: bytes | str | None,
        value: bytes | str | None,
        *,
        ttl: float | None = None,
    ) -> bool:
        """Write `value` if the entry holds `expected` now; whether it did.

        `expected` None: there is no entry. `value` None: remove it.
        """
        ...

    def namespace(self, name: str) -> "KVStore":
        """A namespace inside this one. Raises ValueError for a name that is empty, too long or has a NUL."""
        ...
