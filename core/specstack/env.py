"""Environment references in run configs.

Three forms, any number of them in one string:

* ``${env.NAME}``: the variable's value; an error when it is unset or empty.
* ``${env.NAME:=default}``: the value, or ``default`` when the variable is unset or empty.
* ``${env.NAME:+text}``: ``text`` when the variable has a value, nothing otherwise.

``default`` and ``text`` may hold references again. ``$${env.NAME}`` is the literal text ``${env.NAME}``.
What comes out of the environment is never expanded again, so a value cannot smuggle in a reference.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_START = "${env."
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class EnvError(ValueError):
    """A reference that cannot be resolved; the message says what is wrong and what to do.

    ``variable`` is the name of the environment variable, or "" when the reference has none.
    """

    def __init__(self, message: str, variable: str = "") -> None:
        super().__init__(message)
        self.variable = variable


@dataclass(frozen=True, slots=True)
class Expansion:
    """A string after substitution; ``dynamic`` says whether it held a reference at all.

    ``given`` are the variables that had a value and were looked at, ``absent`` those that had none.
    """

    text: str
    dynamic: bool
    given: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


def expand(text: str, env: Mapping[str, str]) -> Expansion:
    """Substitute every reference in ``text``. Raises EnvError."""
    if "${env." not in text:
        return Expansion(text, False)
    pieces: list[str] = []
    seen: dict[str, bool] = {}
    dynamic = False
    at = 0
    while (found := text.find(_START, at)) >= 0:
        if found > at and text[found - 1] == "$":
            pieces.append(text[at : found - 1] + _START)
            at = found + len(_START)
            continue
        pieces.append(text[at:found])
        value, at = _reference(text, found, env, seen)
        pieces.append(value)
        dynamic = True
    pieces.append(text[at:])
    given = tuple(name for name, has in seen.items() if has)
    return Expansion("".join(pieces), dynamic, given, tuple(name for name in seen if name not in given))


def _reference(text: str, start: int, env: Mapping[str, str], seen: dict[str, bool]) -> tuple[str, int]:
    """The value of the reference that begins at ``start`` and the index after its closing brace.

    ``seen`` takes the variables that were looked at, and whether each had a value.
    """
    name = _NAME.match(text, start + len(_START))
    if name is None:
        raise EnvError(f"'{_shown(text, start)}' names no variable; write ${{env.NAME}}")
    variable = name.group()
    value = env.get(variable, "")
    seen[variable] = bool(value)
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        raise EnvError(f"environment variable {variable} is not UTF-8 text; set it to some", variable)
    rest = text[name.end() :]
    if rest.startswith("}"):
        if not value:
            raise EnvError(
                f"environment variable {variable} is not set or empty; "
                f"set it, or give a default: ${{env.{variable}:=value}}",
                variable,
            )
        return value, name.end() + 1
    operator = rest[:2]
    if operator not in (":=", ":+"):
        raise EnvError(
            f"'{_shown(text, start)}' is not a reference; write ${{env.{variable}}}, "
            f"${{env.{variable}:=default}} or ${{env.{variable}:+text}}",
            variable,
        )
    inner, end = _operand(text, name.end() + 2, start)
    if bool(value) is (operator == ":="):
        return value, end
    operand = expand(inner, env)
    seen.update(dict.fromkeys(operand.given, True), **dict.fromkeys(operand.absent, False))
    return operand.text, end


def _operand(text: str, begin: int, start: int) -> tuple[str, int]:
    """Text up to the brace that closes the reference (inner braces pair up), and the index after it."""
    depth = 1
    for at in range(begin, len(text)):
        if text[at] == "{":
            depth += 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                return text[begin:at], at + 1
    raise EnvError(f"'{_shown(text, start)}' has no closing brace")


def _shown(text: str, start: int) -> str:
    """The beginning of a faulty reference, short, without a default that may be a secret."""
    return re.split(r"[:}]", text[start:], maxsplit=1)[0][:40]


def references(text: str) -> list[tuple[str, str | None]]:
    """The variables that ``text`` may read, each with what holds without it (None: nothing does).

    Those inside defaults come too. Raises EnvError for a reference without an end.
    """
    found: list[tuple[str, str | None]] = []
    at = 0
    while (start := text.find(_START, at)) >= 0:
        at = start + len(_START)
        name = _NAME.match(text, at)
        if name is None or (start > 0 and text[start - 1] == "$"):
            continue
        operator = text[name.end() : name.end() + 2]
        if operator not in (":=", ":+"):
            found.append((name.group(), None))
            continue
        inner, at = _operand(text, name.end() + 2, start)
        found.append((name.group(), inner if operator == ":=" else ""))
        found.extend(references(inner))
    return found
