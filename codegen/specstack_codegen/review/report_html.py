"""A review as a page: each change with the lines of both sides next to each other. It needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from specstack_codegen.review.findings import Finding
from specstack_codegen.review.kinds import Level
from specstack_codegen.review.report import Report, code_parts, elsewhere, sentence, status, where
from specstack_codegen.review.sides import Side
from specstack_codegen.source import NOWHERE, Position

_AROUND = 3


@dataclass(frozen=True)
class Line:
    """A line of source; `marked` is the one that a finding is about."""

    number: int
    text: str
    marked: bool


def render(report: Report) -> str:
    """The page as text."""
    levels = sorted(Level, reverse=True)
    counts = {level: sum(one.level is level for one in report.review.findings) for level in levels}
    return _template().render(
        report=report,
        groups=report.groups(everything=True),
        levels=[level for level in levels if counts[level]],
        counts=counts,
        excerpt=partial(excerpt, report),
        status=status,
        sentence=sentence,
        code_parts=code_parts,
        where=where,
        elsewhere=elsewhere,
    )


def excerpt(report: Report, finding: Finding, side: str) -> list[Line]:
    """The lines around a finding on one side, `old` or `new`; none where that side has nothing."""
    position: Position | None = finding.old if side == "old" else finding.new
    source: Side = report.review.old if side == "old" else report.review.new
    if position is None or position == NOWHERE:
        return []
    lines = source.texts.get(position.file, [])
    first, last = max(1, position.line - _AROUND), min(len(lines), position.line + _AROUND)
    return [Line(number, lines[number - 1], number == position.line) for number in range(first, last + 1)]


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja")
