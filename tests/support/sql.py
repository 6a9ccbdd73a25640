"""Tables under test: those of the fixture's spec, in a SQLite file or a database of a real PostgreSQL."""

from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import psycopg

from specstack.descriptors import GeneratedServer
from specstack.storage.sql.base import SqlBackend
from specstack.storage.sql.postgres import PostgresSql
from specstack.storage.sql.schema import Making, branches
from specstack.storage.sql.sqlite import SqliteSql
from specstack.storage.sql.store import Tables


class MakeSql(Protocol):
    """Makes a backend over the database of a test, for the tables of a server (the fixture's if not told)."""

    def __call__(self, server: GeneratedServer | None = None, **options: Any) -> SqlBackend: ...


def making(server: GeneratedServer | None = None, *, migrate: bool = True) -> Making:
    """What a backend of the tests is made for."""
    server = server or _fixture()
    apis = {table.api for table in server.sql_tables}
    return Making("sql_default", branches(server.migrations, apis), migrate)


def backend_at(place: str, what: Making | None = None, **options: Any) -> SqlBackend:
    """A backend over a path or a URL."""
    if "://" in place:
        return PostgresSql(place, what or making(), **options)
    return SqliteSql(Path(place), what or making())


def tables_of(backend: SqlBackend) -> Tables:
    """The fixture's tables in a backend."""
    return Tables(backend, _fixture().sql_tables)


def new_database(port: int) -> str:
    """The URL of an empty database on a PostgreSQL server."""
    name = f"t_{uuid4().hex}"
    with psycopg.connect(_url(port, "postgres"), autocommit=True) as db:
        db.execute(f"create database {name}")
    return _url(port, name)


def drop_database(url: str) -> None:
    """Remove a database, whoever is still connected."""
    server, _, name = url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as db:
        db.execute(f"drop database if exists {name} with (force)")


def _url(port: int, name: str) -> str:
    return f"postgresql://postgres@127.0.0.1:{port}/{name}"


def _fixture() -> GeneratedServer:
    from fixture_server import SERVER

    return SERVER
