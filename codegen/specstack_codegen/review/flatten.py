"""Spelling out schemas: from what a document says to the alternatives that a value may fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, cast

from specstack_codegen.review.flat import (
    UNREAD,
    Conj,
    Fact,
    Flat,
    Schema,
    Shape,
    conj,
    merged,
    type_of,
    value_key,
)
from specstack_codegen.review.keywords import notes_of, own
from specstack_codegen.source import Map, Position, Seq
from specstack_codegen.walk import lookup

MAX_ALTERNATIVES = 512


class Flattener:
    """Spells out the schemas of one document."""

    def __init__(self, document: Map) -> None:
        self._document = document
        self._shapes: dict[tuple[int, ...], Shape] = {}
        self._asked: set[tuple[int, ...]] = set()
        self._refs: dict[int, frozenset[str]] = {}

    def direct(self, schema: Conj) -> Conj:
        """`schema`, or what it refers to when it is a bare reference, so that one component is one thing."""
        for _ in range(32):
            if len(schema.parts) != 1:
                return schema
            part = schema.parts[0]
            if not isinstance(part, Map) or len(part) != 1 or not part.text("$ref"):
                return schema
            target = lookup(self._document, part.text("$ref"))
            if not isinstance(target, (Map, bool)):
                return schema
            schema = conj(target, part.at("$ref"))
        return schema

    def refers(self, schema: Map) -> frozenset[str]:
        """Every reference in `schema`, however deep; components themselves are not entered."""
        found = self._refs.get(id(schema))
        if found is None:
            found = self._refs[id(schema)] = frozenset(references(schema))
        return found

    def shape(self, schema: Conj) -> Shape:
        """The shape of `schema`; computed once."""
        key = schema.key
        found = self._shapes.get(key)
        if found is None:
            found = self._shapes[key] = self._shape(schema)
        return found

    def _shape(self, schema: Conj) -> Shape:
        alternatives = [Flat(schema.pos)]
        for part in schema.parts:
            alternatives = _product(alternatives, self._alternatives(part, schema.pos, ()), schema.pos)
        nulls = [one for one in alternatives if self._admits_null(one)]
        refused = any(one.rivals(other) for one in nulls for other in nulls)
        null = nulls[0].at(nulls[0].types_pos) if nulls and not refused else None
        kept = [rest for rest in map(_without_null, alternatives) if rest is not None]
        union = next(self._unions(schema.parts, 0), None) if len(alternatives) > 1 else None
        pos = union.at("oneOf" if "oneOf" in union else "anyOf") if union is not None else schema.pos
        return Shape(pos, null, tuple(kept), self._notes(schema.parts, 0))

    def _admits_null(self, flat: Flat) -> bool:
        if "null" not in flat.types or (flat.values is not None and value_key(None) not in flat.values):
            return False
        return not any(self._excludes_null(schema) for schema in flat.excluded)

    def _excludes_null(self, schema: Conj) -> bool:
        if schema.key in self._asked:
            # a schema that is excluded from itself: nothing sensible can be said
            return False
        self._asked.add(schema.key)
        excludes = self.shape(schema).null is not None
        self._asked.discard(schema.key)
        return excludes

    def _notes(self, parts: Iterable[Any], depth: int) -> dict[str, Fact]:
        """What the schemas say besides which values they admit; the outermost word counts."""
        found: dict[str, Fact] = {}
        for part in parts:
            if not isinstance(part, Map) or depth > 32:
                continue
            target = lookup(self._document, part.text("$ref")) if part.text("$ref") else None
            found = {**self._notes((target, *part.seq("allOf")), depth + 1), **notes_of(part), **found}
        return found

    def _unions(self, parts: Iterable[Any], depth: int) -> Iterator[Map]:
        """The schemas with a union that `parts` are made of, outermost first."""
        for part in parts:
            if not isinstance(part, Map) or depth > 32:
                continue
            if "oneOf" in part or "anyOf" in part:
                yield part
            target = lookup(self._document, part.text("$ref")) if part.text("$ref") else None
            yield from self._unions((target, *part.seq("allOf"), *part.seq("anyOf")), depth + 1)

    def _alternatives(
        self, part: Schema, pos: Position, seen: tuple[str, ...], *, branch: bool = False
    ) -> list[Flat]:
        """What `part` admits. `branch` says that it stands in a union: then its notes are its own."""
        if not isinstance(part, Map):
            return [Flat(pos)] if part else []
        base = own(part)
        if not branch:
            # what the schema itself says stands in its shape
            base.notes = {key: fact for key, fact in base.notes.items() if key == "format"}
        result = [base]
        ref = part.text("$ref")
        if ref:
            # a union that holds itself adds nothing to what its other branches admit
            if ref in seen:
                return []
            target = lookup(self._document, ref)
            below = self._alternatives(
                target if isinstance(target, (Map, bool)) else True,
                part.at("$ref"),
                (*seen, ref),
                branch=branch,
            )
            if len(below) == 1 and not below[0].name:
                # a union has no name of its own: its branches have, or are told apart otherwise
                below = [replace(below[0], name=ref.rsplit("/", 1)[-1])]
            result = _product(result, below, part.pos)
        for one in _parts(part.seq("allOf")):
            result = _product(
                result, self._alternatives(one, part.at("allOf"), seen, branch=branch), part.pos
            )
        for keyword in ("anyOf", "oneOf"):
            if keyword in part:
                options: list[Flat] = []
                for index, one in enumerate(_parts(part.seq(keyword))):
                    which = {id(part): index} if keyword == "oneOf" else {}
                    below = self._alternatives(one, part.at(keyword), seen, branch=True)
                    options.extend(replace(flat, branches={**flat.branches, **which}) for flat in below)
                result = _product(result, options, part.pos)
        return result


def references(value: Any) -> Iterator[str]:
    """Every reference in `value`, however deep; what they lead to is not entered."""
    if isinstance(value, Map):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from references(item)


def altered_references(old: Map, new: Map) -> frozenset[str]:
    """References to components that are not the same on both sides, or lead to one that is not."""
    uses: dict[str, set[str]] = {}
    pending: list[str] = []
    before, after = (_components(document) for document in (old, new))
    for ref in before.keys() | after.keys():
        if before.get(ref) != after.get(ref):
            pending.append(ref)
        for side in (before, after):
            for used in references(side.get(ref)):
                uses.setdefault(used, set()).add(ref)
    found = set(pending)
    while pending:
        more = uses.get(pending.pop(), set()) - found
        found |= more
        pending.extend(more)
    return frozenset(found)


def _components(document: Map) -> dict[str, Any]:
    """Every component by what refers to it."""
    sections = document.map("components")
    return {
        f"#/components/{section}/{name}": value
        for section in sections
        for name, value in sections.map(section).items()
    }


def _parts(items: Seq) -> Iterator[Schema]:
    return (item for item in items if isinstance(item, (Map, bool)))


def _product(left: list[Flat], right: list[Flat], pos: Position) -> list[Flat]:
    if len(left) * len(right) > MAX_ALTERNATIVES:
        names = sorted({one.name for one in (*left, *right)})
        return [Flat(pos, opaque={UNREAD: [Fact(names, pos)]})]
    found = (merged(one, other) for one in left for other in right)
    return [one for one in found if one.types and (one.values is None or one.values)]


def _without_null(flat: Flat) -> Flat | None:
    types, values = flat.types - {"null"}, flat.values
    if values is not None:
        values = {key: fact for key, fact in values.items() if type_of(fact.value) in types}
        if not values:
            return None
        types &= frozenset(type_of(fact.value) for fact in values.values())
    return replace(flat, types=types, values=values) if types else None
