"""The distribution registry: what clients have registered, kept for the next start and for other processes.

A record per resource in a KVStore, and a counter that every change raises. Each process looks at the
counter twice a second and reads the records again when it has moved.
"""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic_core import to_json

from specstack.entries import Entry
from specstack.routing import RoutingTable
from specstack.storage.kv.base import MAX_KEY
from specstack_wire import SHARED, KVStore, StorageUnavailable

POLL = 0.5
"""Seconds between looks at the counter."""
REREAD = 30.0
"""Seconds after which everything is read though the counter stands: a process may have died between
writing a record and raising it."""
CATCH_UP = 1.0
"""Seconds that a look on behalf of a call may take."""

_VERSION = "version"
_FIELDS = (
    "identifier",
    "provider_id",
    "provider_resource_id",
    "created",
    "metadata",
    "attributes",
    "tenant",
    "owner",
)

_log = logging.getLogger("specstack.registry")

Table = RoutingTable[Any, Any]


class DistributionRegistry:
    """Keeps the tables of one process and `store` alike. Start it when the providers have joined."""

    def __init__(self, store: KVStore, tables: Mapping[str, Table]) -> None:
        self._tables = tables
        self.store = store
        self.lock = asyncio.Lock()
        self._seen: bytes | None = None
        self._read_at = -REREAD
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._gone: set[tuple[str, str]] = set()

    async def start(self) -> None:
        """Fill the tables from the store and go on watching it. Raises StorageUnavailable."""
        for name, table in self._tables.items():
            table.keeper = _TableKeeper(self, name, table)
        await self.sync()
        self._task = asyncio.create_task(self._watch(), name="watch the registry")

    async def stop(self) -> None:
        """End the watch."""
        # The flag as well: a driver may swallow the cancellation that meets its own time limit.
        self._stopping = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def sync(self) -> None:
        """Take in what other processes have changed. Raises StorageUnavailable."""
        async with self.lock:
            await self.sync_locked()

    async def sync_locked(self) -> None:
        """`sync`, for who holds the lock."""
        version = await self.store.get(SHARED, _VERSION)
        if version == self._seen and time.monotonic() - self._read_at < REREAD:
            return
        found = {name: await self._records(name) for name in self._tables}
        for name, entries in found.items():
            self._tables[name].take(entries)
        # The counter was read first: what was written since raises it again.
        self._seen, self._read_at = version, time.monotonic()

    async def _records(self, name: str) -> list[Entry]:
        table = self._tables[name]
        found: list[Entry] = []
        for item in await self.store.scan(SHARED, prefix=f"{name}/"):
            entry = _entry(item.value)
            if entry is None:
                _log.error("the record %r of the registry cannot be read; it is left out", item.key)
            elif not (why := table.unserved(entry)):
                found.append(entry)
            elif (name, entry.identifier) not in self._gone:
                self._gone.add((name, entry.identifier))
                _log.warning("the registered %s '%s' is not served: %s", name, entry.identifier, why)
        return found

    async def _watch(self) -> None:
        failing = False
        while not self._stopping:
            await asyncio.sleep(POLL)
            try:
                await self.sync()
            except StorageUnavailable as error:
                if not failing:
                    _log.warning("other processes' registrations are not seen: %s", error.reason)
                failing = True
            except Exception:
                if not failing:
                    _log.exception("reading the registry failed")
                failing = True
            else:
                failing = False

    def distrust(self) -> None:
        """Read everything at the next look."""
        self._read_at = -REREAD

    async def raised(self) -> None:
        """Tell the other processes of a change that the tables here have already."""
        before = int(self._seen or b"0")
        now = await self.store.incr(SHARED, _VERSION)
        if now == before + 1:
            self._seen = b"%d" % now


class _TableKeeper:
    """The registry as one table sees it."""

    def __init__(self, registry: DistributionRegistry, name: str, table: Table) -> None:
        self._registry = registry
        self._store = registry.store
        self._name = name
        self._table = table
        self.lock = registry.lock

    async def catch_up(self) -> None:
        """Take in what others have changed a moment ago, unless that takes long."""
        with suppress(StorageUnavailable, TimeoutError):
            async with asyncio.timeout(CATCH_UP):
                await self._registry.sync()

    async def sync(self) -> None:
        """Take in what others have changed; under the lock."""
        await self._registry.sync_locked()

    async def keep(self, entry: Entry) -> bool:
        """Write the entry; False when another stands under its id. Under the lock."""
        key, record = _key(self._name, entry.identifier), _record(entry)
        if not await self._store.compare_and_set(SHARED, key, None, record):
            standing = await self._store.get(SHARED, key)
            other = _entry(standing) if standing is not None else None
            # A record that nobody can be served by, because its provider is gone, gives way.
            replaceable = standing is None or other is None or self._table.unserved(other)
            if not replaceable or not await self._store.compare_and_set(SHARED, key, standing, record):
                self._registry.distrust()
                return False
        await self._registry.raised()
        return True

    async def drop(self, entry: Entry) -> None:
        """Remove the entry's record. Under the lock."""
        if await self._store.delete(SHARED, _key(self._name, entry.identifier)):
            await self._registry.raised()


def _key(name: str, identifier: str) -> str:
    key = f"{name}/{identifier}"
    if len(key.encode()) <= MAX_KEY and "\0" not in key:
        return key
    return f"{name}/\x01{hashlib.sha256(identifier.encode()).hexdigest()}"


def _record(entry: Entry) -> bytes:
    return to_json({name: getattr(entry, name) for name in _FIELDS})


def _entry(record: bytes) -> Entry | None:
    """The entry of a record; None for what is none."""
    try:
        fields = json.loads(record)
        return Entry(source="registered", **{name: fields[name] for name in _FIELDS})
    except (ValueError, TypeError, KeyError):
        return None
