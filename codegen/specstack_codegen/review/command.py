"""`specstack spec diff`: from two arguments to a text and an exit code."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from specstack_codegen.review import report_html, report_json, report_markdown, report_text
from specstack_codegen.review.approvals import approvals_in, read_approvals
from specstack_codegen.review.errors import ReviewError
from specstack_codegen.review.kinds import Level
from specstack_codegen.review.report import Report
from specstack_codegen.review.review import review
from specstack_codegen.review.sides import read_sides

__all__ = ["Outcome", "Request", "ReviewError", "run"]

NEVER = "never"
_FORMATS = {
    "terminal": report_text.render,
    "markdown": report_markdown.render,
    "html": report_html.render,
    "json": report_json.render,
}


@dataclass(frozen=True)
class Request:
    """What the command line asks for. `fail_on` is a class of findings, or `never`."""

    sides: tuple[str, ...]
    format: str = "terminal"
    fail_on: str = Level.BREAKING.word
    path: str = "spec"
    approvals: Path | None = None
    everything: bool = False
    color: bool = False
    today: datetime.date | None = None


@dataclass(frozen=True)
class Outcome:
    """The review in the form asked for, and the exit code: 0, or 1 when something counts."""

    text: str
    status: int


def run(request: Request) -> Outcome:
    """Compare and render. Raises ReviewError when the sides or the approvals cannot be read."""
    old, new = read_sides(request.sides, request.path)
    today = request.today or datetime.datetime.now(datetime.UTC).date()
    if request.approvals is not None:
        approvals = read_approvals(request.approvals, today)
    else:
        approvals = approvals_in(new.spec.approvals, f"approvals.yaml of {new.label}", today)
    found = review(old, new, approvals, today)
    limits = {level.word: level for level in Level}
    report = Report(found, limits.get(request.fail_on), request.everything, request.color)
    return Outcome(_FORMATS[request.format](report), 1 if report.counted else 0)
