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

if TYPE_CHECKING:
    from specstack.storage.kv import KVBackend
    from specstack_api.run_config import StackConfig, StorageBackend

DEFAULT_BACKEND = "kv_default"
STORES = ("registry", "providers", "quota")

_KEYS = {
    "kv_sqlite": ("db_path",),
    "kv_redis": ("url", "max_connections"),
    "kv_postgres": ("url", "max_connections"),
    "kv_mongodb": ("url", "database", "collection"),
}
"""The keys of each type; `url` is required where it is one."""
_SCHEMES = {
    "kv_redis": ("redis", "rediss", "unix"),
    "kv_postgres": ("postgresql", "postgres"),
    "kv_mongodb": ("mongodb", "mongodb+srv"),
}


def storage_faults(root: Any) -> list[Fault]:
    """What is wrong with `storage` beyond its form: keys of another type, backends that are not there."""
    storage = root.get("storage") if isinstance(root, Map) else None
    if not isinstance(storage, Map):
        return []
    backends, stores = storage.get("backends"), storage.get("stores")
    found: list[Fault] = []
    names = [DEFAULT_BACKEND]
    if isinstance(backends, Map):
        names += backends
        for name, backend in backends.items():
            if isinstance(backend, Map):
                found += _of_backend(root, name, backend)
    if isinstance(stores, Map):
        found += _of_stores(root, stores, names)
    return found


def driver_extra(kind: str) -> str:
    """The extra that brings the driver of a backend type; "" where none is needed."""
    return "" if kind not in _SCHEMES else kind.removeprefix("kv_")


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


def _of_stores(root: Any, stores: Map, names: list[str]) -> list[Fault]:
    found: list[Fault] = []
    taken: dict[tuple[Any, Any], str] = {}
    for store in STORES:
        reference = stores.get(store)
        fields: Mapping[str, Any] = reference if isinstance(reference, Map) else {}
        backend, namespace = fields.get("backend", DEFAULT_BACKEND), fields.get("namespace", store)
        path = ("storage", "stores", store)
        if isinstance(backend, str) and backend not in names:
            message = f"no storage backend '{backend}'; {close_to(backend, names)}"
            found.append(place(root, (*path, "backend"), message))
        other = taken.setdefault((backend, namespace), store)
        if other != store:
            message = f"has the backend and namespace of the store '{other}'; give it another namespace"
            found.append(place(root, path if reference is not None else ("storage", "stores"), message))
    return found


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


def _module(name: str) -> Any:
    return import_module(f"specstack.storage.kv.{name}")


def _sqlite(stack: "StackConfig", name: str, settings: "StorageBackend | None") -> "KVBackend":
    if settings is not None and settings.db_path is not None:
        path = Path(settings.db_path).expanduser()
    else:
        # Quoted, and never a bare dot: the names are free text.
        folder = quote(stack.distro_name, safe=" ").replace(".", "%2E")
        path = home_dir() / "distributions" / folder / f"{quote(name, safe=' ')}.db"
    return _module("sqlite").SqliteKV(path)


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
