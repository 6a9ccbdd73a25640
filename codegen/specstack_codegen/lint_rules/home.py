"""The main spec beside the one that is checked: where spec/meta is, and what satellites may lean on.

A satellite spec (an API of somebody else) has no meta folder and no error roles of its own; it uses those of
the main project. They are found beside the code generator: in the repository at `spec/`, in an installed
wheel at `specstack_codegen/spec/`.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from specstack_codegen.bundle import Spec, read_spec
from specstack_codegen.source import Map, read_yaml

_PACKAGE = Path(__file__).resolve().parents[1]
_CANDIDATES = (_PACKAGE.parents[1] / "spec", _PACKAGE / "spec")


def is_main(spec: Spec) -> bool:
    """Whether `spec` is the main spec: the one that brings the meta folder."""
    return (spec.root / "meta").is_dir()


def main_root(spec: Spec | None = None) -> Path:
    """The folder of the main spec: `spec`'s own, or the one beside the code generator.

    Raises FileNotFoundError when there is none.
    """
    candidates = (*((spec.root,) if spec else ()), *_CANDIDATES)
    for candidate in candidates:
        if (candidate / "meta").is_dir():
            return candidate
    raise FileNotFoundError(f"no meta folder in {', '.join(str(path) for path in candidates)}")


def meta(spec: Spec, name: str) -> dict[str, Any]:
    """The JSON document `meta/<name>.json`."""
    return _load(main_root(spec) / "meta" / f"{name}.json")


def meta_schema(name: str) -> dict[str, Any]:
    """The JSON document `meta/<name>.json` of the main spec."""
    return _load(main_root() / "meta" / f"{name}.json")


@lru_cache(maxsize=64)
def _load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def extension_schemas(spec: Spec) -> dict[str, dict[str, Any]]:
    """The JSON Schema of every x- extension's value."""
    return _extension_schemas(main_root(spec))


@lru_cache(maxsize=8)
def _extension_schemas(root: Path) -> dict[str, dict[str, Any]]:
    document = _load(root / "meta" / "extensions.json")
    return {
        name: {"$defs": document["$defs"], **extension["schema"]}
        for name, extension in document["extensions"].items()
    }


def public_extensions() -> frozenset[str]:
    """The x- extensions that clients see in the published document."""
    extensions = _load(main_root() / "meta" / "extensions.json")["extensions"]
    return frozenset(name for name, extension in extensions.items() if extension["public"])


def error_tables(spec: Spec) -> list[Map]:
    """errors.yaml of this spec and, for a satellite, of the main spec."""
    return [spec.errors] if is_main(spec) else [spec.errors, _yaml(main_root(spec), "errors")]


def error_classes(spec: Spec) -> set[str]:
    """The classes that errors.yaml names."""
    return {name for table in error_tables(spec) for name in table.map("errors")}


def error_codes(spec: Spec) -> set[str]:
    """The codes that errors may carry."""
    tables = error_tables(spec)
    return {
        kind.text("code")
        for table in tables
        for kind in table.map("errors").values()
        if isinstance(kind, Map)
    }


def envelopes(spec: Spec) -> set[str]:
    """The error forms that an API may choose."""
    return {name for table in error_tables(spec) for name in table.map("envelopes")}


def main_spec(spec: Spec) -> Spec | None:
    """The main spec beside a satellite, None when `spec` is it or when only its meta folder is there."""
    root = main_root(spec)
    return None if is_main(spec) or not (root / "openapi").is_dir() else _read(root)


def resources(spec: Spec) -> dict[str, Map]:
    """Every resource by name, the main spec's included."""
    own = {name: value for name, value in spec.resources.map("resources").items() if isinstance(value, Map)}
    main = _yaml(main_root(spec), "resources").map("resources")
    return {name: value for name, value in main.items() if isinstance(value, Map)} | own


def services(spec: Spec) -> set[str]:
    """Every service by name, the main spec's included."""
    return {*spec.services.map("services"), *_yaml(main_root(spec), "services").map("services")}


def main_storage(spec: Spec) -> Map | None:
    """storage.yaml of the main spec beside a satellite; None when `spec` is it or when it is not there."""
    found = Map() if is_main(spec) else _yaml(main_root(spec), "storage")
    return found or None


@lru_cache(maxsize=8)
def _read(root: Path) -> Spec:
    return read_spec(root)


@lru_cache(maxsize=8)
def _yaml(root: Path, name: str) -> Map:
    path = root / f"{name}.yaml"
    return read_yaml(path, root)[0] if path.exists() else Map()
