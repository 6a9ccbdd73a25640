"""A schema spelled out: references followed, `allOf` merged, unions as a list of alternatives.

A schema is compared as the set of values that it admits. Here it becomes a list of `Flat`s, none of which
holds a reference, an `allOf` or a union at its top; a value fits the schema if it fits one of them. What lies
below the top (properties, items) stays a `Conj`, so recursive schemas are no trouble.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, cast

from specstack_codegen.source import NOWHERE, Map, Position

# `number` is `integer` and `fraction`, so that types are plain sets.
ALL_TYPES = frozenset({"null", "boolean", "integer", "fraction", "string", "array", "object"})
Schema = Map | bool
# Stands for a schema that is too large to spell out.
UNREAD = "union"


class Fact(NamedTuple):
    """The value of a keyword and where it stands."""

    value: Any
    pos: Position


@dataclass(frozen=True, slots=True)
class Conj:
    """What a value must fit: every one of these schemas."""

    parts: tuple[Schema, ...]
    pos: Position

    @property
    def key(self) -> tuple[int, ...]:
        """Tells this conjunction from others as long as its document is in memory."""
        return tuple(id(part) if isinstance(part, Map) else int(part) for part in self.parts)

    def and_(self, other: Conj) -> Conj:
        """Both together."""
        if other.parts == (True,):
            return self
        if self.parts == (True,):
            return other
        known = set(self.key)
        more = tuple(p for p, key in zip(other.parts, other.key, strict=True) if key not in known)
        return replace(self, parts=self.parts + more)


def conj(schema: Any, pos: Position) -> Conj:
    """One schema; anything that is no schema admits everything."""
    if isinstance(schema, Map):
        return Conj((schema,), schema.pos if schema.pos is not NOWHERE else pos)
    return Conj((schema if isinstance(schema, bool) else True,), pos)


ANYTHING = Conj((True,), NOWHERE)


@dataclass(slots=True)
class Flat:
    """One alternative of a schema. `types` never holds null once it is part of a `Shape`.

    `bounds` holds each limit (`minimum`, `maxItems` …) as the tightest one stated. `additional` is None where
    nothing is said, so that objects are open; `opaque` holds what can only be compared for being the same.
    `branches` says for each `oneOf` on the way which of its branches this is.
    """

    pos: Position
    name: str = ""
    types: frozenset[str] = ALL_TYPES
    types_pos: Position = NOWHERE
    values: dict[str, Fact] | None = None
    values_pos: Position = NOWHERE
    bounds: dict[str, Fact] = field(default_factory=dict[str, Fact])
    patterns: dict[str, Position] = field(default_factory=dict[str, Position])
    properties: dict[str, Conj] = field(default_factory=dict[str, Conj])
    property_pos: dict[str, Position] = field(default_factory=dict[str, Position])
    properties_pos: Position = NOWHERE
    required: dict[str, Position] = field(default_factory=dict[str, Position])
    required_pos: Position = NOWHERE
    additional: Conj | None = None
    pattern_properties: dict[str, Conj] = field(default_factory=dict[str, Conj])
    property_names: Conj | None = None
    dependent_required: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    prefix: list[Conj] = field(default_factory=list[Conj])
    items: Conj | None = None
    content: Conj | None = None
    excluded: list[Conj] = field(default_factory=list[Conj])
    opaque: dict[str, list[Fact]] = field(default_factory=dict[str, list[Fact]])
    notes: dict[str, Fact] = field(default_factory=dict[str, Fact])
    branches: dict[int, int] = field(default_factory=dict[int, int])

    def rivals(self, other: Flat) -> bool:
        """Whether a `oneOf` refuses what fits both."""
        return any(other.branches.get(union, branch) != branch for union, branch in self.branches.items())

    def at(self, pos: Position) -> Position:
        """`pos`, or where the schema begins when the keyword is not there."""
        return self.pos if pos is NOWHERE else pos


@dataclass(frozen=True, slots=True)
class Shape:
    """Everything a schema admits: null or not, and the alternatives for the rest.

    `pos` is where the union stands, if it is one. `notes` are those of the schema itself, as opposed to those
    of the union's branches.
    """

    pos: Position
    null: Position | None
    alternatives: tuple[Flat, ...]
    notes: dict[str, Fact]

    @property
    def types(self) -> frozenset[str]:
        """The types of all alternatives together."""
        return frozenset[str]().union(*(one.types for one in self.alternatives))


def value_key(value: Any) -> str:
    """Tells JSON values apart as JSON does: 1 is 1.0 and not true."""
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, float) and value.is_integer():
        return repr(int(value))
    if isinstance(value, list):
        return "[" + ",".join(value_key(item) for item in cast("list[Any]", value)) + "]"
    if isinstance(value, dict):
        pairs = sorted(cast("dict[str, Any]", value).items())
        return "{" + ",".join(f"{key!r}:{value_key(item)}" for key, item in pairs) + "}"
    return repr(value)


def type_of(value: Any) -> str:
    """The JSON type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, float):
        return "integer" if value.is_integer() else "fraction"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def merged(one: Flat, other: Flat) -> Flat:
    """What fits both. Where only one place can be named, it is that of the more telling one."""
    result = Flat(
        pos=other.pos if _is_blank(one) else one.pos,
        name=one.name or other.name,
        types=one.types & other.types,
        types_pos=one.types_pos if one.types_pos is not NOWHERE else other.types_pos,
        values=common_values(one.values, other.values),
        values_pos=one.values_pos if one.values_pos is not NOWHERE else other.values_pos,
        bounds=dict(one.bounds),
        patterns={**one.patterns, **other.patterns},
        required={**other.required, **one.required},
        required_pos=one.required_pos if one.required_pos is not NOWHERE else other.required_pos,
        properties_pos=one.properties_pos if one.properties_pos is not NOWHERE else other.properties_pos,
        property_pos={**other.property_pos, **one.property_pos},
        pattern_properties=_both(one.pattern_properties, other.pattern_properties),
        property_names=_and(one.property_names, other.property_names),
        dependent_required={
            name: one.dependent_required.get(name, frozenset())
            | other.dependent_required.get(name, frozenset())
            for name in one.dependent_required.keys() | other.dependent_required.keys()
        },
        content=_and(one.content, other.content),
        excluded=[*one.excluded, *other.excluded],
        opaque={
            key: [*one.opaque.get(key, ()), *other.opaque.get(key, ())]
            for key in one.opaque.keys() | other.opaque.keys()
        },
        notes={**other.notes, **one.notes},
        branches={**other.branches, **one.branches},
    )
    for key, fact in other.bounds.items():
        result.bounds[key] = tighter(key, result.bounds.get(key), fact)
    for name in dict.fromkeys((*one.properties, *other.properties)):
        first, second = _property(one, name), _property(other, name)
        result.properties[name] = first.and_(second)
    result.additional = _and(one.additional, other.additional)
    for index in range(max(len(one.prefix), len(other.prefix))):
        result.prefix.append(_item(one, index).and_(_item(other, index)))
    result.items = _and(one.items, other.items)
    return result


