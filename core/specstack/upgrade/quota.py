"""The old `server.quota`, one number for each kind of caller in one period, as our lists of windows.

Lines are kept, so that what is said later points at the old places.
"""

from typing import Any

from specstack.positions import Map, Seq

_LIMITS = {
    "anonymous_max_requests": ("anonymous", 100),
    "authenticated_max_requests": ("authenticated", 1000),
}
"""Their key -> ours, and the limit that held without it."""
_PERIOD = "day"
_OWN = {*_LIMITS, "period", "kvstore"}
_STORE = "quota"


def with_windows(root: Map) -> Map:
    """`root` with its quota in our form; as it is where there is none of the old form."""
    server = root.get("server")
    quota = server.get("quota") if isinstance(server, Map) else None
    if not isinstance(server, Map) or not isinstance(quota, Map) or not _OWN & set(quota):
        return root
    found = _copy(root, "server", _copy(server, "quota", _windows(quota)))
    store = quota.get("kvstore")
    return _with_store(found, store) if isinstance(store, Map) else found


def _windows(quota: Map) -> Map:
    found = Map(quota.line)
    for old, (ours, without) in _LIMITS.items():
        line = quota.lines.get(old, quota.line)
        window = Map(line)
        window.put("per", quota.get("period") or _PERIOD, quota.lines.get("period", line))
        window.put("requests", without if quota.get(old) is None else quota[old], line)
        windows = Seq(line)
        windows.add(window, line)
        found.put(ours, windows, line)
    for key, value in quota.items():
        if key not in _OWN:
            found.put(key, value, quota.lines[key])
    return found


def _with_store(root: Map, store: Map) -> Map:
    """`kvstore` named a backend, or described one of its own."""
    storage = root.get("storage")
    storage = storage if isinstance(storage, Map) else Map(store.line)
    reference = store
    if "backend" not in store:
        backend = Map(store.line)
        for key, value in store.items():
            if key == "type":
                backend.put(key, f"kv_{str(value).removeprefix('kv_')}", store.lines[key])
            elif key != "namespace":
                backend.put(key, value, store.lines[key])
        storage = _copy(storage, "backends", _put(storage.get("backends"), backend))
        reference = Map(store.line)
        reference.put("backend", _STORE, store.line)
        if "namespace" in store:
            reference.put("namespace", store["namespace"], store.lines["namespace"])
    return _copy(root, "storage", _copy(storage, "stores", _put(storage.get("stores"), reference)))


def _put(node: Any, value: Map) -> Map:
    """A copy of the mapping with `value` under the store's name."""
    return _copy(node if isinstance(node, Map) else Map(value.line), _STORE, value)


def _copy(node: Map, key: str, value: Any) -> Map:
    """A copy of the mapping with another value under `key`."""
    found = Map(node.line)
    for name, one in node.items():
        found.put(name, one, node.lines[name])
    line: int = node.lines.get(key) or value.line
    found.put(key, value, line)
    return found
