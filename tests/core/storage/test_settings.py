"""`storage` in the run config: what it says, its defaults, and what is wrong with it."""

import importlib
from pathlib import Path
from typing import Any

import pytest

from specstack.config import RunConfig, read_config
from specstack.startup import ConfigError, StartupError
from specstack.storage.kv.sqlite import SqliteKV
from specstack.storage.settings import make_backend
from specstack.storage.stores import Storage
from specstack_server import SERVER
from specstack_wire import SHARED

HEAD = "version: 2\ndistro_name: t\nproviders: {}\n"


def read(text: str, **env: str) -> RunConfig:
    return read_config(HEAD + text, "run.yaml", SERVER, env)


def backend(fields: str) -> str:
    return f"storage:\n  backends:\n    main: {{{fields}}}\n"


async def test_without_a_word_everything_is_in_one_file_of_the_distribution(home: Path) -> None:
    storage = Storage(read("").stack)
    await storage.kv("registry").set(SHARED, "k", "r")
    await storage.kv("providers").set(SHARED, "k", "p")
    assert await storage.kv("registry").get(SHARED, "k") == b"r"
    await storage.aclose()
    assert (home / "distributions" / "t" / "kv_default.db").is_file()


@pytest.mark.parametrize("name", ["..", "a/b", "../../x", "ü w"])
def test_a_distributions_name_is_never_a_way_out_of_its_directory(home: Path, name: str) -> None:
    text = HEAD.replace("distro_name: t", f'distro_name: "{name}"')
    made = make_backend(read_config(text, "run.yaml", SERVER, {}).stack, "kv_default")
    assert isinstance(made, SqliteKV)
    assert made.path.resolve().parent.parent == (home / "distributions").resolve()


async def test_stores_choose_backend_and_namespace(tmp_path: Path) -> None:
    text = backend(f"type: kv_sqlite, db_path: {tmp_path / 'a.db'}") + (
        "  stores:\n    registry: {backend: main}\n    providers: {backend: main, namespace: theirs}\n"
    )
    storage = Storage(read(text).stack)
    await storage.kv("providers").set(SHARED, "k", "v")
    await storage.aclose()
    file = SqliteKV(tmp_path / "a.db")
    assert await file.namespace("theirs").get(SHARED, "k") == b"v"
    assert await file.namespace("providers").get(SHARED, "k") is None
    await file.aclose()


async def test_the_default_backend_can_be_another(tmp_path: Path) -> None:
    text = f"storage: {{backends: {{kv_default: {{type: kv_sqlite, db_path: {tmp_path / 'b.db'}}}}}}}\n"
    made = make_backend(read(text).stack, "kv_default")
    assert isinstance(made, SqliteKV) and made.path == tmp_path / "b.db"


