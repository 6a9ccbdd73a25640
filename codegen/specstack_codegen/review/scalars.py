"""Comparing what two alternatives say of plain values: listed values, limits, patterns, formats."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, cast

from specstack_codegen.review.changes import Change, listed, shown
from specstack_codegen.review.flat import Fact, Flat, type_of, value_key
from specstack_codegen.source import NOWHERE

_NUMERIC = frozenset({"integer", "fraction"})
_INTEGER = frozenset({"integer"})
_BOOLEAN = frozenset({"boolean"})
_LIMITS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("minimum", "maximum", "multipleOf"), _NUMERIC),
    **dict.fromkeys(("minLength", "maxLength"), frozenset({"string"})),
    **dict.fromkeys(("minItems", "maxItems", "uniqueItems"), frozenset({"array"})),
    **dict.fromkeys(("minProperties", "maxProperties"), frozenset({"object"})),
}
# Their value is coded otherwise, so that the format is part of the type.
_CODED = frozenset({"binary", "byte", "base64"})
_SECRET_FORMAT = "password"  # noqa: S105  the name of a format


def compare_values(old: Flat, new: Flat, common: frozenset[str]) -> tuple[list[Change], bool]:
    """Changes of `enum` and `const`, and whether they settle what plain values are admitted."""
    before, after = _values(old, common), _values(new, common)
    if before is None and after is None:
        return [], False
    old_pos, new_pos = old.at(old.values_pos), new.at(new.values_pos)
    if before is None:
        listed_now = list((after or {}).values())
        text = f"only {listed(fact.value for fact in listed_now)} is still admitted"
        restricted = [Change("values-restricted", old_pos, new_pos, text)]
        beyond = [fact for fact in listed_now if not admits(old, fact.value)]
        if beyond:
            text = f"{listed(fact.value for fact in beyond)} {_is(beyond)} newly admitted"
            restricted.append(Change("enum-value-added", old_pos, beyond[0].pos, text))
        return restricted, True
    gone = [
        fact
        for key, fact in before.items()
        if not (key in after if after is not None else admits(new, fact.value))
    ]
    come = [fact for key, fact in (after or {}).items() if key not in before]
    if after is not None and len(before) == len(after) == len(gone) == 1:
        text = f"{listed(fact.value for fact in gone)} became {listed(fact.value for fact in come)}"
        return [Change("constant-changed", gone[0].pos, come[0].pos, text)], True
    changes: list[Change] = []
    if gone:
        text = f"{listed(fact.value for fact in gone)} {_is(gone)} no longer admitted"
        changes.append(Change("enum-value-removed", gone[0].pos, new_pos, text))
    if come:
        text = f"{listed(fact.value for fact in come)} {_is(come)} newly admitted"
        changes.append(Change("enum-value-added", old_pos, come[0].pos, text))
    if after is None:
        changes.append(Change("values-opened", old_pos, new_pos, "the list of admitted values is gone"))
    return changes, True


def _is(facts: list[Fact]) -> str:
    return "is" if len(facts) == 1 else "are"


def _values(flat: Flat, common: frozenset[str]) -> dict[str, Fact] | None:
    """The listed values of the common types that the limits let through; booleans list themselves."""
    if flat.values is None:
        if common == _BOOLEAN and not flat.excluded:
            return {value_key(value): Fact(value, flat.at(flat.types_pos)) for value in (False, True)}
        return None
    return {
        key: fact
        for key, fact in flat.values.items()
        if type_of(fact.value) in common and _within(flat, fact.value)
    }


def admits(flat: Flat, value: Any) -> bool:
    """Whether a plain value fits; for lists and objects only when nothing but the type is said."""
    kind = type_of(value)
    if kind not in flat.types or (flat.values is not None and value_key(value) not in flat.values):
        return False
    if kind in ("array", "object"):
        said = flat.bounds or flat.properties or flat.required or flat.additional or flat.items or flat.prefix
        return not said and not flat.excluded and not flat.opaque
    return _within(flat, value) and not flat.excluded and not flat.opaque


def _within(flat: Flat, value: Any) -> bool:
    if isinstance(value, str):
        low, high = flat.bounds.get("minLength"), flat.bounds.get("maxLength")
        if (low and len(value) < low.value) or (high and len(value) > high.value):
            return False
        return all(_matches(pattern, value) for pattern in flat.patterns)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high, step = (flat.bounds.get(key) for key in ("minimum", "maximum", "multipleOf"))
        if low and (value < low.value[0] or (low.value[1] and value == low.value[0])):
            return False
        if high and (value > high.value[0] or (high.value[1] and value == high.value[0])):
            return False
        return step is None or (value / step.value) % 1 == 0
    return True


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error:
        return False


def compare_limits(old: Flat, new: Flat, common: frozenset[str], settled: bool) -> Iterator[Change]:
    """Changes of limits. `settled` says that listed values have been compared already."""
    plain = common & {"integer", "fraction", "string", "boolean"}
    for key, types in _LIMITS.items():
        if not types & common or (settled and types & plain):
            continue
        before, after = old.bounds.get(key), new.bounds.get(key)
        one, other = _effective(key, before, old, common), _effective(key, after, new, common)
        if one == other:
            continue
        kind = _kind(key, one, other)
        if key == "minProperties" and _is_met(one, other, old if kind == "bound-tightened" else new):
            continue
        old_pos, new_pos = before.pos if before else old.pos, after.pos if after else new.pos
        yield Change(kind, old_pos, new_pos, _text(key, one, other))


def _is_met(one: int | None, other: int | None, wider: Flat) -> bool:
    """Whether the greater of two least numbers of properties is met by those that `wider` requires."""
    return max(one or 0, other or 0) <= len(wider.required)


def _effective(key: str, fact: Fact | None, flat: Flat, common: frozenset[str]) -> Any:
    """The limit in a form that compares: no exclusive ones for whole numbers, no 0 as least size."""
    if fact is None:
        return None
    value = fact.value
    if key in ("minLength", "minItems", "minProperties"):
        return value or None
    if key in ("minimum", "maximum"):
        number, exclusive = value
        if common & _NUMERIC == _INTEGER and math.isfinite(number):
            if exclusive and number == int(number):
                number += 1 if key == "minimum" else -1
            number, exclusive = math.ceil(number) if key == "minimum" else math.floor(number), False
        return (number, exclusive)
    if key == "multipleOf" and common & _NUMERIC == _INTEGER and (1 / value) % 1 == 0:
        # every whole number is a multiple
        return None
    return value


def _kind(key: str, one: Any, other: Any) -> str:
    if key == "uniqueItems":
        return "unique-demanded" if other else "unique-dropped"
    if one is None or other is None:
        return "bound-tightened" if one is None else "bound-loosened"
    if key == "multipleOf":
        if (other / one) % 1 == 0:
            return "bound-tightened"
        return "bound-loosened" if (one / other) % 1 == 0 else "keyword-changed"
    if key == "minimum":
        return "bound-tightened" if other > one else "bound-loosened"
    if key == "maximum":
        tighter = (other[0], not other[1]) < (one[0], not one[1])
        return "bound-tightened" if tighter else "bound-loosened"
    grew = other > one
    return "bound-tightened" if grew == key.startswith("min") else "bound-loosened"


def _text(key: str, one: Any, other: Any) -> str:
    if one is None:
        return f"`{key}` {_limit(other)} is new"
    if other is None:
        return f"`{key}` {_limit(one)} is gone"
    return f"`{key}` {_limit(one)} became {_limit(other)}"


def _limit(value: Any) -> str:
    if isinstance(value, tuple):
        number, exclusive = cast("tuple[float, bool]", value)
        return f"{shown(number)} (exclusive)" if exclusive else shown(number)
    return shown(value)


def compare_strings(old: Flat, new: Flat, settled: bool) -> Iterator[Change]:
    """Changes of patterns and formats."""
    if not settled:
        gone = [pattern for pattern in old.patterns if pattern not in new.patterns]
        come = [pattern for pattern in new.patterns if pattern not in old.patterns]
        old_pos = old.patterns[gone[0]] if gone else old.pos
        new_pos = new.patterns[come[0]] if come else new.pos
        if gone and come:
            text = f"the pattern {listed(gone)} became {listed(come)}"
            yield Change("pattern-changed", old_pos, new_pos, text)
        elif gone or come:
            kind, which = ("pattern-removed", gone) if gone else ("pattern-added", come)
            yield Change(
                kind, old_pos, new_pos, f"the pattern {listed(which)} is {'gone' if gone else 'new'}"
            )


def compare_format(old: Flat, new: Flat) -> Iterator[Change]:
    """A change of `format`: how a string or number is coded, or that it is a secret."""
    nothing = Fact("", NOWHERE)
    before, after = old.notes.get("format", nothing), new.notes.get("format", nothing)
    one, other = str(before.value), str(after.value)
    if one == other:
        return
    old_pos, new_pos = old.at(before.pos), new.at(after.pos)
    if _SECRET_FORMAT in (one, other):
        kind = "secret-exposed" if one == _SECRET_FORMAT else "secret-marked"
    elif {one, other} & _CODED:
        kind = "encoding-changed"
    else:
        kind = "format-changed" if one and other else ("format-removed" if one else "format-added")
    if one and other:
        text = f"the format `{one}` became `{other}`"
    else:
        text = f"the format `{one or other}` is {'gone' if one else 'new'}"
    yield Change(kind, old_pos, new_pos, text)
