"""Key-value backends. `base` is what they share; each other module is one of them."""

from specstack.storage.kv.base import KVBackend, Namespace, Place

__all__ = ["KVBackend", "Namespace", "Place"]
