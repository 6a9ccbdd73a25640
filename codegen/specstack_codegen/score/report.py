"""A score as a table for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from specstack_codegen.score.comparison import Fact
from specstack_codegen.score.deviations import Deviation
from specstack_codegen.score.score import Category, Score

_HEAD = ("CATEGORY", "OPERATIONS", "FACTS", "SAME", "DEVIATIONS", "DIFFER", "SCORE", "STRICT")


def as_json(score: Score) -> dict[str, Any]:
    """Everything that the table says, and the excused differences one by one."""
    return {
        "reference": identity(score),
        "categories": {one.name: {**numbers(one), **_lists(one)} for one in score.categories},
        "deviations": [
            {
                "where": one.where,
                "change": one.change,
                "reason": one.reason,
                "position": str(one.pos),
                "excuses": [_fact(fact) for fact in one.excused],
            }
            for one in score.deviations
        ],
        "stale_deviations": None if score.stale is None else [str(one.pos) for one in score.stale],
    }


def identity(score: Score) -> dict[str, str]:
    """Which document it was: name, title, version, sha256."""
    reference = score.reference
    return {
        "name": reference.name,
        "title": reference.title,
        "version": reference.version,
        "sha256": reference.sha256,
    }


def numbers(category: Category) -> dict[str, Any]:
    """What is counted in one category."""
    return {
        "operations": category.operations,
        "served": len(category.served),
        "compared": category.compared,
        "same": category.same,
        "excused": len(category.excused),
        "differing": len(category.differing),
        "percent": _rounded(category.percent),
        "strict_percent": _rounded(category.strict_percent),
    }


def _lists(category: Category) -> dict[str, Any]:
    return {
        "not_served": [str(endpoint) for endpoint in category.missing],
        "differences": [_fact(fact) for fact in category.differing],
    }


def _fact(fact: Fact) -> dict[str, str]:
    return {
        "where": fact.where,
        "kind": fact.kind,
        "ours": fact.ours,
        "reference": fact.theirs,
        "position": str(fact.pos),
        "reference_position": str(fact.their_pos),
    }


def _rounded(percent: float | None) -> float | None:
    """One decimal; 100 only where all is the same."""
    return percent if percent in (None, 100) else min(round(percent, 1), 99.9)


def as_text(score: Score, *, deviations: bool = True) -> Iterator[str]:
    """The table, then every difference, then what deviates on purpose and which deviations are stale."""
    reference = score.reference
    version = f" {reference.version}" if reference.version else ""
    yield f"{reference.title}{version} ({reference.name}, sha256 {reference.sha256[:12]})"
    yield ""
    rows = [_row(one) for one in score.categories if one.served]
    yield from _aligned([_HEAD, *rows]) if rows else ("No operation of it is served.",)
    absent = [f"{one.name} {one.operations}" for one in score.categories if not one.served]
    if absent:
        yield f"Not served at all (operations): {', '.join(absent)}"
    for category in score.categories:
        if category.differing:
            yield from ("", f"{category.name}: what differs")
            yield from _differences(category.differing)
        if category.missing and category.served:
            yield from ("", f"{category.name}: not served")
            yield from (f"  {endpoint}" for endpoint in category.missing)
    if deviations and any(one.excused for one in score.deviations):
        yield from ("", "Differences on purpose")
        yield from (_deviation(one) for one in score.deviations if one.excused)
    if score.stale:
        yield from (
            "",
            "Stale deviations: nothing differs there (any more); remove them or mend `where` and `facts`",
        )
        yield from (f"  {one.pos}: {one.where}: {one.change}" for one in score.stale)


def _row(category: Category) -> tuple[str, ...]:
    return (
        category.name,
        f"{len(category.served)}/{category.operations}",
        str(category.compared),
        str(category.same),
        str(len(category.excused)),
        str(len(category.differing)),
        _percent(category.percent),
        _percent(category.strict_percent),
    )


def _percent(percent: float | None) -> str:
    return "-" if percent is None else f"{_rounded(percent):.1f} %"


def _differences(facts: list[Fact]) -> Iterator[str]:
    for fact in sorted(facts, key=lambda one: (one.where, one.kind)):
        yield f"  {fact.where}: {fact.kind}: ours {fact.ours}; reference {fact.theirs}"
        yield f"    {fact.pos}  {fact.their_pos}"


def _deviation(one: Deviation) -> str:
    client = f" ({one.client})" if one.client else ""
    return f"  {one.where}: {one.change}{client}. {one.reason}"


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
