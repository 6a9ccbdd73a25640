"""What a review finds, and the rules for what does not count."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from specstack_codegen.review.changes import CONTENT, Change
from specstack_codegen.review.kinds import KINDS, Level, Verdict
from specstack_codegen.review.rules import RULES
from specstack_codegen.source import Position

# A stable thing may go once it has been deprecated.
_REMOVALS = frozenset(
    {"operation-removed", "alias-removed", "parameter-removed", "provider-removed", "property-removed"}
    | {"property-refused", "response-header-removed", "config-name-removed"}
)


# A schema of what a text holds is a remark: validators do not look into the text.
_INNER = Verdict(Level.RISKY, "nothing is refused by it, but who reads the text may expect what it says now")


@dataclass(frozen=True, slots=True)
class Subject:
    """What a finding is about: an operation, a provider, the run config …

    `identifier` is what approvals name; `stability` what the old side promised.
    """

    kind: str
    identifier: str
    label: str
    stability: str = "stable"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a change is felt: a subject, and the path of the value within it; `excuse`: why it may break."""

    subject: Subject
    path: str
    excuse: str = ""


@dataclass(frozen=True, slots=True)
class Agreed:
    """Why somebody has agreed to a finding, and the last day on which that holds."""

    reason: str
    expires: datetime.date


@dataclass(frozen=True, slots=True)
class Finding:
    """One edit and what it means. `places` are all that feel it, in the order of the spec."""

    rule: str
    level: Level
    text: str
    why: str
    old: Position | None
    new: Position | None
    places: tuple[Place, ...]
    approval: Agreed | None = None

    @property
    def excuse(self) -> str:
        """Why it does not count: what every place says; "" where one place has no excuse."""
        excuses = [place.excuse for place in self.places]
        return excuses[0] if all(excuses) else ""

    def counts(self, limit: Level | None) -> bool:
        """Whether it is of the class `limit` or a worse one, and neither excused nor approved."""
        if limit is None or self.approval is not None or self.excuse:
            return False
        return self.level >= limit


@dataclass
class Sink:
    """Collects findings, each edit once with all the places that feel it."""

    _found: dict[tuple[object, ...], Finding] = field(default_factory=dict[tuple[object, ...], Finding])

    def add(
        self,
        rule: str,
        subject: Subject,
        path: str,
        text: str,
        old: Position | None,
        new: Position | None,
        stability: str = "",
    ) -> None:
        """One finding of a rule. `stability` is what the old side promised of the place."""
        level, why = RULES[rule]
        place = Place(subject, path, _excuse(rule, subject, stability))
        self._put(Finding(rule, level, text, why, old, new, (place,)))

    def add_changes(
        self, prefix: str, output: bool, subject: Subject, path: str, changes: Iterable[Change]
    ) -> None:
        """Findings of a schema's changes. `prefix` begins each rule; `output` says that clients read it."""
        for change in changes:
            kind = KINDS[change.kind]
            verdict = kind.output if output else kind.input
            place = Place(
                subject, path + joined(change.path), _excuse(change.kind, subject, change.stability)
            )
            if not output and CONTENT in change.path and verdict.level > Level.RISKY:
                verdict = _INNER
            rule, why = f"{prefix}-{change.kind}", verdict.why
            if prefix != "request" and not output:
                why = why.replace("callers that send", "run configs with").replace("callers", "run configs")
            self._put(Finding(rule, verdict.level, change.text, why, change.old, change.new, (place,)))

    def _put(self, finding: Finding) -> None:
        finding = replace(
            finding,
            text=_printable(finding.text),
            places=tuple(replace(one, path=_printable(one.path)) for one in finding.places),
        )
        key = (finding.rule, finding.old, finding.new, finding.text)
        known = self._found.get(key)
        if known is None:
            self._found[key] = finding
        elif finding.places[0] not in known.places:
            self._found[key] = replace(known, places=(*known.places, *finding.places))

    def findings(self) -> list[Finding]:
        """Everything found, worst first within each subject, subjects in the order they were looked at."""
        order: dict[Subject, int] = {}
        for finding in self._found.values():
            order.setdefault(finding.places[0].subject, len(order))
        return sorted(self._found.values(), key=lambda one: (order[one.places[0].subject], -one.level))


def _printable(text: str) -> str:
    """A text whose names, which may be anything, neither break a line nor steer a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def joined(steps: Iterable[str]) -> str:
    """The steps of a path as text that goes behind what is above: `.messages[*]<Tool>.id`."""
    return "".join(step if step[:1] in ("[", "<", "(") else f".{step}" for step in steps)


def _excuse(rule: str, subject: Subject, stability: str) -> str:
    if "experimental" in (subject.stability, stability):
        return "experimental"
    gone = subject.stability if rule in ("operation-removed", "provider-removed") else stability
    return "deprecated before" if rule in _REMOVALS and gone == "deprecated" else ""
