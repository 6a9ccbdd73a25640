"""Folders with specs of other people: what is in them, and where the code generated from it is.

The code is in `generated/` beside the spec, or else in the cache. Either way its manifest says from what it
was made: the hashes of the spec's files and of the generator. So nothing depends on times, and the code may
be made on another machine.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from specstack.sources import cache_dir

BESIDE = "generated"
MANIFEST = "manifest.json"
_TABLES = ("errors", "resources", "services", "settings")
_PACKAGE = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Generated:
    """Generated code on disk. `sources` maps the spec's files to their hashes when it was made."""

    out: Path
    package: str
    inputs: str
    generator: str
    source: str
    sources: Mapping[str, str]
    files: Mapping[str, str] = field(repr=False)

    @property
    def whole(self) -> bool:
        """Whether every file is there as it was written."""
        return all(_hash(self.out / path) == value for path, value in self.files.items())


def spec_files(root: Path) -> dict[str, str]:
    """The hash of every file of the spec in a folder, by its path there."""
    found = [*(root / "openapi").glob("*.yaml"), *(root / f"{name}.yaml" for name in _TABLES)]
    nested = (root / "providers").is_dir() or (root / "openapi").is_dir()
    # Folders with a dot in front are those of tools, and of mounted volumes.
    found += (root / "providers" if nested else root).glob("[!.]*/*.yaml")
    return {path.relative_to(root).as_posix(): _hash(path) for path in sorted(set(found)) if path.is_file()}


def fingerprint(sources: Mapping[str, str], generator: str) -> str:
    """The hash of all that generated code depends on."""
    text = json.dumps([generator, sorted(sources.items())])
    return hashlib.sha256(text.encode()).hexdigest()


def manifest_of(root: Path, package: str, generator: str, *, in_cache: bool) -> dict[str, Any]:
    """What the manifest of a folder's code says besides hashes. Only in the cache it names the folder."""
    source = str(root) if in_cache else ""
    return {"package": package, "generator": generator, "source": source, "sources": spec_files(root)}


def cached(root: Path, inputs: str) -> Path:
    """Where the code of a folder with this fingerprint is kept when it is not beside it."""
    return _cache() / f"{root.name}-{inputs[:16]}"


def code_of(root: Path, generator: str) -> tuple[Generated | None, str]:
    """The current code of a folder, or None and why there is none."""
    sources = spec_files(root)
    inputs = fingerprint(sources, generator)
    beside = read_manifest(root / BESIDE)
    for one in (beside, read_manifest(cached(root, inputs))):
        if one is not None and one.inputs == inputs:
            return (one, "") if one.whole else (None, f"the code in {one.out} is not as it was generated")
    return None, _why(root, beside or latest(root), sources)


def latest(root: Path) -> Generated | None:
    """The code that was made last of a folder: beside it, or in the cache. It may be out of date."""
    beside = read_manifest(root / BESIDE)
    if beside is not None:
        return beside
    found = sorted(_cache().glob(f"{root.name}-*/{MANIFEST}"), key=lambda path: path.stat().st_mtime)
    read = (read_manifest(path.parent) for path in reversed(found))
    return next((one for one in read if one is not None and one.source == str(root)), None)


def read_manifest(out: Path) -> Generated | None:
    """The generated code in a folder; None where there is none that can be told."""
    try:
        said = json.loads((out / MANIFEST).read_bytes())
        names = ("package", "inputs", "generator", "source", "sources", "files")
        return Generated(out, *(cast(dict[str, Any], said)[name] for name in names))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def package_name(root: Path) -> str:
    """The prefix of the generated packages if nobody chooses one: made of the folder's name."""
    name = re.sub(r"[^a-z0-9]+", "_", root.name.lower()).strip("_")
    return name if is_package(name) else f"ext_{name}".rstrip("_")


def is_package(name: str) -> bool:
    """Whether packages may be called so."""
    return _PACKAGE.fullmatch(name) is not None


def _why(root: Path, old: Generated | None, sources: Mapping[str, str]) -> str:
    if old is None:
        return f"the code for {root} has not been generated"
    changed = sorted(
        name for name in sources.keys() | old.sources.keys() if sources.get(name) != old.sources.get(name)
    )
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        verb = "have" if more else "has"
        return f"{root / changed[0]}{more} {verb} changed since the code for it was generated"
    return f"the code for {root} was generated for another specstack"


def _cache() -> Path:
    return cache_dir() / "external"


def _hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
