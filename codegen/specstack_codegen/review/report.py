"""What every form of a review says: the verdict, the tally, and findings grouped by what they are about."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from specstack_codegen.review.findings import Finding, Subject
from specstack_codegen.review.kinds import Level
from specstack_codegen.review.review import Review
from specstack_codegen.source import NOWHERE, Position


@dataclass
class Report:
    """A review with what its reader asked for: the class that fails, the whole list or only what matters."""

    review: Review
    limit: Level | None
    everything: bool = False
    color: bool = False

    @cached_property
    def counted(self) -> list[Finding]:
        """The findings that make the exit code 1."""
        return self.review.counted(self.limit)

    @property
    def verdict(self) -> str:
        """One sentence for the head of the review."""
        if not self.review.findings:
            return "Nothing changed."
        if self.counted:
            count = _number(len(self.counted), "finding")
            return f"{count} that nothing excuses: this change should not be merged as it is."
        limit = self.limit.word if self.limit is not None else "any class"
        return (
            f"No finding of class {limit} in anything stable."
            if self.limit
            else "Nothing here fails the command."
        )

    @property
    def tally(self) -> str:
        """How many findings of each class there are, excused ones apart."""
        parts = [f"{count} {level.word}" for level, count in self.review.tally().items()]
        approved = sum(one.approval is not None for one in self.review.findings)
        excused = sum(one.approval is None and bool(one.excuse) for one in self.review.findings)
        if approved:
            parts.append(f"{approved} approved")
        if excused:
            parts.append(f"{excused} excused")
        return ", ".join(parts) or "no findings"

    @property
    def skipped(self) -> str:
        """Which parts were not compared, for only one side has them; "" when all were."""
        if not self.review.skipped:
            return ""
        return f"Not compared, because only one side has them: {', '.join(self.review.skipped)}."

    def groups(self, *, everything: bool | None = None) -> list[tuple[Subject, list[Finding]]]:
        """The findings to list by subject, in the order of the spec."""
        whole = self.everything if everything is None else everything
        found: dict[str, tuple[Subject, list[Finding]]] = {}
        for finding in self.review.findings:
            if whole or finding.level > Level.DOCUMENTATION:
                subject = finding.places[0].subject
                found.setdefault(subject.label, (subject, []))[1].append(finding)
        return list(found.values())

    @property
    def unlisted(self) -> int:
        """How many findings `groups` leaves out."""
        if self.everything:
            return 0
        return sum(one.level is Level.DOCUMENTATION for one in self.review.findings)


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def status(finding: Finding) -> str:
    """Why a finding does not count: approved, experimental …; "" where nothing excuses it."""
    if finding.approval is not None:
        return f"approved until {finding.approval.expires}: {finding.approval.reason}"
    return f"excused: {finding.excuse}" if finding.excuse else ""


def sentence(finding: Finding) -> str:
    """What changed and why it matters, as one sentence."""
    return f"{finding.text}: {finding.why}."


def where(position: Position | None) -> str:
    """file:line, or a dash where a side has nothing."""
    if position is None or position == NOWHERE:
        return "-"
    return f"{position.file}:{position.line}"


def elsewhere(finding: Finding, most: int | None = None) -> list[str]:
    """The other places that feel the same edit, at most `most` of them and then how many more there are."""
    first = finding.places[0]
    every = [
        place.path if place.subject == first.subject else f"{place.subject.label.split('  ')[0]} {place.path}"
        for place in finding.places[1:]
    ]
    if most is None or len(every) <= most:
        return every
    return [*every[:most], f"{len(every) - most} more"]


def code_parts(text: str) -> list[tuple[str, bool]]:
    """A text cut at its backticks, each part with whether it is code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return [(text, False)]
    return [(part, bool(index % 2)) for index, part in enumerate(parts) if part]
