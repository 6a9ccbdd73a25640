"""Differences that are meant: what `spec/deviations.yaml` says of one reference document."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from specstack_codegen.score.comparison import Fact
from specstack_codegen.source import Map, Position


@dataclass
class Deviation:
    """One entry, with the differences that it excuses. `facts` are the kinds it speaks of, empty for all."""

    where: str
    change: str
    reason: str
    client: str
    facts: frozenset[str]
    pos: Position
    excused: list[Fact] = field(default_factory=list[Fact])

    def excuses(self, fact: Fact) -> bool:
        """Whether a difference is at exactly this place and of a kind that is meant."""
        return self.where in fact.names and (not self.facts or fact.kind in self.facts)


def of_reference(document: Map | None, reference: str) -> list[Deviation]:
    """The deviations from one reference document, by its name."""
    if document is None:
        return []
    entries = cast("list[Any]", document.seq("deviations"))
    default = document.text("reference")
    return [
        Deviation(
            where=one.text("where"),
            change=one.text("change"),
            reason=one.text("reason"),
            client=one.text("client"),
            facts=frozenset(str(kind) for kind in one.seq("facts")),
            pos=one.pos,
        )
        for one in entries
        if isinstance(one, Map) and one.text("reference", default) == reference
    ]


def excuse(facts: Iterable[Fact], deviations: list[Deviation]) -> tuple[list[Fact], list[Fact]]:
    """The differences that nothing excuses, and those that a deviation does; notes the latter with it."""
    left: list[Fact] = []
    excused: list[Fact] = []
    for fact in facts:
        found = [one for one in deviations if one.excuses(fact)]
        for one in found:
            one.excused.append(fact)
        (excused if found else left).append(fact)
    return left, excused
