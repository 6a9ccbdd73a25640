"""Keys and values in a collection of MongoDB, a document each.

Counters are integers there, so that the server can count; everything else is binary. To the caller
both are bytes.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from bson import Int64
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError, PyMongoError

from specstack.storage.kv.base import COUNTER, MAX_COUNT, KVBackend, Place, Range, no_counter, repeated
from specstack_wire import KVItem, StorageUnavailable

T = TypeVar("T")
Document = dict[str, Any]

_CONTESTED = 100
"""How often a counter that comes and goes is tried."""
_ORDER = ("namespace", "tenant", "owner", "key")

# At `debug` it shows each command with its values. It logs nothing else.
logging.getLogger("pymongo.command").addFilter(lambda record: False)


class MongoKV(KVBackend):
    """A MongoDB server, version 5 or later, at `url` (`mongodb://…`); it needs no replica set.

    A time to live is compared by this machine's clock; the server removes what has expired within
    about a minute.
    """

    def __init__(self, url: str, *, database: str, collection: str, timeout: float = 10.0) -> None:
        super().__init__()
        self._url = url
        self._database = database
        self._collection = collection
        self._timeout = timeout
        self._client: AsyncMongoClient[Document] | None = None

    async def _open(self) -> None:
        milliseconds = round(self._timeout * 1000)
        client: AsyncMongoClient[Document] = AsyncMongoClient(
            self._url,
            serverSelectionTimeoutMS=milliseconds,
            connectTimeoutMS=milliseconds,
            # A count that got through and whose answer was lost must not be made again.
            retryWrites=False,
        )
        self._client = client
        try:
            await self._called(
                lambda: self._documents.create_index([(one, 1) for one in _ORDER], unique=True)
            )
            await self._called(lambda: self._documents.create_index("expires", expireAfterSeconds=0))
        except BaseException:
            await client.close()
            raise

    async def _close(self) -> None:
        if self._client is not None:
            await self._client.close()

    @property
    def _documents(self) -> AsyncCollection[Document]:
        assert self._client is not None
        return self._client[self._database][self._collection]

    async def get(self, place: Place, key: str) -> bytes | None:
        """The value, or None."""
        found = await repeated(lambda: self._called(lambda: self._documents.find_one(_live(place, key))))
        return None if found is None else _unpacked(found["value"])

    async def set(self, place: Place, key: str, value: bytes, ttl: float | None) -> None:
        """Write a value."""
        document = _document(place, key, value, ttl)
        await repeated(lambda: self._put(_at(place, key), document))

    async def delete(self, place: Place, key: str) -> bool:
        """Remove an entry; whether there was one."""
        found = await repeated(lambda: self._called(lambda: self._documents.delete_one(_live(place, key))))
        return found.deleted_count > 0

    async def scan(self, place: Place, wanted: Range) -> Sequence[KVItem]:
        """The entries of a range."""
        keys: dict[str, Any] = {"$gt" if wanted.behind else "$gte": wanted.low}
        if wanted.high is not None:
            keys["$lt"] = wanted.high
        query = {**_live(place, ""), "key": keys}

        async def read() -> list[Document]:
            cursor = self._documents.find(query).sort("key", 1).limit(wanted.limit or 0)
            return await cursor.to_list()

        return [
            KVItem(one["key"], _unpacked(one["value"])) for one in await repeated(lambda: self._called(read))
        ]

    async def incr(self, place: Place, key: str, by: int, ttl: float | None) -> int:
        """Add to a counter."""
        # The bounds are part of the query: the server refuses or changes what leaves 64 bits.
        least, greatest = max(-MAX_COUNT - 1 - by, -MAX_COUNT - 1), min(MAX_COUNT - by, MAX_COUNT)
        bounds = {"$type": "long", "$gte": Int64(least), "$lte": Int64(greatest)}
        for _ in range(_CONTESTED):
            fitting = {**_live(place, key), "value": bounds}
            found = await self._called(
                lambda query=fitting: self._documents.find_one_and_update(
                    query, {"$inc": {"value": Int64(by)}}, return_document=True
                )
            )
            if found is not None:
                return int(found["value"])
            if await self.compare_and_set(place, key, None, b"%d" % by, ttl):
                return by
            there = await self._called(lambda: self._documents.find_one(_live(place, key)))
            if there is not None and (
                not isinstance(there["value"], int) or not least <= there["value"] <= greatest
            ):
                raise no_counter(key)
            await asyncio.sleep(0)  # others made and removed it meanwhile
        raise StorageUnavailable(f"MongoDB: the counter {key!r} is made and removed all the time")

    async def compare_and_set(
        self, place: Place, key: str, expected: bytes | None, value: bytes | None, ttl: float | None
    ) -> bool:
        """Write or remove if the entry holds `expected`."""
        if expected is None:
            if value is None:
                return await self.get(place, key) is None
            return await self._create(place, key, value, ttl)
        query = {**_live(place, key), "value": _packed(expected)}
        if value is None:
            gone = await self._called(lambda: self._documents.delete_one(query))
            return gone.deleted_count > 0
        document = _document(place, key, value, ttl)
        written = await self._called(lambda: self._documents.replace_one(query, document))
        return written.matched_count > 0

    async def _create(self, place: Place, key: str, value: bytes, ttl: float | None) -> bool:
        """Write where nothing is, or where what is there has expired."""
        query = {**_at(place, key), "expires": {"$lte": datetime.now(UTC)}}
        document = _document(place, key, value, ttl)
        try:
            await self._called(lambda: self._documents.replace_one(query, document, upsert=True))
        except StorageUnavailable as error:
            # The unique index refuses the insertion: somebody's live entry stands there.
            if isinstance(error.__cause__, DuplicateKeyError):
                return False
            raise
        return True

    async def _put(self, query: Document, document: Document) -> None:
        try:
            await self._called(lambda: self._documents.replace_one(query, document, upsert=True))
        except StorageUnavailable as error:
            # Two made it at once: the other one's entry is there now and can be replaced.
            if not isinstance(error.__cause__, DuplicateKeyError):
                raise
            await self._called(lambda: self._documents.replace_one(query, document, upsert=True))

    async def _called(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            return await call()
        except PyMongoError as error:
            raise StorageUnavailable(f"MongoDB does not answer as it should: {error}") from error


def _at(place: Place, key: str) -> Document:
    return {"namespace": place.namespace, "tenant": place.tenant, "owner": place.owner, "key": key}


def _live(place: Place, key: str) -> Document:
    return {**_at(place, key), "$or": [{"expires": None}, {"expires": {"$gt": datetime.now(UTC)}}]}


def _document(place: Place, key: str, value: bytes, ttl: float | None) -> Document:
    expires = None if ttl is None else datetime.now(UTC) + timedelta(seconds=ttl)
    return {**_at(place, key), "value": _packed(value), "expires": expires}


def _packed(value: bytes) -> Any:
    if COUNTER.fullmatch(value) and -MAX_COUNT - 1 <= int(value) <= MAX_COUNT:
        return Int64(int(value))
    return value


def _unpacked(value: Any) -> bytes:
    return b"%d" % value if isinstance(value, int) else bytes(value)
