"""What all key-value backends share: the checks, the namespaces, and when a call is tried again."""

import asyncio
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from specstack_wire import KVItem, Scope, StorageUnavailable

T = TypeVar("T")

MAX_KEY = 1024
"""Bytes of a key."""
MAX_NAME = 255
"""Bytes of a namespace with those around it, of a tenant and of an owner."""
MAX_VALUE = 15 * 1024 * 1024
"""Bytes of a value; a document of MongoDB holds 16 MiB."""
MAX_COUNT = 2**63 - 1
COUNTER = re.compile(rb"0|-?[1-9][0-9]{0,18}")
"""How a counter is written."""
TRIES = (0.05, 0.2, 0.5)
"""Seconds to wait before a call that may be repeated is."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key stands: a namespace of one tenant and owner."""

    namespace: str
    tenant: str
    owner: str


_NOTHING = Place("ping", "", "")


@dataclass(frozen=True, slots=True)
class Range:
    """A part of a place's keys: from `low` on (or behind it), below `high` (None: to the end)."""

    low: str
    behind: bool
    high: str | None
    limit: int | None


class KVBackend(ABC):
    """One server or file with keys and values. Made unopened; the first call opens it.

    The operations are those of KVStore, with arguments that are checked already.
    """

    def __init__(self) -> None:
        self._opening = asyncio.Lock()
        self._is_open = False
        self.in_use = False
        """Whether anything was asked of it so far."""

    async def opened(self) -> None:
        """Open it if it is not open yet. Raises StorageUnavailable."""
        self.in_use = True
        if self._is_open:
            return
        async with self._opening:
            if not self._is_open:
                await self._open()
                self._is_open = True

    async def aclose(self) -> None:
        """Close what was opened. Closing twice is fine."""
        async with self._opening:
            if self._is_open:
                self._is_open = False
                await self._close()

    async def ping(self) -> None:
        """Look something up, as any call would. Raises StorageUnavailable."""
        await self.opened()
        await self.get(_NOTHING, _NOTHING.namespace)

    def namespace(self, name: str) -> "Namespace":
        """A namespace at the top. Raises ValueError for a name that cannot be one."""
        return Namespace(self, _name(name, "namespace"))

    @abstractmethod
    async def _open(self) -> None: ...

    @abstractmethod
    async def _close(self) -> None: ...

    @abstractmethod
    async def get(self, place: Place, key: str) -> bytes | None: ...

    @abstractmethod
    async def set(self, place: Place, key: str, value: bytes, ttl: float | None) -> None: ...

    @abstractmethod
    async def delete(self, place: Place, key: str) -> bool: ...

    @abstractmethod
    async def scan(self, place: Place, wanted: Range) -> Sequence[KVItem]: ...

    @abstractmethod
    async def incr(self, place: Place, key: str, by: int, ttl: float | None) -> int: ...

    @abstractmethod
    async def compare_and_set(
        self, place: Place, key: str, expected: bytes | None, value: bytes | None, ttl: float | None
    ) -> bool: ...


