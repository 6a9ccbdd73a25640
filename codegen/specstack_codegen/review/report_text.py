"""A review for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from specstack_codegen.review.findings import Finding
from specstack_codegen.review.kinds import Level
from specstack_codegen.review.report import Report, elsewhere, sentence, status, where

_COLORS = {Level.BREAKING: "31;1", Level.SOURCE: "35;1", Level.RISKY: "33;1", Level.COMPATIBLE: "32"}
_LISTED = 4


def render(report: Report) -> str:
    """The review as lines, grouped by operation; the verdict stands last, where a terminal ends."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    review = report.review
    yield f"old: {review.old.label}"
    yield f"new: {review.new.label}"
    yield ""
    for subject, findings in report.groups():
        note = "" if subject.stability == "stable" else f"  [{subject.stability}]"
        yield _paint(report, "1", f"{subject.label}{note}")
        for finding in findings:
            yield from _finding(report, finding)
        yield ""
    if report.unlisted:
        one = report.unlisted == 1
        what = "1 change of documentation is" if one else f"{report.unlisted} changes of documentation are"
        yield f"{what} not listed; --all lists {'it' if one else 'them'}"
    if report.skipped:
        yield report.skipped
    yield report.tally
    yield _paint(report, "31;1" if report.counted else "32;1", report.verdict)


def _finding(report: Report, finding: Finding) -> Iterator[str]:
    word = _paint(report, _COLORS.get(finding.level, "0"), finding.level.word)
    yield f"  {word}  {finding.rule}  {finding.places[0].path}".rstrip()
    yield f"      {sentence(finding)}"
    others = elsewhere(finding, _LISTED)
    if others:
        yield f"      also: {', '.join(others)}"
    yield f"      {where(finding.old)} -> {where(finding.new)}"
    if status(finding):
        yield f"      {status(finding)}"


def _paint(report: Report, code: str, text: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if report.color else text
