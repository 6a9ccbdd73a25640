"""Exceptions that somebody has agreed to: findings that may break until a day, each with its reason."""

from __future__ import annotations

import datetime
import difflib
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from specstack_codegen.review.errors import ReviewError
from specstack_codegen.review.findings import Agreed, Finding, Place, Subject
from specstack_codegen.review.kinds import KINDS
from specstack_codegen.review.rules import PREFIXES, RULES
from specstack_codegen.source import Map, Position, Seq, read_yaml


@dataclass(frozen=True, slots=True)
class Approval:
    """An agreed exception: which rule, for which subjects, where in them ("" for anywhere), why, how long."""

    rule: str
    where: tuple[str, ...]
    path: str
    reason: str
    expires: datetime.date
    pos: Position

    def covers(self, finding: Finding, place: Place) -> bool:
        """Whether the exception is for this finding at this place."""
        return (
            self.rule == finding.rule
            and place.subject.identifier in self.where
            and (not self.path or self.path == place.path)
        )


def read_approvals(file: Path, today: datetime.date) -> list[Approval]:
    """The approvals of a file. Raises ReviewError when it cannot be read or has not the right form."""
    value, faults = read_yaml(file.resolve(), file.resolve().parent)
    if faults:
        raise ReviewError(f"{file} does not load: {faults[0]}")
    return approvals_in(value, str(file), today)


def approvals_in(value: Map, label: str, today: datetime.date) -> list[Approval]:
    """The approvals of a file that has been read; none for an empty one.

    Raises ReviewError when it has not the right form, or one is to hold for more than a year from `today`.
    """
    from specstack_codegen.lint_rules import home, json_schema

    if not value:
        return []
    schema = home.meta_schema("approvals")
    fault = next(json_schema.findings(value, schema, value.pos, "approvals"), None)
    if fault is not None:
        raise ReviewError(f"{label} has not the right form: {fault.pos}: {fault.message}", fault.hint)
    entries = value.seq("approvals")
    return [_approval(entry, index, entries.at(index), label, today) for index, entry in enumerate(entries)]


def _approval(entry: Any, index: int, pos: Position, label: str, today: datetime.date) -> Approval:
    where = entry["where"]
    at = f"{entry.at('expires')}: approvals.{index}.expires"
    try:
        expires = datetime.date.fromisoformat(entry.text("expires"))
    except ValueError as error:
        raise ReviewError(f"{label} has not the right form: {at}: is no day: {error}") from error
    latest = _a_year_after(today)
    if expires > latest:
        raise ReviewError(
            f"{label} has not the right form: {at}: {expires} is more than a year away",
            f"give a day up to {latest}; what is to break for good needs no approval once it has landed",
        )
    rule = entry.text("rule")
    if rule not in _rules():
        near = difflib.get_close_matches(rule, sorted(_rules()), 1)
        at = f"{entry.at('rule')}: approvals.{index}.rule"
        raise ReviewError(
            f"{label} has not the right form: {at}: there is no rule {rule!r}",
            f"{near[0]} is close to it" if near else "name a rule as the review writes it",
        )
    names = tuple(str(item) for item in where) if isinstance(where, Seq) else (str(where),)
    return Approval(entry.text("rule"), names, entry.text("path"), entry.text("reason"), expires, pos)


@functools.cache
def _rules() -> frozenset[str]:
    """The names of all rules."""
    return frozenset({*RULES, *(f"{prefix}-{kind}" for prefix in PREFIXES for kind in KINDS)})


def _a_year_after(day: datetime.date) -> datetime.date:
    """The same day of the next year; the last of February for one that it does not have."""
    try:
        return day.replace(year=day.year + 1)
    except ValueError:
        return day.replace(year=day.year + 1, day=28)


def apply(
    findings: Sequence[Finding], approvals: Iterable[Approval], today: datetime.date
) -> tuple[list[Finding], list[Finding]]:
    """The findings with their approvals, and what is to say about approvals that excuse nothing."""
    every = list(approvals)
    live = [one for one in every if one.expires >= today]
    used: set[int] = set()
    result: list[Finding] = []
    for finding in findings:
        needed = [place for place in finding.places if not place.excuse]
        found = [next((one for one in live if one.covers(finding, place)), None) for place in needed]
        used.update(id(one) for one in found if one is not None)
        agreed = [one for one in found if one is not None]
        if agreed and len(agreed) == len(needed):
            soonest = min(agreed, key=lambda one: one.expires)
            finding = replace(finding, approval=Agreed(soonest.reason, soonest.expires))
        result.append(finding)
    return result, [_about(one, today) for one in every if id(one) not in used]


def _about(approval: Approval, today: datetime.date) -> Finding:
    rule = "approval-expired" if approval.expires < today else "approval-unused"
    names = ", ".join(approval.where)
    text = f"the approval of `{approval.rule}` for {names} "
    text += (
        f"expired on {approval.expires}" if rule == "approval-expired" else "excuses nothing in this change"
    )
    level, why = RULES[rule]
    place = Place(Subject("approval", approval.rule, "Approvals"), approval.path)
    return Finding(rule, level, text, why, None, approval.pos, (place,))
