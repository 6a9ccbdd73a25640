"""What the keywords of one schema object say, by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from specstack_codegen.review.flat import Fact, Flat, common_values, conj, tighter, value_key
from specstack_codegen.source import Map, Seq

NOTES = (
    "default",
    "deprecated",
    "readOnly",
    "writeOnly",
    "x-stability",
    "x-resource",
    "discriminator",
    "xml",
    "x-names",
    "contentEncoding",
    "contentMediaType",
    "format",
)
# Keywords that are compared for being the same and no further.
OPAQUE = ("dependentSchemas", "unevaluatedProperties", "unevaluatedItems", "$dynamicRef")
_CONTAINS = ("contains", "minContains", "maxContains")
# Patterns that match every text.
_ANY_TEXT = frozenset({"", "^", "$", ".*", "^.*"})
_WORDS = frozenset({"title", "description", "$comment", "examples", "deprecated"})


def own(node: Map) -> Flat:
    """What the keywords of one schema object say, unions, references and `allOf` aside."""
    flat = Flat(node.pos)
    _own_values(node, flat)
    for key, fact in _bounds(node):
        flat.bounds[key] = tighter(key, flat.bounds.get(key), fact)
    if "pattern" in node and node.text("pattern") not in _ANY_TEXT:
        flat.patterns[node.text("pattern")] = node.at("pattern")
    _own_object(node, flat)
    _own_array(node, flat)
    if isinstance(node.get("contentSchema"), (Map, bool)):
        flat.content = conj(node["contentSchema"], node.at("contentSchema"))
    if isinstance(node.get("not"), (Map, bool)):
        flat.excluded.append(conj(node["not"], node.at("not")))
    flat.opaque = {key: [fact] for key, fact in _opaque(node)}
    flat.notes = notes_of(node)
    return flat


def _opaque(node: Map) -> Iterator[tuple[str, Fact]]:
    """Keywords that are compared for being the same. Those that say nothing without another are left out."""
    for key in OPAQUE:
        if key in node:
            yield key, Fact(node[key], node.at(key))
    if "if" in node:
        for key in ("then", "else"):
            if key in node:
                # each is a promise of its own, with its condition
                yield key, Fact([node["if"], node[key]], node.at(key))
    least = node.get("minContains", 1)
    if "contains" in node and (least or "maxContains" in node):
        stated = Map({key: node[key] for key in _CONTAINS if key in node}, node.at("contains"))
        stated.key_pos = {key: node.at(key) for key in stated}
        yield "contains", Fact(stated, node.at("contains"))


def notes_of(node: Map) -> dict[str, Fact]:
    """What a schema object says besides which values it admits."""
    return {key: Fact(node[key], node.at(key)) for key in NOTES if key in node}


def _own_values(node: Map, flat: Flat) -> None:
    stated = node.get("type")
    if stated is not None:
        names = cast("list[Any]", stated) if isinstance(stated, list) else [stated]
        flat.types = frozenset(t for name in names for t in _types(str(name)))
        flat.types_pos = node.at("type")
        if node.get("nullable") is True:
            flat.types |= {"null"}
    if "const" in node:
        flat.values = {value_key(node["const"]): Fact(node["const"], node.at("const"))}
        flat.values_pos = node.at("const")
    enum = node.get("enum")
    if isinstance(enum, Seq):
        values = {value_key(value): Fact(value, enum.at(index)) for index, value in enumerate(enum)}
        flat.values = values if flat.values is None else common_values(flat.values, values)
        flat.values_pos = node.at("enum")


def _types(name: str) -> Iterable[str]:
    return ("integer", "fraction") if name == "number" else (name,)


def _bounds(node: Map) -> Iterator[tuple[str, Fact]]:
    """Limits by name. An exclusive bound is the pair (value, True), so that both kinds compare."""
    for side, strict in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        value, exclusive = node.get(side), node.get(strict)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            # OpenAPI 3.0 says `exclusiveMinimum: true` beside the bound
            yield side, Fact((value, exclusive is True), node.at(side))
        if isinstance(exclusive, (int, float)) and not isinstance(exclusive, bool):
            yield side, Fact((exclusive, True), node.at(strict))
    for key in (
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "multipleOf",
    ):
        value = node.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield key, Fact(value, node.at(key))
    if node.get("uniqueItems") is True:
        yield "uniqueItems", Fact(True, node.at("uniqueItems"))


def _own_object(node: Map, flat: Flat) -> None:
    properties = node.map("properties")
    if "properties" in node:
        flat.properties_pos = node.at("properties")
    for name, schema in properties.items():
        flat.properties[name] = conj(schema, properties.at(name))
        flat.property_pos[name] = properties.at(name)
    required = node.seq("required")
    if required:
        flat.required_pos = node.at("required")
    flat.required = {str(name): required.at(index) for index, name in enumerate(required)}
    if isinstance(node.get("additionalProperties"), (Map, bool)):
        others = node["additionalProperties"]
        anything = isinstance(others, Map) and others.keys() <= _WORDS
        flat.additional = conj(True if anything else others, node.at("additionalProperties"))
    patterns = node.map("patternProperties")
    flat.pattern_properties = {name: conj(schema, patterns.at(name)) for name, schema in patterns.items()}
    if isinstance(node.get("propertyNames"), (Map, bool)):
        flat.property_names = conj(node["propertyNames"], node.at("propertyNames"))
    dependent = node.map("dependentRequired")
    flat.dependent_required = {name: frozenset(str(x) for x in dependent.seq(name)) for name in dependent}


def _own_array(node: Map, flat: Flat) -> None:
    prefix = node.seq("prefixItems")
    flat.prefix = [conj(schema, prefix.at(index)) for index, schema in enumerate(prefix)]
    if isinstance(node.get("items"), (Map, bool)):
        flat.items = conj(node["items"], node.at("items"))