class Namespace:
    """A KVStore over a backend: checks what it is given and puts namespace, tenant and owner to the key."""

    def __init__(self, backend: KVBackend, name: str) -> None:
        self._backend = backend
        self._name = name

    def namespace(self, name: str) -> "Namespace":
        """A namespace inside this one."""
        # The separator cannot be part of a name, so that no two ways lead to the same namespace.
        if "/" in name:
            raise ValueError(f"a namespace inside another cannot have a '/' in its name: {name!r}")
        return Namespace(self._backend, _name(f"{self._name}/{_name(name, 'namespace')}", "namespace"))

    async def get(self, scope: Scope, key: str) -> bytes | None:
        """The value, or None."""
        place = self._place(scope)
        _check_key(key)
        await self._backend.opened()
        return await self._backend.get(place, key)

    async def set(self, scope: Scope, key: str, value: bytes | str, *, ttl: float | None = None) -> None:
        """Write a value."""
        place = self._place(scope)
        _check_key(key)
        _check_ttl(ttl)
        data = _value(value)
        await self._backend.opened()
        await self._backend.set(place, key, data, ttl)

    async def delete(self, scope: Scope, key: str) -> bool:
        """Remove an entry; whether there was one."""
        place = self._place(scope)
        _check_key(key)
        await self._backend.opened()
        return await self._backend.delete(place, key)

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
        """The entries of a range, in the order of their keys."""
        place = self._place(scope)
        wanted = _range(prefix, start, end, after, limit)
        if wanted is None:
            return []
        await self._backend.opened()
        return await self._backend.scan(place, wanted)

    async def incr(self, scope: Scope, key: str, by: int = 1, *, ttl: float | None = None) -> int:
        """Add to a counter and give its new value."""
        place = self._place(scope)
        _check_key(key)
        _check_ttl(ttl)
        if not -MAX_COUNT <= by <= MAX_COUNT:
            raise ValueError(f"{by} is no integer of 64 bits")
        await self._backend.opened()
        return await self._backend.incr(place, key, by, ttl)

    async def compare_and_set(
        self,
        scope: Scope,
        key: str,
        expected: bytes | str | None,
        value: bytes | str | None,
        *,
        ttl: float | None = None,
    ) -> bool:
        """Write `value` if the entry holds `expected` now; whether it did."""
        place = self._place(scope)
        _check_key(key)
        _check_ttl(ttl)
        old = None if expected is None else _value(expected)
        new = None if value is None else _value(value)
        await self._backend.opened()
        return await self._backend.compare_and_set(place, key, old, new, ttl)

    def _place(self, scope: Scope) -> Place:
        for name, what in ((scope.tenant, "tenant"), (scope.owner, "owner")):
            if name:
                _name(name, what)
        return Place(self._name, scope.tenant, scope.owner)


async def repeated(call: Callable[[], Awaitable[T]]) -> T:
    """The result of a call that may be made twice; one that cannot reach the server is tried again."""
    for wait in TRIES:
        try:
            return await call()
        except StorageUnavailable:
            await asyncio.sleep(wait)
    return await call()


def counted(value: bytes | None, by: int, key: str) -> int:
    """The counter `value` with `by` added. Raises ValueError."""
    if value is not None and not COUNTER.fullmatch(value):
        raise no_counter(key)
    total = int(value or b"0") + by
    if not -MAX_COUNT - 1 <= total <= MAX_COUNT:
        raise no_counter(key)
    return total


def no_counter(key: str) -> ValueError:
    """The error for an entry that cannot be counted up."""
    return ValueError(f"the value of the key {key!r} is no integer of 64 bits, or would leave them")


def _range(
    prefix: str, start: str | None, end: str | None, after: str | None, limit: int | None
) -> Range | None:
    """The range that all bounds leave; None when it is empty."""
    if limit is not None and limit < 1:
        raise ValueError(f"a limit is at least 1, not {limit}")
    for bound in (prefix, start, end, after):
        if bound:
            _encoded(bound, "key", MAX_KEY)
    low = max(prefix, start or "")
    behind = after is not None and after >= low
    low = after if after is not None and behind else low
    highs = [high for high in (_past(prefix), end) if high is not None]
    high = min(highs) if highs else None
    if high is not None and low >= high:
        return None
    return Range(low, behind, high, limit)


def _past(prefix: str) -> str | None:
    """The least text above all that begin with `prefix`; None when there is none."""
    while prefix:
        code = ord(prefix[-1])
        if code < 0x10FFFF:
            # Surrogates are no characters: nothing stands between U+D7FF and U+E000.
            return prefix[:-1] + chr(0xE000 if code == 0xD7FF else code + 1)
        prefix = prefix[:-1]
    return None


def _check_key(key: str) -> None:
    if not key:
        raise ValueError("key: must not be empty")
    _encoded(key, "key", MAX_KEY)


def _check_ttl(ttl: float | None) -> None:
    if ttl is not None and not (0 < ttl < math.inf):
        raise ValueError(f"a time to live is a number of seconds above 0, not {ttl}")


def _name(name: str, what: str) -> str:
    if not name:
        raise ValueError(f"{what}: must not be empty")
    _encoded(name, what, MAX_NAME)
    return name


def _encoded(text: str, what: str, limit: int) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{what}: must be valid Unicode: {text!r}") from None
    if size > limit or "\0" in text:
        raise ValueError(f"{what}: has at most {limit} bytes and no NUL: {text[:40]!r}")


def _value(value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    if len(data) > MAX_VALUE:
        raise ValueError(f"a value has at most {MAX_VALUE} bytes, not {len(data)}")
    return data
