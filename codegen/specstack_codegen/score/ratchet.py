"""What was reached once, by reference and category: numbers alone, and which document they are of.

A score may get better, never worse: no operation less, no difference more, no deviation more. Who means a
change for the worse writes the file again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from specstack_codegen.score.report import identity, numbers
from specstack_codegen.score.score import Score

_KEPT = ("operations", "served", "compared", "same", "excused", "differing")


class RatchetError(Exception):
    """A ratchet file that cannot be read."""


def read(path: Path) -> dict[str, Any]:
    """The references by name that a file of this module or of `held` has; none where there is no file yet.

    Raises RatchetError.
    """
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RatchetError(f"{path} cannot be read: {error}") from error
    kept = cast("dict[str, Any]", value) if isinstance(value, dict) else {"": None}
    if not all(isinstance(one, dict) for one in kept.values()):
        raise RatchetError(f"{path} is no ratchet file; remove it and write it anew with --update")
    return kept


def entry(score: Score) -> dict[str, Any]:
    """What is kept of a score."""
    kept = identity(score)
    del kept["name"]
    served = [one for one in score.categories if one.served]
    categories = {one.name: {key: numbers(one)[key] for key in _KEPT} for one in served}
    return {**kept, "categories": categories}


def write(path: Path, score: Score) -> None:
    """Puts a score into the file, beside those of other references. Raises RatchetError."""
    kept = {**read(path), score.reference.name: entry(score)}
    try:
        path.write_text(
            json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    except OSError as error:
        raise RatchetError(f"{path} cannot be written: {error.strerror}") from error


def worse(kept: dict[str, Any], score: Score) -> Iterator[str]:
    """In what a score is worse than what was kept of the same document; nothing when it is as good."""
    name = score.reference.name
    before = kept.get(name)
    if before is None:
        yield f"the ratchet file has nothing of {name}"
        return
    if before.get("sha256") != score.reference.sha256:
        sha256 = str(before.get("sha256"))[:12]
        yield f"the ratchet file is of another {name}: {before.get('version')}, sha256 {sha256}"
        return
    now = entry(score)["categories"]
    for category, old in cast("dict[str, dict[str, int]]", before.get("categories", {})).items():
        if category not in now and score.stale is None:
            continue
        new = now.get(category, dict.fromkeys(_KEPT, 0))
        if new["served"] < old["served"]:
            yield f"{category}: {new['served']} operations are served, {old['served']} were"
        for key, what in (("differing", "facts differ"), ("excused", "facts deviate on purpose")):
            if new[key] > old[key]:
                yield f"{category}: {new[key]} {what}, {old[key]} did"
    for category in now.keys() - before.get("categories", {}).keys():
        if now[category]["differing"]:
            yield f"{category}: new, and {now[category]['differing']} facts differ"
    yield from (f"{one.pos}: stale deviation {one.where}: {one.change}" for one in score.stale or ())


def is_better(kept: dict[str, Any], score: Score) -> bool:
    """Whether the file could be written anew with better numbers."""
    return kept.get(score.reference.name) != entry(score)
