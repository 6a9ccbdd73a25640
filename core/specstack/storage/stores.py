"""The stores of a running server, by the names of its run config."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from specstack.storage.settings import make_backend
from specstack_wire import KVStore

if TYPE_CHECKING:
    from specstack.storage.kv import KVBackend
    from specstack_api.run_config import StackConfig, StoreReference


class Storage:
    """The backends of a run config; each is made and opened when something first needs it."""

    def __init__(self, stack: "StackConfig") -> None:
        self._stack = stack
        self._backends: dict[str, KVBackend] = {}
        self._stores: dict[str, set[str]] = {}

    def backend_of(self, store: str) -> str:
        """The name of the backend that a store is in."""
        return self._reference(store).backend

    def kv(self, store: str) -> KVStore:
        """The store of that name. Raises StartupError where its backend's driver is missing."""
        reference = self._reference(store)
        self._stores.setdefault(reference.backend, set()).add(store)
        return self._backend(reference.backend).namespace(reference.namespace or store)

    def in_use(self) -> Mapping[str, "KVBackend"]:
        """The backends of which anything was asked so far, by name."""
        return {name: backend for name, backend in self._backends.items() if backend.in_use}

    def stores_in(self, backend: str) -> set[str]:
        """The stores that somebody has, of those in a backend."""
        return self._stores.get(backend, set())

    async def aclose(self) -> None:
        """Close every backend."""
        for backend in self._backends.values():
            await backend.aclose()

    def _reference(self, store: str) -> "StoreReference":
        found: StoreReference = getattr(self._stack.storage.stores, store)
        return found

    def _backend(self, name: str) -> "KVBackend":
        if name not in self._backends:
            self._backends[name] = make_backend(self._stack, name)
        return self._backends[name]
