"""Two schemas, fact by fact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from specstack_codegen.score.document import Document
from specstack_codegen.score.pairing import describe, form, pair
from specstack_codegen.score.shapes import ABSENT, ANY, Shape, Shapes, Variant, is_plain_ref
from specstack_codegen.source import Map, Position

KINDS: Mapping[str, str] = {
    "operation": "an operation on one of the reference's paths that the reference does not have",
    "parameter": "a parameter that only one side has",
    "body": "whether there is a request body, and whether it is required",
    "media": "a media type that only one side has",
    "reply": "a status that only one side has",
    "property": "a property of the reference that we lack",
    "extra": "a property that only we have",
    "required": "whether a property or parameter is required",
    "type": "the JSON type",
    "variant": "a variant of a union that only one side has",
    "nullable": "whether null is admitted",
    "default": "the default",
    "enum": "the values of an enum or constant",
    "limit": "a bound, a length, a pattern or a format",
    "closed": "whether other properties are refused, or of which form they must be",
}
"""Every kind of fact, and what it says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One comparison. `where` is our name of the place, `names` all names under which it may be excused."""

    kind: str
    same: bool
    where: str
    names: tuple[str, ...]
    ours: str
    theirs: str
    pos: Position
    their_pos: Position


@dataclass(frozen=True, slots=True)
class Place:
    """A place of our document: what it is called, and what else."""

    where: str
    others: tuple[str, ...] = ()

    def named(self, component: str) -> Place:
        """The same place, called by its component."""
        return (
            self if not component or component == self.where else Place(component, (self.where, *self.others))
        )

    def field(self, suffix: str) -> Place:
        return Place(f"{self.where}{suffix}")


class Comparison:
    """The facts of one category. Two components that meet again are not compared again."""

    def __init__(self, ours: Document, theirs: Document) -> None:
        self.our, self.their = Shapes(ours), Shapes(theirs)
        self.facts: list[Fact] = []
        self._done: set[tuple[int, int]] = set()

    def fact(
        self, kind: str, same: bool, place: Place, ours: Any, theirs: Any, pos: Position, their_pos: Position
    ) -> None:
        """Notes one fact."""
        names = (place.where, *place.others)
        texts = {"ours": _text(ours), "theirs": _text(theirs)}
        self.facts.append(
            Fact(kind=kind, same=same, where=place.where, names=names, pos=pos, their_pos=their_pos, **texts)
        )

    def schemas(self, ours: Map, theirs: Map, place: Place) -> None:
        """Compares two schemas and everything in them."""
        key = (self._identity(ours, self.our), self._identity(theirs, self.their))
        if key in self._done:
            return
        self._done.add(key)
        if "$ref" in ours:
            name = self.our.document.target(ours)[0]
            place = place.named(name) if is_plain_ref(ours) else Place(place.where, (*place.others, name))
        self._shapes(self.our.of(ours), self.their.of(theirs), place)

    def _identity(self, node: Map, shapes: Shapes) -> int:
        return id(shapes.document.target(node)[1] if is_plain_ref(node) else node)

    def _shapes(self, ours: Shape, theirs: Shape, place: Place) -> None:
        pos, other = ours.pos, theirs.pos
        if len(ours.variants) == len(theirs.variants) == 1:
            one, two = ours.variants[0], theirs.variants[0]
            self.fact("type", one.type == two.type, place, one.type, two.type, pos, other)
            if one.type == two.type:
                self._variants(one, two, place)
        else:
            self._union(ours, theirs, place)
        if ANY not in {one.type for one in (*ours.variants, *theirs.variants)}:
            self.fact("nullable", ours.null == theirs.null, place, _null(ours), _null(theirs), pos, other)
        if not (ours.default is ABSENT and theirs.default is ABSENT):
            same = ours.default is not ABSENT and ours.default == theirs.default
            self.fact("default", same, place, ours.default, theirs.default, pos, other)

    def _union(self, ours: Shape, theirs: Shape, place: Place) -> None:
        pairs = pair(ours.variants, theirs.variants, self.our, self.their)
        for one, two in pairs.both:
            self.fact(
                "variant", True, place, describe(one, self.our), describe(two, self.their), one.pos, two.pos
            )
            self._variants(one, two, place)
        for two in pairs.missing:
            self.fact("variant", False, place, ABSENT, describe(two, self.their), ours.pos, two.pos)
        for one in pairs.extra:
            self.fact("variant", False, place, describe(one, self.our), ABSENT, one.pos, theirs.pos)

    def _variants(self, one: Variant, two: Variant, place: Place) -> None:
        place = place.named(one.name)
        if not (one.enum is None and two.enum is None):
            ours, theirs = _enums(one.enum, two.enum)
            self.fact("enum", one.enum == two.enum, place, ours, theirs, one.pos, two.pos)
        for key in sorted(one.limits.keys() | two.limits.keys()):
            left, right = one.limits.get(key, ABSENT), two.limits.get(key, ABSENT)
            ours, theirs = (f"{key} {_text(value)}" for value in (left, right))
            self.fact("limit", left == right, place, ours, theirs, one.pos, two.pos)
        if not (one.default is ABSENT and two.default is ABSENT):
            self.fact(
                "default", one.default == two.default, place, one.default, two.default, one.pos, two.pos
            )
        if one.items is not None or two.items is not None:
            self.schemas(one.items or Map(pos=one.pos), two.items or Map(pos=two.pos), place.field("[]"))
        if one.type == "object":
            self._objects(one, two, place)

    def _objects(self, one: Variant, two: Variant, place: Place) -> None:
        for name, schema in two.properties.items():
            field = place.field(f".{name}")
            own = one.properties.get(name)
            pos = one.pos if own is None else own.pos
            self.fact(
                "property", own is not None, field, ABSENT if own is None else name, name, pos, schema.pos
            )
            if own is None:
                continue
            needed, theirs = name in one.required, name in two.required
            self.fact(
                "required", needed == theirs, field, _required(needed), _required(theirs), pos, schema.pos
            )
            self.schemas(own, schema, field)
        for name, schema in one.properties.items():
            if name not in two.properties:
                self.fact("extra", False, place.field(f".{name}"), name, ABSENT, schema.pos, two.pos)
        if isinstance(one.values, Map) and isinstance(two.values, Map):
            self.schemas(one.values, two.values, place.field("{}"))
        elif one.values is not None or two.values is not None:
            ours, theirs = (
                self._values(side, shapes) for side, shapes in ((one, self.our), (two, self.their))
            )
            self.fact("closed", ours == theirs, place, ours, theirs, one.pos, two.pos)

    def _values(self, variant: Variant, shapes: Shapes) -> str:
        if variant.values is False:
            return "refused"
        if variant.values is None:
            return "any"
        forms = sorted(form(one, shapes) for one in shapes.of(variant.values).variants if one.type != ANY)
        return f"only {' or '.join(forms)}" if forms else "any"


def _enums(ours: frozenset[Any] | None, theirs: frozenset[Any] | None) -> tuple[str, str]:
    """What each side has beyond the other; all of it where the other has no enum."""
    if ours is None or theirs is None:
        return "any" if ours is None else _listed(ours), "any" if theirs is None else _listed(theirs)
    if ours == theirs:
        return _listed(ours), _listed(theirs)
    return f"also {_listed(ours - theirs)}", f"also {_listed(theirs - ours)}"


def _listed(values: frozenset[Any]) -> str:
    return ", ".join(sorted(str(value) for value in values)) or "nothing"


def _null(shape: Shape) -> str:
    return "admitted" if shape.null else "refused"


def _required(needed: bool) -> str:
    return "required" if needed else "optional"


def _text(value: Any) -> str:
    return "none" if value is ABSENT else "null" if value is None else str(value)
