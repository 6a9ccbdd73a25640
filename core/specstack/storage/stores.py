"""The stores of a running server, by the names of its run config."""

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from specstack.descriptors import SqlTable
from specstack.startup import StartupError
from specstack.storage.settings import make_backend, make_sql_backend
from specstack_api.stores import STORES
from specstack_wire import KVStore, SqlStore

if TYPE_CHECKING:
    from specstack.storage.kv import KVBackend
    from specstack.storage.sql.base import SqlBackend
    from specstack_api.run_config import StackConfig


class Pinged(Protocol):
    """A backend as readiness sees it."""

    @property
    def in_use(self) -> bool:
        """Whether anything was asked of it so far."""
        ...

    async def ping(self) -> None:
        """Look something up, as any call would. Raises StorageUnavailable."""


class Storage:
    """The backends of a run config; each is made and opened when something first needs it.

    `tables` are those of the generated server, `migrations` the packages with the revisions of each API.
    """

    def __init__(
        self,
        stack: "StackConfig",
        tables: Iterable[SqlTable] = (),
        migrations: Mapping[str, str] | None = None,
    ) -> None:
        self._stack = stack
        self._tables = tuple(tables)
        self._migrations = migrations or {}
        self._backends: dict[str, KVBackend] = {}
        self._sql: dict[str, SqlBackend] = {}
        self._stores: dict[str, set[str]] = {}

    def backend_of(self, store: str) -> str:
        """The name of the backend that a store is in."""
        return self._reference(store).backend

    def kv(self, store: str) -> KVStore:
        """The store of that name. Raises StartupError where its backend's driver is missing."""
        reference = self._reference(store)
        self._stores.setdefault(reference.backend, set()).add(store)
        return self._backend(reference.backend).namespace(reference.namespace or store)

    def sql(self, store: str) -> SqlStore:
        """The tables of that store. Raises StartupError where their backend's driver is missing."""
        from specstack.storage.sql.store import Tables

        own = [table for table in self._tables if table.store == store]
        return Tables(self.sql_backend(self.backend_of(store)), own)

    def sql_backends(self, apis: Collection[str] | None = None) -> list[str]:
        """The names of the backends that hold tables, of certain APIs or of any."""
        wanted = {table.store for table in self._tables if apis is None or table.api in apis}
        return sorted({self.backend_of(store) for store in wanted})

    def sql_backend(self, name: str) -> "SqlBackend":
        """A backend with tables. Raises StartupError where its driver is missing."""
        if name not in self._sql:
            from specstack.storage.sql.schema import Making, branches

            apis = {table.api for table in self._tables if self.backend_of(table.store) == name}
            try:
                known = branches(self._migrations, apis)
            except ValueError as error:
                raise StartupError(f"storage.backends.{name}: {error}") from None
            making = Making(name, known, self._stack.storage.migrate == "at_start")
            self._sql[name] = make_sql_backend(self._stack, name, making)
        return self._sql[name]

    def in_use(self) -> Mapping[str, Pinged]:
        """The backends of which anything was asked so far, by name."""
        every: dict[str, Pinged] = {**self._backends, **self._sql}
        return {name: backend for name, backend in every.items() if backend.in_use}

    def stores_in(self, backend: str) -> set[str]:
        """The stores that somebody has, of those in a backend."""
        tables = {table.store for table in self._tables if self.backend_of(table.store) == backend}
        return tables | self._stores.get(backend, set())

    async def aclose(self) -> None:
        """Close every backend."""
        for backend in (*self._backends.values(), *self._sql.values()):
            await backend.aclose()

    def _reference(self, store: str) -> Any:
        assert store in STORES, store
        return getattr(self._stack.storage.stores, store)

    def _backend(self, name: str) -> "KVBackend":
        if name not in self._backends:
            self._backends[name] = make_backend(self._stack, name)
        return self._backends[name]
