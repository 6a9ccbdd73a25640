"""Which alternative of a union became which, and which admits values that another one admits too."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from specstack_codegen.review.flat import ANYTHING, Conj, Flat, Shape, value_key
from specstack_codegen.source import Map

_GROUPS = (
    *(frozenset({"boolean"}), frozenset({"integer", "fraction"}), frozenset({"string"})),
    *(frozenset({"array"}), frozenset({"object"})),
)
_OBJECT = frozenset({"object"})
_ARRAY = frozenset({"array"})
# The keywords for the least and the most of a value, by its types.
_RANGES = {
    frozenset({"integer", "fraction"}): ("minimum", "maximum"),
    frozenset({"string"}): ("minLength", "maxLength"),
    _ARRAY: ("minItems", "maxItems"),
    _OBJECT: ("minProperties", "maxProperties"),
}
_DEPTH = 3
Tags = dict[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Pairing:
    """Alternatives that belong together, and those of either side that have no counterpart."""

    pairs: list[tuple[Flat, Flat]]
    gone: list[Flat]
    come: list[Flat]


def split(alternatives: Iterable[Flat]) -> tuple[Flat, ...]:
    """Each alternative by type, so that `[string, integer]` compares with a union of the two."""
    return tuple(
        one if one.types <= group else replace(one, types=one.types & group)
        for one in alternatives
        for group in _GROUPS
        if one.types & group
    )


def tags_of(flat: Flat, shape_of: Callable[[Conj], Shape]) -> Tags:
    """The properties of an object that list their values, such as `type: {const: text}`."""
    found: Tags = {}
    if "object" not in flat.types:
        return found
    for name, schema in flat.properties.items():
        values = listed(shape_of(schema))
        if values is not None:
            found[name] = values
    return found


def listed(shape: Shape) -> frozenset[str] | None:
    """All values that a shape lists; None when it is open."""
    found: set[str] = set()
    for one in shape.alternatives:
        if one.values is None:
            return None
        found |= one.values.keys()
    if shape.null is not None:
        found.add(value_key(None))
    return frozenset(found)


def are_tagged(alternatives: Iterable[Flat], shape_of: Callable[[Conj], Shape]) -> bool:
    """Whether objects are told apart by the values of one property that all of them have."""
    every = [tags_of(one, shape_of) for one in alternatives]
    common = set(every[0]).intersection(*every) if every else set[str]()
    return any(
        sum(len(tags[name]) for tags in every) == len(frozenset[str]().union(*(tags[name] for tags in every)))
        for name in common
    )


def disjoint(one: Flat, other: Flat, shape_of: Callable[[Conj], Shape], depth: int = 0) -> bool:
    """Whether it is plain to see that no value fits both."""
    common = one.types & other.types
    if not common:
        return True
    if one.values is not None or other.values is not None:
        return not _listed_in_common(one, other)
    return depth <= _DEPTH and all(
        _out_of_reach(one, other, group)
        or (group == _ARRAY and _first_items_differ(one, other, shape_of, depth))
        or (group == _OBJECT and _properties_differ(one, other, shape_of, depth))
        for group in _GROUPS
        if group & common
    )


def _out_of_reach(one: Flat, other: Flat, group: frozenset[str]) -> bool:
    """Whether the least that one side admits is more than the most of the other."""
    if group not in _RANGES:
        return False
    least, most = _RANGES[group]
    for low, high in ((one, other), (other, one)):
        if least not in low.bounds or most not in high.bounds:
            continue
        floor, ceiling = low.bounds[least].value, high.bounds[most].value
        if least != "minimum":
            floor, ceiling = (floor, False), (ceiling, False)
        if floor[0] > ceiling[0] or (floor[0] == ceiling[0] and (floor[1] or ceiling[1])):
            return True
    return False


def _properties_differ(one: Flat, other: Flat, shape_of: Callable[[Conj], Shape], depth: int) -> bool:
    """Whether a property that one side demands is refused by the other, or cannot be the same on both."""
    for demanding, admitting in ((one, other), (other, one)):
        for name in demanding.required:
            known, there = demanding.properties.get(name), admitting.properties.get(name)
            if known and there and _apart(shape_of(known), shape_of(there), shape_of, depth):
                return True
            if not there and _is_closed(admitting):
                return True
    return False


def _is_closed(flat: Flat) -> bool:
    """Whether only the listed properties are admitted."""
    return flat.additional is not None and False in flat.additional.parts and not flat.pattern_properties


def _listed_in_common(one: Flat, other: Flat) -> frozenset[str]:
    """The listed values that fit both, as far as lists and exclusions tell."""
    sets = [frozenset(flat.values) for flat in (one, other) if flat.values is not None]
    common = sets[0].intersection(*sets)
    return common - _excluded(one) - _excluded(other)


def _excluded(flat: Flat) -> frozenset[str]:
    """The values that `not` lists."""
    found: set[str] = set()
    for schema in flat.excluded:
        part = schema.parts[0]
        if len(schema.parts) == 1 and isinstance(part, Map) and len(part) == 1:
            found.update(value_key(value) for value in part.seq("enum"))
            if "const" in part:
                found.add(value_key(part["const"]))
    return frozenset(found)


def _apart(first: Shape, second: Shape, shape_of: Callable[[Conj], Shape], depth: int) -> bool:
    """Whether no value fits both shapes; what admits nothing is not taken for a sign."""
    if (first.null and second.null) or not first.alternatives or not second.alternatives:
        return False
    return all(
        disjoint(left, right, shape_of, depth + 1)
        for left in first.alternatives
        for right in second.alternatives
    )


def _first_items_differ(one: Flat, other: Flat, shape_of: Callable[[Conj], Shape], depth: int) -> bool:
    """Whether two lists have a first item each that cannot be the same."""
    if not all("minItems" in flat.bounds and flat.bounds["minItems"].value for flat in (one, other)):
        return False
    first, second = (flat.prefix[0] if flat.prefix else flat.items or ANYTHING for flat in (one, other))
    return _apart(shape_of(first), shape_of(second), shape_of, depth)


def conflicts(flats: Iterable[Flat], shape_of: Callable[[Conj], Shape]) -> list[tuple[Flat, Flat]]:
    """Branches of one `oneOf` that may admit the same value, which is then refused."""
    every = list(flats)
    return [
        (one, other)
        for index, one in enumerate(every)
        for other in every[index + 1 :]
        if one.rivals(other) and not disjoint(one, other, shape_of)
    ]


def pair_up(
    olds: Iterable[Flat],
    news: Iterable[Flat],
    shape_of: tuple[Callable[[Conj], Shape], Callable[[Conj], Shape]],
    same: Callable[[Flat, Flat], bool],
) -> Pairing:
    """Counterparts: by component, then by tag, then by being the same, then by type where one is left."""
    gone, come = list(olds), list(news)
    pairs: list[tuple[Flat, Flat]] = []

    def match(fits: Callable[[Flat, Flat], bool]) -> None:
        for old in list(gone):
            new = next((one for one in come if old.types & one.types and fits(old, one)), None)
            if new is not None:
                pairs.append((old, new))
                _drop(gone, old)
                _drop(come, new)

    match(lambda old, new: bool(old.name) and old.name == new.name)
    old_tags = {id(one): tags_of(one, shape_of[0]) for one in gone}
    new_tags = {id(one): tags_of(one, shape_of[1]) for one in come}
    match(lambda old, new: _share_tag(old_tags[id(old)], new_tags[id(new)]))
    match(same)
    for old in list(gone):
        rivals = [one for one in gone if one.types & old.types]
        fitting = [one for one in come if one.types & old.types]
        if len(rivals) == len(fitting) == 1 and not _tags_differ(old_tags[id(old)], new_tags[id(fitting[0])]):
            pairs.append((old, fitting[0]))
            _drop(gone, old)
            _drop(come, fitting[0])
    return Pairing(pairs, gone, come)


def _share_tag(one: Tags, other: Tags) -> bool:
    return any(len(values) == 1 and other.get(name) == values for name, values in one.items())


def _tags_differ(one: Tags, other: Tags) -> bool:
    return any(name in other and not values & other[name] for name, values in one.items())


def _drop(flats: list[Flat], flat: Flat) -> None:
    """Without `flat` itself; alternatives that only look like it stay."""
    flats[:] = [one for one in flats if one is not flat]
