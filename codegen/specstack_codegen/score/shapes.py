"""Schemas in a normal form, so that what is written differently and means the same is the same.

References are resolved, `allOf` is merged (a property that several parts name has the form of the last one),
`oneOf` and `anyOf` are alike and nested or single ones are flattened, `nullable` and the type "null" are one
flag, a constant is an enum of one, a missing type is inferred, and the only default among a union's variants
is that of the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from specstack_codegen.score.document import Document
from specstack_codegen.source import Map, Position

ABSENT: Any = object()
"""Where a schema states no default; null is one."""

ANY = "any"
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "format")
_LIMITS: dict[str, tuple[str, ...]] = {
    "integer": _NUMBERS,
    "number": _NUMBERS,
    "string": ("minLength", "maxLength", "pattern", "format"),
    "array": ("minItems", "maxItems", "uniqueItems"),
    "object": ("minProperties", "maxProperties"),
}
_NO_LIMIT = {"minLength": 0, "minItems": 0, "minProperties": 0, "uniqueItems": False}
_OBJECT_KEYS = frozenset({"properties", "required", "additionalProperties"})
_LIMIT_KEYS = frozenset(key for keys in _LIMITS.values() for key in keys)
_STRUCTURE = _LIMIT_KEYS | _OBJECT_KEYS | {"type", "enum", "const", "items", "allOf", "oneOf", "anyOf"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One form of a value, never null. `name` is its component, "" for one that is written in place.

    `values` is the schema of a map's values: None admits any, False admits no other property.
    """

    type: str
    name: str
    pos: Position
    enum: frozenset[Any] | None = None
    limits: Mapping[str, Any] = field(default_factory=dict[str, Any])
    default: Any = ABSENT
    items: Map | None = None
    properties: Mapping[str, Map] = field(default_factory=dict[str, Map])
    required: frozenset[str] = frozenset()
    values: Map | Literal[False] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A schema in normal form: its variants, whether null is admitted, and the default."""

    variants: tuple[Variant, ...]
    null: bool
    default: Any
    pos: Position


class Shapes:
    """The shapes of one document, each made once."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._made: dict[tuple[int, str], Shape] = {}
        self._open: set[int] = set()
        # Shapes are known by their node's identity, so the nodes must live as long.
        self._kept: list[Map] = []

    def of(self, node: Map, name: str = "") -> Shape:
        """The shape of a schema; `name` is the component it was reached by."""
        key = (id(node), name)
        if key not in self._made:
            if id(node) in self._open:
                return _anything(node, name)
            self._kept.append(node)
            self._open.add(id(node))
            self._made[key] = self._shape(node, name)
            self._open.discard(id(node))
        return self._made[key]

    def _shape(self, node: Map, name: str) -> Shape:
        parts: list[Shape] = []
        if "$ref" in node:
            found, target = self.document.target(node)
            parts.append(self.of(target, name or found))
        parts += [self.of(part, "") for part in _schemas(node, "allOf")]
        stated = _own(node, name)
        if stated is not None:
            parts.append(stated)
        for key in ("oneOf", "anyOf"):
            if branches := _schemas(node, key):
                parts.append(self._union([self.of(one) for one in branches], node, name))
        shape = parts[0] if parts else _anything(node, name)
        for part in parts[1:]:
            shape = _both(shape, part)
        if stated is None and _LIMIT_KEYS & node.keys():
            # Bounds beside a reference or a union hold for every variant that they can bound.
            bound = [replace(one, limits={**one.limits, **_limits(node, one.type)}) for one in shape.variants]
            shape = replace(shape, variants=tuple(bound))
        if name and ("allOf" in node or (len(shape.variants) == 1 and not shape.variants[0].name)):
            shape = replace(shape, variants=tuple(replace(one, name=name) for one in shape.variants))
        default = canonical(node["default"]) if "default" in node else shape.default
        null = shape.null or node.get("nullable") is True
        return Shape(variants=_joined(shape.variants), null=null, default=default, pos=node.pos)

    def _union(self, branches: list[Shape], node: Map, name: str) -> Shape:
        stated = {repr(one.default): one.default for one in branches if one.default is not ABSENT}
        hoisted = len(stated) == 1 and "default" not in node
        variants: list[Variant] = []
        for one in branches:
            default = ABSENT if hoisted else one.default
            variants += [
                replace(variant, default=variant.default if default is ABSENT else default)
                for variant in one.variants
            ]
        return Shape(
            variants=tuple(variants),
            null=any(one.null for one in branches),
            default=next(iter(stated.values())) if hoisted else ABSENT,
            pos=node.pos,
        )


def is_plain_ref(node: Map) -> bool:
    """Whether a schema is a reference that says nothing more about the value."""
    return "$ref" in node and not (_STRUCTURE | {"default", "nullable"}) & node.keys()


