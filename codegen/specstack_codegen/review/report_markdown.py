"""A review for a pull request."""

from __future__ import annotations

from collections.abc import Iterator

from specstack_codegen.review.findings import Finding
from specstack_codegen.review.kinds import Level
from specstack_codegen.review.report import Report, code_parts, elsewhere, sentence, status, where

_LISTED = 8
_SPECIAL = str.maketrans({char: f"\\{char}" for char in "\\*_[]<>|#~"})


def render(report: Report) -> str:
    """The review as Markdown: what fails and what is risky in the open, the rest folded away."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    review = report.review
    yield "## Spec review"
    yield ""
    yield f"**{report.verdict}** {report.tally[:1].upper()}{report.tally[1:]}."
    yield ""
    yield f"From {_code(review.old.label)} to {_code(review.new.label)}. {report.skipped}".rstrip()
    loud = [one for one in review.findings if one.level >= Level.RISKY and not status(one)]
    quiet = [one for one in review.findings if one.level < Level.RISKY or status(one)]
    if not report.everything:
        quiet = [one for one in quiet if one.level > Level.DOCUMENTATION]
    yield from _grouped(loud)
    if quiet:
        yield ""
        yield f"<details><summary>Compatible, approved and excused: {len(quiet)}</summary>"
        yield from _grouped(quiet)
        yield ""
        yield "</details>"
    if report.unlisted:
        yield ""
        yield f"Changes of documentation, not listed here: {report.unlisted}."


def _grouped(findings: list[Finding]) -> Iterator[str]:
    label = ""
    for finding in findings:
        subject = finding.places[0].subject
        if subject.label != label:
            label = subject.label
            note = "" if subject.stability == "stable" else f" ({subject.stability})"
            yield ""
            yield f"### {_text('  '.join(label.split('  ')))}{note}"
            yield ""
        yield from _finding(finding)


def _finding(finding: Finding) -> Iterator[str]:
    path = finding.places[0].path
    place = f" at {_code(path)}" if path else ""
    yield f"- **{finding.level.word}** {_code(finding.rule)}{place}  "
    yield f"  {_text(sentence(finding))}  "
    others = elsewhere(finding, _LISTED)
    if others:
        yield f"  Also: {', '.join(_code(one) for one in others)}  "
    yield f"  Old {_code(where(finding.old))}, new {_code(where(finding.new))}"
    if status(finding):
        yield f"  {_text(status(finding))}"


def _code(text: str) -> str:
    """A code span; one with backticks in it needs longer fences."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _text(text: str) -> str:
    """Plain text with its own code spans kept and everything else that Markdown reads escaped."""
    return "".join(
        _code(part) if is_code else part.translate(_SPECIAL).replace("`", "\\`")
        for part, is_code in code_parts(text)
    )
