"""The published documents of a server and of all that has joined it, as one."""

import json
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any, cast

from specstack.descriptors import GeneratedServer

NAMES = ("openapi.json", "openapi-3.1.json")
_COMPONENTS = "#/components/"
_BY_NAME = "securitySchemes"
"""Components that nothing refers to by `$ref`."""

Json = dict[str, Any]


def documents(server: GeneratedServer) -> dict[str, bytes]:
    """The documents by the path that they are served on."""
    found = {f"/{name}": text for name in NAMES if (text := _read(server.openapi, name)) is not None}
    added = [one for one in server.external if one.apis]
    if not added:
        return found
    return {path: _merged(path[1:], text, added) for path, text in found.items()}


def _read(package: str, name: str) -> bytes | None:
    file = resources.files(package) / name
    return file.read_bytes() if file.is_file() else None


def _merged(name: str, text: bytes, added: list[GeneratedServer]) -> bytes:
    document: Json = json.loads(text)
    for one in added:
        other = _read(one.openapi, name)
        if other is not None:
            merge(document, json.loads(other), one.package)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def merge(document: Json, other: Json, package: str) -> None:
    """Put the operations of `other` into `document`, with the components that they need.

    Components of one name that say something else are called `<package>_<name>`: people who do not know each
    other may choose the same name.
    """
    renamed = {f"{_COMPONENTS}{section}/{name}" for section, name in _different(document, other)}
    other = _redirected(other, {ref: _new_ref(ref, package) for ref in renamed})
    known = {tag["name"] for tag in document.get("tags", ())}
    document.setdefault("tags", []).extend(tag for tag in other.get("tags", ()) if tag["name"] not in known)
    document.setdefault("paths", {}).update(other.get("paths", {}))
    for section, parts in _parts(other):
        target = document.setdefault("components", {}).setdefault(section, {})
        for name, value in parts.items():
            new = f"{package}_{name}" if f"{_COMPONENTS}{section}/{name}" in renamed else name
            target.setdefault(new, value)


def _different(document: Json, other: Json) -> set[tuple[str, str]]:
    """The components that both have and that differ, themselves or in what they refer to."""
    shared = {
        (section, name): value
        for section, parts in _parts(other)
        if section != _BY_NAME
        for name, value in parts.items()
        if name in document.get("components", {}).get(section, {})
    }
    found = {key for key, value in shared.items() if document["components"][key[0]][key[1]] != value}
    grown = True
    while grown:
        refs = {f"{_COMPONENTS}{section}/{name}" for section, name in found}
        more = {key for key, value in shared.items() if key not in found and refs & set(_texts(value))}
        found |= more
        grown = bool(more)
    return found


def _parts(document: Json) -> Iterator[tuple[str, Json]]:
    return iter(cast(Mapping[str, Json], document.get("components", {})).items())


def _new_ref(ref: str, package: str) -> str:
    head, _, name = ref.rpartition("/")
    return f"{head}/{package}_{name}"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in cast(Json, value).values() if isinstance(value, dict) else cast(list[Any], value):
            yield from _texts(item)


def _redirected(value: Any, refs: Mapping[str, str]) -> Any:
    """A copy in which every reference that is a key of `refs` leads elsewhere."""
    if isinstance(value, str):
        return refs.get(value, value)
    if isinstance(value, list):
        return [_redirected(item, refs) for item in cast(list[Any], value)]
    if isinstance(value, dict):
        return {key: _redirected(item, refs) for key, item in cast(Json, value).items()}
    return value
