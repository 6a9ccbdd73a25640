"""Keys and values in Redis.

All of a place (namespace, tenant, owner) has one hash tag, so that a cluster keeps it together: each
entry is a string with Redis's own expiry; a sorted set, `i`, holds the place's keys in their order; a
second, `x`, holds when those with a time to live expire, so that writes can take them out of `i`.
"""

from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Any, TypeVar, cast
from urllib.parse import quote

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from specstack.storage.kv.base import KVBackend, Place, Range, no_counter, repeated
from specstack_wire import KVItem, StorageUnavailable

T = TypeVar("T")

PAGE = 500
"""Keys that one script call reads: others wait while it runs."""

# Each script has KEYS i, x, entry; ARGV begins with: key, ttl in ms ("" for none), prefix of the entries.
_HEAD = """
local i, x, entry = KEYS[1], KEYS[2], KEYS[3]
local key, ttl, prefix = ARGV[1], ARGV[2], ARGV[3]
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local function purge()
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', x, '-inf', now, 'LIMIT', 0, 16)) do
    redis.call('ZREM', x, gone)
    if redis.call('EXISTS', prefix .. gone) == 0 then redis.call('ZREM', i, gone) end
  end
end
local function note()
  redis.call('ZADD', i, 0, key)
  if ttl == '' then redis.call('ZREM', x, key) else redis.call('ZADD', x, now + ttl, key) end
  purge()
end
local function put(value)
  if ttl == '' then redis.call('SET', entry, value) else redis.call('SET', entry, value, 'PX', ttl) end
  note()
end
local function remove()
  redis.call('ZREM', i, key)
  redis.call('ZREM', x, key)
  return redis.call('DEL', entry)
end
"""
_SET = _HEAD + "put(ARGV[4])"
_DELETE = _HEAD + "return remove()"
_INCR = (
    _HEAD
    + """
local fresh = redis.call('EXISTS', entry) == 0
local total = redis.call('INCRBY', entry, ARGV[4])
if fresh then
  if ttl ~= '' then redis.call('PEXPIRE', entry, ttl) end
  note()
end
return redis.call('GET', entry)
"""
)
# ARGV 4: whether an entry is expected, 5: which, 6: whether one is written, 7: which.
_COMPARE = (
    _HEAD
    + """
local value = redis.call('GET', entry)
if ARGV[4] == '0' then
  if value then return 0 end
elseif value ~= ARGV[5] then return 0 end
if ARGV[6] == '1' then put(ARGV[7]) else remove() end
return 1
"""
)
# ARGV 4: least, 5: greatest, 6: how many. Gives the last key that was looked at, then keys and values.
_SCAN = (
    _HEAD
    + """
local names = redis.call('ZRANGEBYLEX', i, ARGV[4], ARGV[5], 'LIMIT', 0, ARGV[6])
local found = {tostring(#names), names[#names] or ''}
for _, name in ipairs(names) do
  local value = redis.call('GET', prefix .. name)
  if value then
    found[#found + 1] = name
    found[#found + 1] = value
  else
    redis.call('ZREM', i, name)
    redis.call('ZREM', x, name)
  end
end
return found
"""
)


class RedisKV(KVBackend):
    """A Redis server, version 6 or later, at `url` (`redis://`, `rediss://` or `unix://`).

    How safe a write is against the server's crash is the server's own setting (`appendonly`).
    """

    def __init__(self, url: str, *, max_connections: int = 20, timeout: float = 10.0) -> None:
        super().__init__()
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=max_connections,
            timeout=timeout,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            # A count that got through and whose answer was lost must not be made again.
            retry=Retry(NoBackoff(), 0),
        )
        self._client = Redis.from_pool(pool)
        self._scripts = {
            text: self._client.register_script(text) for text in (_SET, _DELETE, _INCR, _COMPARE, _SCAN)
        }

    async def _open(self) -> None:
        await self._called(cast("Awaitable[Any]", self._client.ping()))

    async def _close(self) -> None:
        await self._client.aclose()

    async def get(self, place: Place, key: str) -> bytes | None:
        """The value, or None."""
        entry = f"{_base(place)}:k:{key}"
        found = await repeated(lambda: self._called(self._client.get(entry)))
        return cast("bytes | None", found)  # text only where the client is told to decode

    async def set(self, place: Place, key: str, value: bytes, ttl: float | None) -> None:
        """Write a value."""
        await repeated(lambda: self._run(_SET, place, key, ttl, value))

    async def delete(self, place: Place, key: str) -> bool:
        """Remove an entry; whether there was one."""
        return bool(await repeated(lambda: self._run(_DELETE, place, key, None)))

    async def scan(self, place: Place, wanted: Range) -> Sequence[KVItem]:
        """The entries of a range, read in pages."""
        low = _bound("(" if wanted.behind else "[", wanted.low)
        high = b"+" if wanted.high is None else _bound("(", wanted.high)
        found: list[KVItem] = []
        while True:
            missing = PAGE if wanted.limit is None else min(PAGE, wanted.limit - len(found))
            read = partial(self._run, _SCAN, place, "", None, low, high, missing)
            page = await repeated(read)
            count, last, *rest = cast("list[bytes]", page)
            names, values = rest[0::2], rest[1::2]
            found += [KVItem(name.decode(), value) for name, value in zip(names, values, strict=True)]
            if int(count) < missing or len(found) == wanted.limit:
                return found
            low = b"(" + last

    async def incr(self, place: Place, key: str, by: int, ttl: float | None) -> int:
        """Add to a counter."""
        try:
            return int(await self._run(_INCR, place, key, ttl, by))
        except StorageUnavailable as error:
            cause = error.__cause__
            if isinstance(cause, ResponseError) and any(
                word in str(cause) for word in ("integer", "overflow")
            ):
                raise no_counter(key) from None
            raise

    async def compare_and_set(
        self, place: Place, key: str, expected: bytes | None, value: bytes | None, ttl: float | None
    ) -> bool:
        """Write or remove if the entry holds `expected`."""
        old = (int(expected is not None), expected or b"")
        new = (int(value is not None), value or b"")
        return bool(await self._run(_COMPARE, place, key, ttl, *old, *new))

    async def _run(self, script: str, place: Place, key: str, ttl: float | None, *arguments: Any) -> Any:
        base = _base(place)
        prefix = f"{base}:k:"
        milliseconds = "" if ttl is None else max(1, round(ttl * 1000))
        return await self._called(
            self._scripts[script](
                keys=[f"{base}:i", f"{base}:x", prefix + key], args=[key, milliseconds, prefix, *arguments]
            )
        )

    async def _called(self, waiting: Awaitable[T]) -> T:
        try:
            return await waiting
        except (RedisError, OSError) as error:
            raise StorageUnavailable(f"Redis does not answer as it should: {error}") from error


def _base(place: Place) -> str:
    parts = (quote(part, safe="/") for part in (place.namespace, place.tenant, place.owner))
    return f"specstack:{{{':'.join(parts)}}}"


def _bound(sign: str, key: str) -> bytes:
    return (sign + key).encode() if key else b"-"
