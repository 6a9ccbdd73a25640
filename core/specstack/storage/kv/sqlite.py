"""Keys and values in a SQLite file: one writing thread, one reading, write-ahead log."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from specstack.storage.kv.base import KVBackend, Place, Range, counted
from specstack.storage.sqlite_file import BUSY, write_ahead
from specstack.storage.threads import in_thread
from specstack_wire import KVItem, StorageUnavailable

T = TypeVar("T")

PURGE_EVERY = 60.0
"""Seconds between removals of what has expired."""

_SCHEMA = """
create table if not exists specstack_kv (
    namespace text not null, tenant text not null, owner text not null, key text not null,
    value blob not null, expires real,
    primary key (namespace, tenant, owner, key)
) without rowid;
create index if not exists specstack_kv_expires on specstack_kv (expires) where expires is not null;
"""
_AT = "namespace = ? and tenant = ? and owner = ? and key = ?"
_LIVE = "(expires is null or expires > ?)"
_GET = f"select value, expires from specstack_kv where {_AT} and {_LIVE}"
_SET = "insert or replace into specstack_kv values (?, ?, ?, ?, ?, ?)"
_DELETE = f"delete from specstack_kv where {_AT}"


class SqliteKV(KVBackend):
    """A file that several processes may have open. A committed write survives the end of the process.

    Writes are synced to disk at checkpoints, not one by one: a power cut may lose the last of them,
    and never leaves the file broken.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._writing = self._reading = _Thread(path)
        self._purge_at = 0.0

    async def _open(self) -> None:
        self._writing, self._reading = _Thread(self.path), _Thread(self.path)
        try:
            await self._writing.call(lambda db: write_ahead(db, _SCHEMA))
        except BaseException:
            await self._close()
            raise

    async def _close(self) -> None:
        await self._reading.aclose()
        await self._writing.aclose()

    async def get(self, place: Place, key: str) -> bytes | None:
        """The value, or None."""
        return await self._reading.call(lambda db: _found(db, place, key)[0])

    async def set(self, place: Place, key: str, value: bytes, ttl: float | None) -> None:
        """Write a value."""
        await self._write(lambda db: _put(db, place, key, value, _end(ttl)))

    async def delete(self, place: Place, key: str) -> bool:
        """Remove an entry; whether there was one."""

        def work(db: sqlite3.Connection) -> bool:
            found = db.execute(f"{_DELETE} and {_LIVE}", (*_at(place, key), time.time()))
            return found.rowcount > 0

        return await self._write(work)

    async def scan(self, place: Place, wanted: Range) -> Sequence[KVItem]:
        """The entries of a range."""
        query = "select key, value from specstack_kv where namespace = ? and tenant = ? and owner = ?"
        query += f" and key {'>' if wanted.behind else '>='} ? and {_LIVE}"
        values: list[Any] = [place.namespace, place.tenant, place.owner, wanted.low, time.time()]
        if wanted.high is not None:
            query += " and key < ?"
            values.append(wanted.high)
        query += " order by key limit ?"
        values.append(-1 if wanted.limit is None else wanted.limit)
        rows = await self._reading.call(lambda db: db.execute(query, values).fetchall())
        return [KVItem(key, value) for key, value in rows]

    async def incr(self, place: Place, key: str, by: int, ttl: float | None) -> int:
        """Add to a counter."""

        def work(db: sqlite3.Connection) -> int:
            value, expires = _found(db, place, key)
            total = counted(value, by, key)
            _put(db, place, key, b"%d" % total, _end(ttl) if value is None else expires)
            return total

        return await self._write(work)

    async def compare_and_set(
        self, place: Place, key: str, expected: bytes | None, value: bytes | None, ttl: float | None
    ) -> bool:
        """Write or remove if the entry holds `expected`."""

        def work(db: sqlite3.Connection) -> bool:
            if _found(db, place, key)[0] != expected:
                return False
            if value is None:
                db.execute(_DELETE, _at(place, key))
            else:
                _put(db, place, key, value, _end(ttl))
            return True

        return await self._write(work)

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def transaction(db: sqlite3.Connection) -> T:
            # Taking the lock at the start: a reader that turns writer could not wait for another one.
            db.execute("begin immediate")
            try:
                found = work(db)
                self._purge(db)
                db.execute("commit")
            except BaseException:
                db.execute("rollback")
                raise
            return found

        return await self._writing.call(transaction)

    def _purge(self, db: sqlite3.Connection) -> None:
        if time.monotonic() >= self._purge_at:
            self._purge_at = time.monotonic() + PURGE_EVERY
            db.execute("delete from specstack_kv where expires <= ?", (time.time(),))


class _Thread:
    """A thread with its own connection, made at the first call."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"sqlite {path.name}")
        self._db: sqlite3.Connection | None = None
        self._closed = False

    async def call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` there. Raises StorageUnavailable for what the file does not allow."""
        return await in_thread(self._executor, lambda: self._run(work))

    async def aclose(self) -> None:
        """Close the connection and end the thread, after the calls that wait."""
        await in_thread(self._executor, self._end)
        self._executor.shutdown(wait=False)

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._closed:
            raise StorageUnavailable(f"the SQLite file {self._path}: it is closed")
        try:
            if self._db is None:
                self._db = self._connect()
            return work(self._db)
        except (sqlite3.Error, OSError) as error:
            raise StorageUnavailable(f"the SQLite file {self._path}: {error}") from error

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Another thread uses it only when this one has ended with the program.
        db = sqlite3.connect(self._path, timeout=BUSY, isolation_level=None, check_same_thread=False)
        db.execute("pragma synchronous = normal")
        return db

    def _end(self) -> None:
        self._closed = True
        if self._db is not None:
            self._db.close()
            self._db = None


def _at(place: Place, key: str) -> tuple[str, str, str, str]:
    return place.namespace, place.tenant, place.owner, key


def _found(db: sqlite3.Connection, place: Place, key: str) -> tuple[bytes | None, float | None]:
    """The value and when it expires."""
    row = db.execute(_GET, (*_at(place, key), time.time())).fetchone()
    return (None, None) if row is None else row


def _put(db: sqlite3.Connection, place: Place, key: str, value: bytes, expires: float | None) -> None:
    db.execute(_SET, (*_at(place, key), value, expires))


def _end(ttl: float | None) -> float | None:
    return None if ttl is None else time.time() + ttl
