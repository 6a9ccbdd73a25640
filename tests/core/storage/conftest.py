"""Every backend against the real thing."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from specstack.storage.kv import KVBackend
from specstack.storage.sql.base import SqlBackend
from specstack.storage.sql.store import Tables
from specstack_wire import KVStore
from support.services import Make, Service, postgres_service, redis_service
from support.sql import MakeSql, backend_at, drop_database, making, new_database, tables_of

# Tables of an API that is not the server's own.
sys.path.insert(0, str(Path(__file__).parents[2] / "fixture" / "generated"))

BACKENDS = ("sqlite", "redis", "postgres", "mongodb")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Service]:
    yield from redis_service()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Service]:
    yield from postgres_service()


@pytest.fixture(params=BACKENDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def service(kind: str, request: pytest.FixtureRequest) -> Service | None:
    """The server that this suite has started for the backend."""
    if kind in ("redis", "postgres"):
        found: Service = request.getfixturevalue(f"{kind}_server")
        return found
    return None


@pytest.fixture
def make(kind: str, service: Service | None, tmp_path: Path) -> Make:
    """Makes backends over the same data, as other processes would."""
    if kind == "sqlite":
        from specstack.storage.kv.sqlite import SqliteKV

        return lambda: SqliteKV(tmp_path / "sub" / "kv.db")
    if kind == "mongodb":
        url = os.environ.get("MONGODB_URL")
        if not url:
            pytest.skip("MONGODB_URL is not set: no MongoDB server can be installed from Debian or PyPI")
        from specstack.storage.kv.mongodb import MongoKV

        return lambda: MongoKV(url, database="specstack_tests", collection="kv")
    assert service is not None
    if kind == "redis":
        from specstack.storage.kv.redis import RedisKV

        return lambda: RedisKV(f"redis://127.0.0.1:{service.port}/0")
    from specstack.storage.kv.postgres import PostgresKV

    return lambda: PostgresKV(f"postgresql://postgres@127.0.0.1:{service.port}/postgres")


@pytest.fixture
async def backend(make: Make) -> AsyncIterator[KVBackend]:
    made = make()
    yield made
    await made.aclose()


@pytest.fixture
def kv(backend: KVBackend) -> KVStore:
    """An empty namespace."""
    return backend.namespace(f"test {uuid4().hex}")


@pytest.fixture(params=["sqlite", "postgres"])
def sql_kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def sql_service(sql_kind: str, request: pytest.FixtureRequest) -> Service | None:
    """The server that this suite has started for the backend."""
    return request.getfixturevalue("postgres_server") if sql_kind == "postgres" else None


@pytest.fixture
def sql_place(sql_service: Service | None, tmp_path: Path) -> Iterator[str]:
    """A database with nothing in it: a path, or a URL."""
    if sql_service is None:
        yield str(tmp_path / "sub" / "sql.db")
        return
    url = new_database(sql_service.port)
    yield url
    drop_database(url)


@pytest.fixture
def make_sql(sql_place: str) -> MakeSql:
    """Makes backends over the same database, as other processes would."""

    def make(server: Any = None, **options: Any) -> SqlBackend:
        return backend_at(sql_place, making(server, **options))

    return make


@pytest.fixture
async def sql_backend(make_sql: MakeSql) -> AsyncIterator[SqlBackend]:
    made = make_sql()
    yield made
    await made.aclose()


@pytest.fixture
def sql(sql_backend: SqlBackend) -> Tables:
    """The fixture's tables, empty."""
    return tables_of(sql_backend)
