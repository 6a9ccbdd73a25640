"""Keys and values in a table of PostgreSQL."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from psycopg import AsyncConnection, AsyncCursor, Error

from specstack.storage.kv.base import COUNTER, KVBackend, Place, Range, no_counter, repeated
from specstack_wire import KVItem, StorageUnavailable

T = TypeVar("T")
Cursor = AsyncCursor[Any]

PURGE_EVERY = 60.0
"""Seconds between removals of what has expired."""

# Keys are compared by their bytes, whatever the database's collation.
_SCHEMA = """
create table if not exists specstack_kv (
    namespace text collate "C" not null, tenant text collate "C" not null,
    owner text collate "C" not null, key text collate "C" not null,
    value bytea not null, expires timestamptz,
    primary key (namespace, tenant, owner, key)
);
create index if not exists specstack_kv_expires on specstack_kv (expires) where expires is not null;
"""
_LOCK = 0x5EC57AC4
"""The advisory lock under which the table is made: PostgreSQL's `if not exists` is no protection."""
_AT = "namespace = %(namespace)s and tenant = %(tenant)s and owner = %(owner)s and key = %(key)s"
_LIVE = "(specstack_kv.expires is null or specstack_kv.expires > clock_timestamp())"
_END = "clock_timestamp() + make_interval(secs => %(ttl)s::float8)"
_ROW = f"(%(namespace)s, %(tenant)s, %(owner)s, %(key)s, %(value)s, {_END})"
_NEW = f"insert into specstack_kv values {_ROW} on conflict (namespace, tenant, owner, key) do update set "
_GET = f"select value from specstack_kv where {_AT} and {_LIVE}"
_SET = f"{_NEW} value = excluded.value, expires = excluded.expires"
_DELETE = f"delete from specstack_kv where {_AT} and {_LIVE}"
_INCR = f"""
{_NEW}
  value = case when {_LIVE}
    then (convert_from(specstack_kv.value, 'UTF8')::bigint + %(by)s)::text::bytea else excluded.value end,
  expires = case when {_LIVE} then specstack_kv.expires else excluded.expires end
where not {_LIVE} or convert_from(specstack_kv.value, 'LATIN1') ~ %(counter)s
returning convert_from(value, 'UTF8')::bigint
"""
_IF_ABSENT = f"{_SET} where not {_LIVE}"
_IF_EQUAL = f"""
update specstack_kv set value = %(value)s, expires = {_END}
where {_AT} and {_LIVE} and value = %(expected)s
"""
_DELETE_IF_EQUAL = f"{_DELETE} and value = %(expected)s"
_OUT_OF_RANGE = "22003"


