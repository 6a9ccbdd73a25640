"""One change between two schemas, before anyone has asked in which direction values travel."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from specstack_codegen.review.kinds import KINDS
from specstack_codegen.source import NOWHERE, Position

# The step of a path into what a text holds, as `contentSchema` describes it.
CONTENT = "(json)"


@dataclass(frozen=True, slots=True)
class Change:
    """What changed (`kind`, `text`), where in the value (`path`), and where both sides say so.

    `stability` is what the old side promised of the place: "" where it says nothing itself.
    """

    kind: str
    old: Position
    new: Position
    text: str
    path: tuple[str, ...] = ()
    stability: str = ""

    def within(self, old: Position, new: Position) -> Change:
        """The same, with a place for a side that says nothing: that of what it could have said it in."""
        if self.old is not NOWHERE and self.new is not NOWHERE:
            return self
        return replace(
            self,
            old=old if self.old is NOWHERE else self.old,
            new=new if self.new is NOWHERE else self.new,
        )

    @property
    def narrows(self) -> bool:
        """Whether values are no longer admitted."""
        return KINDS[self.kind].narrows

    @property
    def widens(self) -> bool:
        """Whether values are newly admitted."""
        return KINDS[self.kind].widens


def below(changes: Iterable[Change], *steps: str, stability: str = "") -> list[Change]:
    """The same changes, seen from further up. What lies in something experimental is experimental."""
    return [
        replace(change, path=(*steps, *change.path), stability=_nested(stability, change.stability))
        for change in changes
    ]


def _nested(outer: str, inner: str) -> str:
    return outer if outer == "experimental" else inner or outer


def distinct(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Each edit once, at the shortest of the ways that lead to it."""
    found: dict[tuple[str, Position, Position, str], Change] = {}
    for change in changes:
        key = (change.kind, change.old, change.new, change.text)
        known = found.get(key)
        if known is None or len(change.path) < len(known.path):
            found[key] = change
    return tuple(found.values())


def shown(value: Any) -> str:
    """A value as messages show it, cut short."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def listed(values: Iterable[Any]) -> str:
    """Some values, the first few of them."""
    texts = [shown(value) for value in values]
    return ", ".join(texts) if len(texts) <= 6 else f"{', '.join(texts[:6])} and {len(texts) - 6} more"
