"""Which variant of our union stands for which of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from specstack_codegen.score.shapes import Shapes, Variant

_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class Pairs:
    """Variants that belong together (ours, theirs), those that they alone have, those that we alone have."""

    both: list[tuple[Variant, Variant]]
    missing: list[Variant]
    extra: list[Variant]


def pair(ours: Sequence[Variant], theirs: Sequence[Variant], our: Shapes, their: Shapes) -> Pairs:
    """The best pairs first: the same constants, then the same name or form, then most fields in common."""
    rated = [
        (-_likeness(one, other, our, their), i, j)
        for i, one in enumerate(ours)
        for j, other in enumerate(theirs)
    ]
    mine, yours = dict(enumerate(ours)), dict(enumerate(theirs))
    both: list[tuple[Variant, Variant]] = []
    for rate, i, j in sorted(rated):
        if rate < 0 and i in mine and j in yours:
            both.append((mine.pop(i), yours.pop(j)))
    return Pairs(both, list(yours.values()), list(mine.values()))


def describe(variant: Variant, shapes: Shapes) -> str:
    """A variant in a word: its component, else its form."""
    return variant.name or form(variant, shapes)


def form(variant: Variant, shapes: Shapes, depth: int = 0) -> str:
    """The kind of value, such as `string`, `enum of string`, `array of integer`, `object`."""
    if variant.type == "array" and variant.items is not None and depth < _DEEPEST:
        inner = shapes.of(variant.items)
        return f"array of {' or '.join(sorted(form(one, shapes, depth + 1) for one in inner.variants))}"
    return f"enum of {variant.type}" if variant.enum is not None else variant.type


def _likeness(one: Variant, other: Variant, our: Shapes, their: Shapes) -> float:
    if one.type != other.type:
        return 0
    if one.type != "object":
        return 3 if form(one, our) == form(other, their) else 1
    mine, yours = constants(one, our), constants(other, their)
    same_name = bool(one.name) and one.name == other.name
    shared = mine.keys() & yours.keys()
    if any(mine[key] != yours[key] for key in shared):
        return 0.1 if same_name else 0
    names, others = set(one.properties), set(other.properties)
    overlap = len(names & others) / (len(names | others) or 1)
    if not names and not others:
        overlap = 0.5
    return 10 * len(shared) + 5 * same_name + overlap


def constants(variant: Variant, shapes: Shapes) -> dict[str, object]:
    """The fields of an object that have one value only: by these its users tell it apart."""
    found: dict[str, object] = {}
    for name, schema in variant.properties.items():
        inner = shapes.of(schema).variants
        if len(inner) == 1 and inner[0].enum is not None and len(inner[0].enum) == 1:
            found[name] = next(iter(inner[0].enum))
    return found