def _is_blank(flat: Flat) -> bool:
    return flat.types_pos is NOWHERE and flat.values is None and not flat.properties


def _property(flat: Flat, name: str) -> Conj:
    """What a property must fit; one that is not named falls under `additionalProperties`."""
    return flat.properties.get(name) or flat.additional or ANYTHING


def _item(flat: Flat, index: int) -> Conj:
    return flat.prefix[index] if index < len(flat.prefix) else flat.items or ANYTHING


def _and(one: Conj | None, other: Conj | None) -> Conj | None:
    if one is None or other is None:
        return one or other
    return one.and_(other)


def _both(one: dict[str, Conj], other: dict[str, Conj]) -> dict[str, Conj]:
    return {name: cast("Conj", _and(one.get(name), other.get(name))) for name in {**one, **other}}


def common_values(one: dict[str, Fact] | None, other: dict[str, Fact] | None) -> dict[str, Fact] | None:
    """The values that both lists hold; None stands for no list."""
    if one is None or other is None:
        return one if other is None else other
    return {key: fact for key, fact in one.items() if key in other}


def tighter(key: str, one: Fact | None, other: Fact) -> Fact:
    """The tighter of two limits called `key`."""
    if one is None:
        return other
    if key == "uniqueItems":
        return one
    if key == "multipleOf" and isinstance(one.value, int) and isinstance(other.value, int):
        return Fact(math.lcm(one.value, other.value), one.pos)
    if key == "minimum":
        return max(one, other, key=lambda fact: fact.value)
    if key == "maximum":
        # among equal values the exclusive one is tighter
        return min(one, other, key=lambda fact: (fact.value[0], not fact.value[1]))
    choose = min if key.startswith("max") else max
    return choose(one, other, key=lambda fact: fact.value)
