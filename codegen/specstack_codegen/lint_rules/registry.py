"""The table of lint rules and the shape of what they find."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from specstack_codegen.bundle import Spec
from specstack_codegen.source import Position, SpecError


class Finding(NamedTuple):
    """A fault that a rule found: where, what is wrong, how to mend it."""

    pos: Position
    message: str
    hint: str


Check = Callable[[Spec], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A lint rule: its id, its documentation and the check itself.

    A rule that is `across` looks names up in other files; it waits until all of them can be read.
    """

    id: str
    doc: str
    check: Check
    across: bool = False

    def errors(self, spec: Spec) -> Iterator[SpecError]:
        """What the rule finds in `spec`."""
        return (SpecError(self.id, *finding) for finding in self.check(spec))


RULES: dict[str, Rule] = {}


def rule(rule_id: str, *, across: bool = False) -> Callable[[Check], Check]:
    """Register a function as the lint rule `rule_id`; its docstring documents the rule."""

    def register(check: Check) -> Check:
        if rule_id in RULES:
            raise ValueError(f"two lint rules are called {rule_id!r}")
        RULES[rule_id] = Rule(rule_id, inspect.getdoc(check) or "", check, across)
        return check

    return register


def close(name: str, names: Iterable[str], otherwise: str = "") -> str:
    """A hint that names what the author may have meant."""
    known = sorted(names)
    found = difflib.get_close_matches(name, known, n=3)
    if found:
        return f"did you mean {' or '.join(found)}?"
    if known and len(known) <= 12:
        return f"known: {', '.join(known)}"
    return otherwise or "check the spelling"


def article(noun: str) -> str:
    """`an operation`, `a schema`."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