@pytest.mark.parametrize(
    ("fields", "module", "name", "given"),
    [
        (
            "type: kv_redis, url: 'redis://h', max_connections: 3",
            "redis",
            "RedisKV",
            (("redis://h",), {"max_connections": 3}),
        ),
        ("type: kv_postgres, url: 'postgresql://h/d'", "postgres", "PostgresKV", (("postgresql://h/d",), {})),
        (
            "type: kv_mongodb, url: 'mongodb://h', database: d, collection: c",
            "mongodb",
            "MongoKV",
            (("mongodb://h",), {"database": "d", "collection": "c"}),
        ),
        (
            "type: kv_mongodb, url: 'mongodb://h'",
            "mongodb",
            "MongoKV",
            (("mongodb://h",), {"database": "specstack", "collection": "kv"}),
        ),
    ],
)
def test_every_setting_reaches_its_backend(
    fields: str, module: str, name: str, given: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = importlib.import_module(f"specstack.storage.kv.{module}")
    monkeypatch.setattr(where, name, lambda *args, **kwargs: (args, kwargs))
    assert make_backend(read(backend(fields)).stack, "main") == given


async def test_tables_are_beside_what_else_is_kept(home: Path) -> None:
    storage = Storage(read("").stack, SERVER.sql_tables, SERVER.migrations)
    assert storage.sql_backends() == ["sql_default"]
    assert storage.sql_backends([]) == []
    assert await storage.sql("inference").count(SHARED, "chat_completions") == 0
    await storage.aclose()
    assert (home / "distributions" / "t" / "sql_default.db").is_file()


@pytest.mark.parametrize(
    ("fields", "module", "name", "given"),
    [
        ("type: sql_sqlite, db_path: '/x/y.db'", "sqlite", "SqliteSql", ((Path("/x/y.db"),), {})),
        (
            "type: sql_postgres, url: 'postgresql://h/d'",
            "postgres",
            "PostgresSql",
            (("postgresql://h/d",), {}),
        ),
        (
            "type: sql_postgres, url: 'postgres://h/d', max_connections: 3",
            "postgres",
            "PostgresSql",
            (("postgres://h/d",), {"max_connections": 3}),
        ),
    ],
)
def test_every_setting_reaches_its_sql_backend(
    fields: str, module: str, name: str, given: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = importlib.import_module(f"specstack.storage.sql.{module}")
    monkeypatch.setattr(where, name, lambda *args, **kwargs: (args, kwargs))
    text = backend(fields) + "  stores: {inference: {backend: main}}\n  migrate: never\n"
    storage = Storage(read(text).stack, SERVER.sql_tables, SERVER.migrations)
    (*args, making), kwargs = storage.sql_backend("main")
    assert ((*args,), kwargs) == given
    assert (making.name, making.migrate, [one.api for one in making.branches]) == (
        "main",
        False,
        ["inference"],
    )


def test_a_missing_driver_for_tables_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    text = backend("type: sql_postgres, url: 'postgresql://h'") + "  stores: {inference: {backend: main}}\n"
    storage = Storage(read(text).stack, SERVER.sql_tables, SERVER.migrations)

    def missing(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")

    monkeypatch.setattr("specstack.storage.settings.import_module", missing)
    with pytest.raises(StartupError) as caught:
        storage.sql("inference")
    assert str(caught.value) == (
        "storage.backends.main: sql_postgres needs the package psycopg: pip install 'specstack[postgres]'"
    )


def test_a_missing_driver_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = read(backend("type: kv_redis, url: 'redis://h'")).stack

    def missing(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'redis'", name="redis")

    monkeypatch.setattr("specstack.storage.settings.import_module", missing)
    with pytest.raises(StartupError) as caught:
        make_backend(stack, "main")
    assert str(caught.value) == (
        "storage.backends.main: kv_redis needs the package redis: pip install 'specstack[redis]'"
    )


def test_a_url_is_a_secret() -> None:
    stack = read(backend("type: kv_redis, url: 'redis://u:canary@h'")).stack
    assert "canary" not in repr(stack) + stack.model_dump_json()


GALLERY = {
    "no type": (backend("db_path: x"), ["6: storage.backends.main.type: is missing; add it"]),
    "unknown type": (
        backend("type: kv_mysql"),
        [
            "6: storage.backends.main.type: must be 'kv_sqlite', 'kv_redis', 'kv_postgres', 'kv_mongodb', "
            "'sql_sqlite' or 'sql_postgres'",
        ],
    ),
    "a key of another type": (
        backend("type: kv_sqlite, url: 'redis://h'"),
        ["6: storage.backends.main.url: is no setting of kv_sqlite, which takes db_path"],
    ),
    "a database in memory": (
        backend("type: kv_sqlite, db_path: ':memory:'"),
        [
            "6: storage.backends.main.db_path: must be a file: a database in memory is gone with the server, "
            "and no other process sees it"
        ],
    ),
    "no url": (
        backend("type: kv_postgres"),
        ["6: storage.backends.main.url: is missing; kv_postgres needs postgresql://host"],
    ),
    "a url of another type": (
        backend("type: kv_redis, url: 'postgresql://h'"),
        ["6: storage.backends.main.url: must begin with redis:// or rediss:// or unix:// for kv_redis"],
    ),
    "a backend that is not there": (
        backend("type: kv_sqlite") + "  stores:\n    registry: {backend: mian}\n",
        ["8: storage.stores.registry.backend: no storage backend 'mian'; did you mean 'main'?"],
    ),
    "a store of keys where tables are": (
        "storage: {stores: {registry: {backend: sql_default}}}\n",
        [
            "4: storage.stores.registry.backend: the store needs keys and values, and 'sql_default' is "
            "sql_sqlite; name a backend of type kv_sqlite, kv_redis, kv_postgres or kv_mongodb"
        ],
    ),
    "a store of tables where keys are": (
        backend("type: kv_redis, url: 'redis://h'") + "  stores:\n    inference: {backend: main}\n",
        [
            "8: storage.stores.inference.backend: the store needs tables, and 'main' is kv_redis; "
            "name a backend of type sql_sqlite or sql_postgres"
        ],
    ),
    "a default backend of the wrong kind": (
        "storage:\n  backends:\n    sql_default: {type: kv_sqlite}\n",
        [
            "4: storage.stores.inference: the store needs tables, and 'sql_default' is kv_sqlite; "
            "name a backend of type sql_sqlite or sql_postgres"
        ],
    ),
    "a backend with tables that is not there": (
        "storage: {stores: {inference: {backend: sql_defalt}}}\n",
        ["4: storage.stores.inference.backend: no storage backend 'sql_defalt'; did you mean 'sql_default'?"],
    ),
    "tables without a url": (
        backend("type: sql_postgres"),
        ["6: storage.backends.main.url: is missing; sql_postgres needs postgresql://host"],
    ),
    "tables with a url of another type": (
        backend("type: sql_postgres, url: 'mysql://h'"),
        ["6: storage.backends.main.url: must begin with postgresql:// or postgres:// for sql_postgres"],
    ),
    "tables with a key of another type": (
        backend("type: sql_sqlite, database: d"),
        ["6: storage.backends.main.database: is no setting of sql_sqlite, which takes db_path"],
    ),
    "tables in memory": (
        backend("type: sql_sqlite, db_path: ':memory:'"),
        [
            "6: storage.backends.main.db_path: must be a file: a database in memory is gone with the server, "
            "and no other process sees it"
        ],
    ),
    "an unknown way to migrate": (
        "storage: {migrate: later}\n",
        ["4: storage.migrate: must be 'at_start' or 'never'"],
    ),
    "an unknown store": (
        "storage: {stores: {registri: {}}}\n",
        ["4: storage.stores.registri: unknown key; did you mean 'registry'?"],
    ),
    "two stores in one place": (
        "storage: {stores: {registry: {namespace: a}, providers: {namespace: a}}}\n",
        [
            "4: storage.stores.providers: has the backend and namespace of the store 'registry'; "
            "give it another namespace"
        ],
    ),
    "quotas where the registry is": (
        "storage: {stores: {quota: {namespace: registry}}}\n",
        [
            "4: storage.stores.quota: has the backend and namespace of the store 'registry'; "
            "give it another namespace"
        ],
    ),
    "a backend of quotas that is not there": (
        "storage: {stores: {quota: {backend: redis}}}\n",
        ["4: storage.stores.quota.backend: no storage backend 'redis'; there are: kv_default"],
    ),
    "a namespace that is none": (
        "storage: {stores: {registry: {namespace: 'a/b'}}}\n",
        ["4: storage.stores.registry.namespace: must match the pattern ^[A-Za-z0-9_.-]{1,64}$"],
    ),
    "no connections": (
        backend("type: kv_redis, url: 'redis://h', max_connections: 0"),
        ["6: storage.backends.main.max_connections: must be at least 1"],
    ),
    "not a mapping": ("storage: {backends: [1], stores: 3}\n", None),
}


@pytest.mark.parametrize("name", GALLERY)
def test_gallery(name: str) -> None:
    text, expected = GALLERY[name]
    with pytest.raises(ConfigError) as caught:
        read(text)
    if expected is not None:
        assert [line.removeprefix("run.yaml:") for line in caught.value.lines] == expected


def test_a_url_of_the_environment() -> None:
    stack = read(backend("type: kv_redis, url: '${env.REDIS_URL:=redis://localhost:6379/0}'")).stack
    assert stack.storage.backends is not None
    url = stack.storage.backends["main"].url
    assert url is not None and url.get_secret_value() == "redis://localhost:6379/0"
