"""The storage part of a run config: what goes with what, and the backends that it describes."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from specstack.config_schema import close_to
from specstack.config_values import Fault, place
from specstack.positions import Map
from specstack.sources import home_dir
from specstack.startup import StartupError
from specstack_api.stores import STORES

if TYPE_CHECKING:
    from specstack.storage.kv import KVBackend
    from specstack.storage.sql.base import SqlBackend
    from specstack.storage.sql.schema import Making
    from specstack_api.run_config import StackConfig, StorageBackend

DEFAULTS = {"kv": "kv_default", "sql": "sql_default"}
"""The backends that are there without being written, by the kind of store that they are for."""

_KEYS = {
    "kv_sqlite": ("db_path",),
    "kv_redis": ("url", "max_connections"),
    "kv_postgres": ("url", "max_connections"),
    "kv_mongodb": ("url", "database", "collection"),
    "sql_sqlite": ("db_path",),
    "sql_postgres": ("url", "max_connections"),
}
"""The keys of each type; `url` is required where it is one."""
_SCHEMES = {
    "kv_redis": ("redis", "rediss", "unix"),
    "kv_postgres": ("postgresql", "postgres"),
    "kv_mongodb": ("mongodb", "mongodb+srv"),
    "sql_postgres": ("postgresql", "postgres"),
}
_HOLDS = {"kv": "keys and values", "sql": "tables"}


def storage_faults(root: Any) -> list[Fault]:
    """What is wrong with `storage` beyond its form: keys of another type, backends that are not there."""
    storage = root.get("storage") if isinstance(root, Map) else None
    if not isinstance(storage, Map):
        return []
    backends, stores = storage.get("backends"), storage.get("stores")
    found: list[Fault] = []
    kinds: dict[str, str] = {name: f"{kind}_sqlite" for kind, name in DEFAULTS.items()}
    if isinstance(backends, Map):
        for name, backend in backends.items():
            kinds[name] = ""
            if isinstance(backend, Map):
                kinds[name] = str(backend.get("type", ""))
                found += _of_backend(root, name, backend)
    return found + _of_stores(root, stores if isinstance(stores, Map) else Map(0), kinds)


def driver_extra(kind: str) -> str:
    """The extra that brings the driver of a backend type; "" where none is needed."""
    return "" if kind not in _SCHEMES else kind.partition("_")[2]


def _of_backend(root: Any, name: str, backend: Map) -> list[Fault]:
    path, kind = ("storage", "backends", name), backend.get("type")
    if not isinstance(kind, str) or kind not in _KEYS:
        return []  # the schema says so
    every = {key for keys in _KEYS.values() for key in keys}
    found = [
        place(root, (*path, key), f"is no setting of {kind}, which takes {' and '.join(_KEYS[kind])}")
        for key in backend
        if key in every and key not in _KEYS[kind]
    ]
    if backend.get("db_path") == ":memory:":
        message = "must be a file: a database in memory is gone with the server, and no other process sees it"
        found.append(place(root, (*path, "db_path"), message))
    schemes, url = _SCHEMES.get(kind), backend.get("url")
    if schemes is None:
        return found
    if url is None:
        found.append(place(root, (*path, "url"), f"is missing; {kind} needs {schemes[0]}://host"))
    elif isinstance(url, str) and url.partition("://")[0] not in schemes:
        message = f"must begin with {' or '.join(f'{one}://' for one in schemes)} for {kind}"
        found.append(place(root, (*path, "url"), message))
    return found


def _of_stores(root: Any, stores: Map, kinds: Mapping[str, str]) -> list[Fault]:
    """`kinds` are the types of the backends, "" where the type itself is wrong."""
    found: list[Fault] = []
    taken: dict[tuple[Any, Any], str] = {}
    for store, kind in STORES.items():
        reference = stores.get(store)
        fields: Mapping[str, Any] = reference if isinstance(reference, Map) else {}
        backend = fields.get("backend", DEFAULTS[kind])
        here = (store, "backend") if "backend" in fields else (store,)
        path = ("storage", "stores", *here)
        if isinstance(backend, str):
            message = _no_place(backend, kind, kinds)
            if message:
                found.append(place(root, path, message))
        if kind == "kv":
            other = taken.setdefault((backend, fields.get("namespace", store)), store)
            if other != store:
                message = f"has the backend and namespace of the store '{other}'; give it another namespace"
                where = ("storage", "stores") if reference is None else ("storage", "stores", store)
                found.append(place(root, where, message))
    return found


def _no_place(backend: str, kind: str, kinds: Mapping[str, str]) -> str:
    """Why a store of `kind` cannot be in a backend; "" if it can."""
    if backend not in kinds:
        fitting = [name for name, type_ in kinds.items() if type_.startswith(f"{kind}_")]
        return f"no storage backend '{backend}'; {close_to(backend, fitting)}"
    type_ = kinds[backend]
    if type_ not in _KEYS or type_.startswith(f"{kind}_"):
        return ""
    right = [one for one in _KEYS if one.startswith(f"{kind}_")]
    wanted = f"{', '.join(right[:-1])} or {right[-1]}"
    return f"the store needs {_HOLDS[kind]}, and '{backend}' is {type_}; name a backend of type {wanted}"


def make_backend(stack: "StackConfig", name: str) -> "KVBackend":
    """A backend of the run config, not opened yet. Raises StartupError where its driver is missing."""
    settings = (stack.storage.backends or {}).get(name)
    kind = settings.type if settings is not None else "kv_sqlite"
    try:
        return _MAKERS[kind](stack, name, settings)
    except ImportError as error:
        message = f"{kind} needs the package {error.name}: pip install 'specstack[{driver_extra(kind)}]'"
        raise StartupError(f"storage.backends.{name}: {message}") from None
    except ValueError as error:
        raise StartupError(f"storage.backends.{name}: {error}") from None


def make_sql_backend(stack: "StackConfig", name: str, making: "Making") -> "SqlBackend":
    """A SQL backend of the run config, not opened yet. Raises StartupError where its driver is missing."""
    settings = (stack.storage.backends or {}).get(name)
    kind = settings.type if settings is not None else "sql_sqlite"
    try:
        if kind == "sql_sqlite":
            module = import_module("specstack.storage.sql.sqlite")
            return module.SqliteSql(_file(stack, name, settings), making)
        module = import_module("specstack.storage.sql.postgres")
        return module.PostgresSql(_url(settings), making, **_pool(settings))
    except ImportError as error:
        message = f"{kind} needs the package {error.name}: pip install 'specstack[{driver_extra(kind)}]'"
        raise StartupError(f"storage.backends.{name}: {message}") from None


def _module(name: str) -> Any:
    return import_module(f"specstack.storage.kv.{name}")


def _file(stack: "StackConfig", name: str, settings: "StorageBackend | None") -> Path:
    if settings is not None and settings.db_path is not None:
        return Path(settings.db_path).expanduser()
    # Quoted, and never a bare dot: the names are free text.
    folder = quote(stack.distro_name, safe=" ").replace(".", "%2E")
    return home_dir() / "distributions" / folder / f"{quote(name, safe=' ')}.db"


def _sqlite(stack: "StackConfig", name: str, settings: "StorageBackend | None") -> "KVBackend":
    return _module("sqlite").SqliteKV(_file(stack, name, settings))


def _url(settings: "StorageBackend | None") -> str:
    assert settings is not None and settings.url is not None
    return settings.url.get_secret_value()


def _pool(settings: "StorageBackend | None") -> dict[str, int]:
    size = settings.max_connections if settings is not None else None
    return {} if size is None else {"max_connections": size}


def _redis(stack: "StackConfig", name: str, settings: "StorageBackend | None") -> "KVBackend":
    return _module("redis").RedisKV(_url(settings), **_pool(settings))


def _postgres(stack: "StackConfig", name: str, settings: "StorageBackend | None") -> "KVBackend":
    return _module("postgres").PostgresKV(_url(settings), **_pool(settings))


def _mongodb(stack: "StackConfig", name: str, settings: "StorageBackend | None") -> "KVBackend":
    assert settings is not None
    database, collection = settings.database or "specstack", settings.collection or "kv"
    return _module("mongodb").MongoKV(_url(settings), database=database, collection=collection)


_MAKERS: dict[str, Callable[["StackConfig", str, "StorageBackend | None"], "KVBackend"]] = {
    "kv_sqlite": _sqlite,
    "kv_redis": _redis,
    "kv_postgres": _postgres,
    "kv_mongodb": _mongodb,
}
