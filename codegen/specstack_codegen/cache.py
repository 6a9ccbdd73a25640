"""What need not be done again: expensive texts by the hash of what they are made from."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

FOLDER = ".specstack-cache"
APPROVALS = "approvals.yaml"
"""The file of a spec from which nothing is made: it excuses changes of the others."""


def digest(*parts: str | bytes) -> str:
    """The sha256 of the parts, each with its length, in hex."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(b"%d:" % len(data))
        total.update(data)
    return total.hexdigest()


def digest_files(root: Path, files: Iterable[Path]) -> str:
    """The sha256 over the names (relative to `root`) and contents of files."""
    parts: list[str | bytes] = []
    for file in sorted(files):
        parts += [file.relative_to(root).as_posix(), file.read_bytes()]
    return digest(*parts)


def generator_digest() -> str:
    """The sha256 of this generator's source, but for the review of changes, which makes no output."""
    source = Path(__file__).parent
    files = (path for path in source.rglob("*") if path.suffix in (".py", ".jinja", ".jinja2"))
    return digest_files(source, (path for path in files if not {"__pycache__", "review"} & set(path.parts)))


def cached_text(kind: str, key: str, make: Callable[[], str], folder: Path | None = None) -> str:
    """The text that `make` gives, remembered under `kind` and `key` in the working directory's cache folder.

    A cache that cannot be read or written is no error: the text is made anew.
    """
    path = (folder or Path(FOLDER)) / f"{kind}-{key}.txt"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="utf-8")
    text = make()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    return text
