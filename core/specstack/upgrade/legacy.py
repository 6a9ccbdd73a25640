"""Older forms brought into the long form of version 2: version 1's routing table, and storage in short.

Lines are kept, so that what is said later points at the old places.
"""

from typing import Any, cast

from specstack.positions import Map, Seq
from specstack.upgrade.quota import with_windows

_TABLE = "routing_table"
_MAPS = ("api_providers", "provider_map")
_DEFAULT = "kv_default"
_INFERENCE = "inference"
_OLD_STORES = {
    "metadata_store": ("metadata", "kv", _DEFAULT),
    "inference_store": (_INFERENCE, "sql", "sql_default"),
}
"""Key at the top -> the store, the kind of its backend, and a name for that."""


def as_version_2(root: Map) -> Map:
    """`root` with `providers`, with `storage` as backends and stores, and with `server.quota` as windows."""
    return with_windows(_keeping(_long_storage(_gathered(_with_providers(root)))))


def _with_providers(root: Map) -> Map:
    if not any(name in root for name in (_TABLE, *_MAPS)):
        return root
    found = Map(root.line)
    providers = Map(root.line)
    for key, value in root.items():
        line = root.lines[key]
        if key == _TABLE and isinstance(value, Map):
            for api, entries in value.items():
                _add(providers, api, entries, value.lines[api])
        elif key in _MAPS and isinstance(value, Map):
            for api, entry in value.items():
                # `providers: [types]` there only repeats what the routing table says.
                if not (isinstance(entry, Map) and "providers" in entry):
                    _add(providers, api, entry, value.lines[api])
        else:
            found.put(key, value, line)
    for api, items in found.get("providers", Map(root.line)).items():
        providers.put(api, items, root.line)
    found.put("providers", providers, root.line)
    return found


def _add(providers: Map, api: str, entries: Any, line: int) -> None:
    listed: list[Any] = cast(list[Any], entries) if isinstance(entries, list) else [entries]
    items = providers.get(api) or Seq(line)
    for index, entry in enumerate(listed):
        if isinstance(entry, Map):
            items.add(_provider(entry, index if len(listed) > 1 else None), entry.line)
    if items:
        providers.put(api, items, line)


def _provider(entry: Map, index: int | None) -> Map:
    """What was called `provider_id` is the type; several of one API were numbered."""
    found = Map(entry.line)
    for key, value in entry.items():
        if key == "provider_id" and "provider_type" not in entry:
            short = str(value).rpartition("::")[2]
            own = short if index is None else f"{short}-{index:02d}"
            found.put("provider_id", own, entry.lines[key])
            found.put("provider_type", value, entry.lines[key])
        else:
            found.put(key, value, entry.lines[key])
    return found


def _gathered(root: Map) -> Map:
    """Before there was `storage`, each store stood at the top with a backend of its own."""
    old = [key for key in _OLD_STORES if isinstance(root.get(key), Map)]
    if not old or "storage" in root:
        return root
    line = root.lines[old[0]]
    backends, stores, storage, found = Map(line), Map(line), Map(line), Map(root.line)
    for key in old:
        store, kind, backend = _OLD_STORES[key]
        node, here = root[key], Map(root.lines[key])
        for name, value in node.items():
            prefixed = name == "type" and not str(value).startswith(f"{kind}_")
            here.put(name, f"{kind}_{value}" if prefixed else value, node.lines[name])
        backends.put(backend, here, root.lines[key])
        stores.put(store, _reference(store, backend, root.lines[key]), root.lines[key])
    storage.put("backends", backends, line)
    storage.put("stores", stores, line)
    for key, value in root.items():
        if key not in old:
            found.put(key, value, root.lines[key])
    found.put("storage", storage, line)
    return found


def _long_storage(root: Map) -> Map:
    """In short, `storage` says where the registry is, and each store has a backend of its own."""
    short = root.get("storage")
    if not isinstance(short, Map) or "type" not in short:
        return root
    line = root.lines["storage"]
    backends, stores, rest = Map(short.line), Map(short.line), Map(short.line)
    default = Map(short.line)
    default.put("type", f"kv_{short['type']}", short.lines["type"])
    for key, value in short.items():
        if key == "stores" and isinstance(value, Map):
            for name, backend in value.items():
                backends.put(name, backend, value.lines[name])
                stores.put(name, _reference(name, name, value.lines[name]), value.lines[name])
        elif key != "type":
            default.put(key, value, short.lines[key])
    backends.put(_DEFAULT, default, short.line)
    stores.put("metadata", _reference("metadata", _DEFAULT, short.line), short.line)
    rest.put("backends", backends, short.line)
    rest.put("stores", stores, short.line)
    found = Map(root.line)
    for key, value in root.items():
        found.put(key, rest if key == "storage" else value, line if key == "storage" else root.lines[key])
    return found


def _keeping(root: Map) -> Map:
    """The store of chat completions kept all of them unless it was told not to; nobody wrote that."""
    reference: Any = root
    for name in ("storage", "stores", _INFERENCE):
        reference = reference.get(name) if isinstance(reference, Map) else None
    # Only theirs names a table.
    if isinstance(reference, Map) and "table_name" in reference and "enabled" not in reference:
        reference.put("enabled", True, reference.line)
    return root


def _reference(store: str, backend: str, line: int) -> Map:
    found = Map(line)
    found.put("backend", backend, line)
    if store == _INFERENCE:
        found.put("enabled", True, line)
    return found