def canonical(value: Any) -> Any:
    """A value to compare: whole numbers are integers, booleans are no numbers, lists and objects are text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return str(sorted((key, canonical(one)) for key, one in cast("dict[str, Any]", value).items()))
    return str([canonical(one) for one in cast("list[Any]", value)]) if isinstance(value, list) else value


def _schemas(node: Map, key: str) -> list[Map]:
    return [one for one in cast("list[Any]", node.seq(key)) if isinstance(one, Map)]


def _anything(node: Map, name: str) -> Shape:
    return Shape(
        variants=(Variant(type=ANY, name=name, pos=node.pos),), null=True, default=ABSENT, pos=node.pos
    )


def _own(node: Map, name: str) -> Shape | None:
    """What a schema's own keywords say, None when they say nothing about the value."""
    types = _types(node)
    if not types:
        return None
    # A lone `type` beside a union or reference names nothing: the union's variants keep their names.
    own = name if not any(key in node for key in ("oneOf", "anyOf", "$ref")) else ""
    variants = tuple(_variant(node, kind, own) for kind in types if kind != "null")
    return Shape(variants=variants, null="null" in types, default=ABSENT, pos=node.pos)


def _types(node: Map) -> list[str]:
    stated = node.get("type")
    if isinstance(stated, str):
        return [stated]
    if isinstance(stated, list):
        return [str(one) for one in cast("list[Any]", stated)]
    values = _values(node)
    if values is not None:
        return list(dict.fromkeys(_type_of(one) for one in values))
    if _OBJECT_KEYS & node.keys():
        return ["object"]
    return ["array"] if "items" in node else []


def _values(node: Map) -> list[Any] | None:
    return [node["const"]] if "const" in node else list(node.seq("enum")) if "enum" in node else None


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object", list: "array"}
    return next(name for kind, name in kinds.items() if isinstance(value, kind))


def _variant(node: Map, kind: str, name: str) -> Variant:
    values = _values(node)
    additional = node.get("additionalProperties")
    properties = node.map("properties")
    return Variant(
        type=kind,
        name=name,
        pos=node.pos,
        enum=None if values is None else _enum(values),
        limits=_limits(node, kind),
        items=node.map("items") if kind == "array" else None,
        properties={key: properties.map(key) for key in properties} if kind == "object" else {},
        required=frozenset(str(one) for one in node.seq("required")) if kind == "object" else frozenset(),
        values=False if additional is False else additional if isinstance(additional, Map) else None,
    )


def _enum(values: list[Any]) -> frozenset[Any]:
    return frozenset(canonical(one) for one in values if one is not None)


def _limits(node: Map, kind: str) -> dict[str, Any]:
    found = {key: canonical(node[key]) for key in _LIMITS.get(kind, ()) if key in node}
    for key, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if found.get(key) == "true":
            found[key] = found.pop(bound, None)
        elif found.get(key) == "false":
            del found[key]
    return {key: value for key, value in found.items() if value != canonical(_NO_LIMIT.get(key))}


def _both(first: Shape, second: Shape) -> Shape:
    """What fits both; the second wins where they say different things of one property."""
    variants = [
        _merged(one, other) for one in first.variants for other in second.variants if _fit(one, other)
    ]
    return Shape(
        variants=tuple(variants),
        null=first.null and second.null,
        default=first.default if second.default is ABSENT else second.default,
        pos=first.pos,
    )


def _fit(one: Variant, other: Variant) -> bool:
    return one.type == other.type or ANY in (one.type, other.type) or {one.type, other.type} == _NUMERIC


_NUMERIC = {"integer", "number"}


def _merged(one: Variant, other: Variant) -> Variant:
    type_ = one.type if other.type == ANY else other.type if one.type == ANY else min(one.type, other.type)
    enums = [each.enum for each in (one, other) if each.enum is not None]
    return Variant(
        type=type_,
        name=other.name or one.name,
        pos=one.pos,
        enum=enums[0].intersection(*enums) if enums else None,
        limits={**one.limits, **other.limits},
        default=one.default if other.default is ABSENT else other.default,
        items=other.items or one.items,
        properties={**one.properties, **other.properties},
        required=one.required | other.required,
        values=one.values if other.values is None else other.values,
    )


def _joined(variants: Iterable[Variant]) -> tuple[Variant, ...]:
    """Variants without repeats: enums of one type are one enum."""
    kept: list[Variant] = []
    for one in variants:
        for index, other in enumerate(kept):
            if one.type != other.type or (one.enum is None) != (other.enum is None):
                continue
            if one.enum is not None and other.enum is not None:
                kept[index] = replace(other, enum=one.enum | other.enum)
                break
            if one.type not in ("object", "array") and one.limits == other.limits:
                break
            if one.name and one.name == other.name:
                break
        else:
            kept.append(one)
    return tuple(kept)
