"""What our spec says where it was as a reference says, so that a change is noticed without the reference.

Kept are names of places in our own spec and digests of what it says there, and nothing of a reference.
The spec compared with itself gives every fact that it states, as it is compared with others.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from specstack_codegen.score.comparison import KINDS, Comparison, Fact
from specstack_codegen.score.document import Document
from specstack_codegen.score.endpoints import compare
from specstack_codegen.score.ratchet import RatchetError, read
from specstack_codegen.score.score import Score
from specstack_codegen.source import Position

Held = dict[str, dict[str, list[str] | str]]
"""By place and kind of fact: digests of what was the same, or "*" where we differ on purpose."""

_FREE = "*"
# One more of these where there was none, or another one, is a difference as well.
_ADDED = frozenset({"default", "enum", "limit", "closed", "variant", "media", "type", "nullable"})
# Where these were compared, everything else that a schema says was too.
_SHAPE = frozenset({"type", "variant"})
_MEMBERS = frozenset({"property", "parameter"})
_LAST_STEP = re.compile(r"(\.[^.\[\]{}]+|\[\]|\{\})$")
_DIGITS = 8
# What is kept of one place, which stands on a line of its own.
_PLACE = re.compile(r"\{[^{}]+\}")

Stated = dict[tuple[str, str], dict[str, Fact]]


def stated(document: Document) -> Stated:
    """Every fact of a document, by place and kind and then by its digest."""
    found: Stated = {}
    for endpoint in document.endpoints.values():
        # One comparison each: in a common one, what two operations share would be stated at the first alone.
        comparison = Comparison(document, document)
        compare(comparison, endpoint, endpoint)
        for fact in comparison.facts:
            found.setdefault((fact.where, fact.kind), {})[_digest(fact)] = fact
    return found


def of_score(score: Score) -> dict[str, Held]:
    """What is to be kept of a score, by category."""
    return {
        one.name: _held(one.matching, [*one.excused, *one.differing])
        for one in score.categories
        if one.served
    }


def _held(matching: Iterable[Fact], differing: Iterable[Fact]) -> Held:
    found: Held = {}
    for fact in matching:
        digests = found.setdefault(fact.where, {}).setdefault(fact.kind, [])
        if isinstance(digests, list) and (digest := _digest(fact)) not in digests:
            digests.append(digest)
    for fact in differing:
        found.setdefault(fact.where, {})[fact.kind] = _FREE
    return found


def beside(ratchet: Path) -> Path:
    """The file that goes with a ratchet file."""
    return ratchet.with_suffix(".facts.json")


def write(path: Path, score: Score) -> None:
    """Puts a score into the file, beside those of other references. Raises RatchetError."""
    kept: dict[str, Any] = {**read(path), score.reference.name: of_score(score)}
    text = json.dumps(kept, indent=1, sort_keys=True, ensure_ascii=False)
    text = _PLACE.sub(lambda found: " ".join(found[0].split()), text)
    try:
        path.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise RatchetError(f"{path} cannot be written: {error.strerror}") from error


def lost(kept: Mapping[str, Held], document: Document) -> Iterator[str]:
    """Where our spec no longer says what it said when it was as the reference, each with its position."""
    now = stated(document)
    places: dict[str, Position] = {}
    for (where, _), facts in now.items():
        places.setdefault(where, next(iter(facts.values())).pos)
    # A fact of a component is at the first reference to it; who looks for it looks where it is.
    schemas = document.root.map("components").map("schemas")
    homes = {**places, **{name: schemas.at(name) for name in schemas}}
    for category, held in kept.items():
        for where, kinds in held.items():
            if all(kind == _FREE for kind in kinds.values()):
                continue
            if where not in places:
                nearest = _nearest(where, homes)
                yield f"{nearest}: {category}: {where} is gone; it was as in the reference"
            else:
                yield from _changed(category, where, kinds, now, homes)
        yield from _come(category, held, now)


def _changed(
    category: str,
    where: str,
    kinds: Mapping[str, list[str] | str],
    now: Stated,
    places: Mapping[str, Position],
) -> Iterator[str]:
    for kind in dict.fromkeys((*kinds, *sorted(_ADDED))):
        before, facts = kinds.get(kind, []), now.get((where, kind), {})
        if isinstance(before, str):
            continue
        gone = [digest for digest in before if digest not in facts]
        come = [fact for digest, fact in facts.items() if digest not in before]
        compared = kind in kinds or bool(_SHAPE & kinds.keys())
        if not gone and not (come and compared and kind in _ADDED):
            continue
        said = ", ".join(fact.ours for fact in come) or "not stated"
        pos = come[0].pos if come else _nearest(where, places)
        yield f"{pos}: {category}: {where}: {kind} ({KINDS[kind]}) is now {said}; it was as in the reference"


def _come(category: str, held: Held, now: Stated) -> Iterator[str]:
    """Members of objects and operations that were compared, which the reference did not have."""
    owners = {_owner(where) for where, kinds in held.items() if kinds.keys() & _MEMBERS}
    for (where, kind), facts in now.items():
        if kind in _MEMBERS and where not in held and _owner(where) in owners:
            pos = next(iter(facts.values())).pos
            yield f"{pos}: {category}: {where} is new; the reference had no such {kind}"


def _owner(where: str) -> str:
    return _LAST_STEP.sub("", where)


def _nearest(where: str, places: Mapping[str, Position]) -> Position | str:
    """Where the place is, or what holds it."""
    while where not in places:
        shorter = _owner(where)
        if shorter == where:
            inside = (pos for name, pos in places.items() if name.startswith(f"{where}."))
            return next(inside, "the spec")
        where = shorter
    return places[where]


def _digest(fact: Fact) -> str:
    text = "\n".join((fact.where, fact.kind, fact.ours))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