class PostgresKV(KVBackend):
    """A PostgreSQL database, version 12 or later; `url` is `postgresql://user:password@host/database`."""

    def __init__(self, url: str, *, max_connections: int = 10, timeout: float = 10.0) -> None:
        super().__init__()
        self._url = url
        self._timeout = timeout
        self._max = max_connections
        self._pool = _Pool(url, max_connections, timeout)
        self._purge_at = 0.0

    async def _open(self) -> None:
        try:
            async with await AsyncConnection.connect(self._url, connect_timeout=round(self._timeout)) as db:
                await db.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
                await db.execute(_SCHEMA)
        except Error as error:
            raise _unavailable(error) from error
        self._pool = _Pool(self._url, self._max, self._timeout)

    async def _close(self) -> None:
        await self._pool.aclose()

    async def get(self, place: Place, key: str) -> bytes | None:
        """The value, or None."""

        async def work(cursor: Cursor) -> bytes | None:
            row = await (await cursor.execute(_GET, _values(place, key))).fetchone()
            return None if row is None else row[0]

        return await repeated(lambda: self._run(work))

    async def set(self, place: Place, key: str, value: bytes, ttl: float | None) -> None:
        """Write a value."""
        values = _values(place, key, value=value, ttl=ttl)
        await repeated(lambda: self._changed(_SET, values))

    async def delete(self, place: Place, key: str) -> bool:
        """Remove an entry; whether there was one."""
        return await repeated(lambda: self._changed(_DELETE, _values(place, key)))

    async def scan(self, place: Place, wanted: Range) -> Sequence[KVItem]:
        """The entries of a range."""
        query = f"select key, value from specstack_kv where {_AT.rpartition(' and ')[0]} and {_LIVE}"
        query += f" and key {'>' if wanted.behind else '>='} %(key)s"
        if wanted.high is not None:
            query += " and key < %(high)s"
        query += " order by key"
        if wanted.limit is not None:
            query += " limit %(limit)s"
        values = _values(place, wanted.low, high=wanted.high, limit=wanted.limit)

        async def work(cursor: Cursor) -> list[KVItem]:
            return [KVItem(*row) async for row in await cursor.execute(query.encode(), values)]

        return await repeated(lambda: self._run(work))

    async def incr(self, place: Place, key: str, by: int, ttl: float | None) -> int:
        """Add to a counter."""
        value = b"%d" % by
        values = _values(place, key, value=value, ttl=ttl, by=by, counter=f"^({COUNTER.pattern.decode()})$")

        async def work(cursor: Cursor) -> int | None:
            row = await (await cursor.execute(_INCR.encode(), values)).fetchone()
            return None if row is None else row[0]

        await self._purge()
        try:
            total = await self._run(work)
        except StorageUnavailable as error:
            if isinstance(error.__cause__, Error) and error.__cause__.sqlstate == _OUT_OF_RANGE:
                raise no_counter(key) from None
            raise
        if total is None:
            raise no_counter(key)
        return total

    async def compare_and_set(
        self, place: Place, key: str, expected: bytes | None, value: bytes | None, ttl: float | None
    ) -> bool:
        """Write or remove if the entry holds `expected`."""
        values = _values(place, key, expected=expected, value=value, ttl=ttl)
        if value is not None:
            return await self._changed(_IF_ABSENT if expected is None else _IF_EQUAL, values)
        if expected is None:
            return await self.get(place, key) is None
        return await self._changed(_DELETE_IF_EQUAL, values)

    async def _changed(self, query: str, values: dict[str, Any]) -> bool:
        async def work(cursor: Cursor) -> bool:
            return (await cursor.execute(query.encode(), values)).rowcount > 0

        await self._purge()
        return await self._run(work)

    async def _purge(self) -> None:
        if time.monotonic() < self._purge_at:
            return
        self._purge_at = time.monotonic() + PURGE_EVERY

        async def work(cursor: Cursor) -> None:
            await cursor.execute("delete from specstack_kv where expires <= clock_timestamp()")

        await self._run(work)

    async def _run(self, work: Callable[[Cursor], Awaitable[T]]) -> T:
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._pool.lent() as db,
                db.cursor(binary=True) as cursor,
            ):
                return await work(cursor)
        except (Error, TimeoutError) as error:
            raise _unavailable(error) from error


class _Pool:
    """Connections to lend. A server that is away is noticed at once; one that is back, at the next call."""

    def __init__(self, url: str, size: int, timeout: float) -> None:
        self._url = url
        self._slots = asyncio.Semaphore(size)
        self._timeout = timeout
        self._idle: list[AsyncConnection[Any]] = []
        self._closed = False

    @asynccontextmanager
    async def lent(self) -> AsyncGenerator[AsyncConnection[Any]]:
        """A connection that answers. One with which something went wrong is not lent again."""
        async with self._slots:
            db = await self._sound()
            try:
                yield db
            except BaseException:
                await db.close()
                raise
            if self._closed:
                await db.close()
            else:
                self._idle.append(db)

    async def aclose(self) -> None:
        """Close the idle connections now and the lent ones when they come back."""
        self._closed = True
        while self._idle:
            await self._idle.pop().close()

    async def _sound(self) -> AsyncConnection[Any]:
        while self._idle:
            db = self._idle.pop()
            try:
                # The server may have been restarted: what is asked next must not be asked twice.
                await db.execute("")
            except Error:
                await db.close()
            else:
                return db
        return await AsyncConnection.connect(self._url, autocommit=True, connect_timeout=round(self._timeout))


def _values(place: Place, key: str, **more: Any) -> dict[str, Any]:
    return {
        "namespace": place.namespace,
        "tenant": place.tenant,
        "owner": place.owner,
        "key": key,
        **more,
    }


def _unavailable(error: Exception) -> StorageUnavailable:
    reason = " ".join(str(error).split()) or "no answer in time"
    return StorageUnavailable(f"PostgreSQL does not answer as it should: {reason}")
