"""Compares generated files with the output folder and brings the folder up to date, all or nothing.

The manifest in the output folder (committed with it) names every generated file with its hash, and the hash
of all inputs. So a fresh clone knows without generating whether its generated code is current, and files that
are no longer generated can be told from files that somebody put there.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from specstack_codegen.naming import MARKER

MANIFEST = "manifest.json"
_COMMENT = f"{MARKER}. Hashes of the inputs and of every generated file."


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between the generated files and the folder."""

    written: dict[str, str]
    removed: list[str]

    def __bool__(self) -> bool:
        return bool(self.written or self.removed)


def is_current(out: Path, inputs: str) -> bool:
    """Whether the folder holds exactly what the inputs of this hash give, by its manifest."""
    manifest = _read_manifest(out)
    if manifest.get("inputs") != inputs:
        return False
    files: dict[str, str] = manifest.get("files", {})
    return all(_hash_of(out / path) == value for path, value in files.items())


def with_manifest(
    files: Mapping[str, str], inputs: str, more: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """The files and their manifest, which says `more` where that is given."""
    hashes = {path: _sha256(text.encode()) for path, text in sorted(files.items())}
    said = {"comment": _COMMENT, "inputs": inputs, **(more or {}), "files": hashes}
    manifest = json.dumps(said, indent=1) + "\n"
    return {**files, MANIFEST: manifest}


def compare(out: Path, files: Mapping[str, str]) -> Changes:
    """What must be written and removed so that the folder holds `files` and no other generated file."""
    written = {
        path: text for path, text in sorted(files.items()) if _hash_of(out / path) != _sha256(text.encode())
    }
    return Changes(written, sorted(_stale(out, files)))


def apply(out: Path, changes: Changes) -> None:
    """Brings the folder up to date. New contents are complete on disk before the first file is replaced."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".writing-") as name:
        staging = Path(name)
        for path, text in changes.written.items():
            target = staging / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text.encode())
        # The manifest goes last: until then the folder counts as out of date.
        for path in sorted(changes.written, key=lambda path: path == MANIFEST):
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            (staging / path).replace(out / path)
    for path in changes.removed:
        (out / path).unlink(missing_ok=True)
        _remove_empty(out, (out / path).parent)


def diff(out: Path, changes: Changes) -> Iterator[str]:
    """The changes as a unified diff, from what is on disk to what should be."""
    for path, text in changes.written.items():
        if path == MANIFEST:
            continue
        before = _read(out / path)
        yield from _diff(path, before, text)
    for path in changes.removed:
        yield from _diff(path, _read(out / path), None)


def _diff(path: str, before: str | None, after: str | None) -> Iterator[str]:
    yield from difflib.unified_diff(
        [] if before is None else before.splitlines(keepends=True),
        [] if after is None else after.splitlines(keepends=True),
        "/dev/null" if before is None else f"a/{path}",
        "/dev/null" if after is None else f"b/{path}",
    )


def _stale(out: Path, files: Mapping[str, str]) -> Iterator[str]:
    """Files on disk that are generated no more: named by the old manifest, or bearing the marker."""
    listed = set[str](_read_manifest(out).get("files", {}))
    for top in sorted({path.split("/")[0] for path in [*files, *listed] if "/" in path}):
        for path in sorted((out / top).rglob("*")):
            relative = path.relative_to(out).as_posix()
            if relative in files or "__pycache__" in path.parts or not path.is_file():
                continue
            if relative in listed or _is_generated(path):
                yield relative


def _is_generated(path: Path) -> bool:
    with path.open("rb") as file:
        return MARKER.encode() in file.read(1000)


def _remove_empty(out: Path, folder: Path) -> None:
    while folder != out and folder.is_relative_to(out):
        left = [path for path in folder.iterdir() if path.name != "__pycache__"]
        if left:
            return
        shutil.rmtree(folder)
        folder = folder.parent


def _read_manifest(out: Path) -> dict[str, Any]:
    """The manifest; an empty one where there is none that can be read (a merge conflict, say)."""
    try:
        value = json.loads((out / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return {}
    manifest = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    # Somebody else's file of that name says nothing of what may be removed.
    return manifest if str(manifest.get("comment")).startswith(MARKER) else {}


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else None


def _hash_of(path: Path) -> str:
    try:
        return _sha256(path.read_bytes())
    except OSError:
        return ""


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
