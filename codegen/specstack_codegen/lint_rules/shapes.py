"""Rules about the shape of OpenAPI objects: their keywords, what each holds, and that values agree."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, cast

from specstack_codegen.bundle import Spec
from specstack_codegen.lint_rules import view
from specstack_codegen.lint_rules.extensions import all_nodes, config_schemas
from specstack_codegen.lint_rules.registry import Finding, article, close, rule
from specstack_codegen.source import Map, Position, Seq
from specstack_codegen.walk import GRAMMAR, METHODS, Node

_TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _texts(value: Any) -> bool:
    return isinstance(value, Seq) and all(isinstance(item, str) for item in value)


def _types(value: Any) -> bool:
    names = value if isinstance(value, Seq) else [value]
    return bool(names) and all(isinstance(name, str) and name in _TYPES for name in names)


# what a keyword may hold: the test, and how messages call it
_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "text": (lambda value: isinstance(value, str), "text"),
    "flag": (lambda value: isinstance(value, bool), "true or false"),
    "number": (_number, "a number"),
    "count": (lambda value: isinstance(value, int) and value >= 0, "a whole number from 0"),
    "map": (lambda value: isinstance(value, Map), "a mapping"),
    "list": (lambda value: isinstance(value, Seq), "a list"),
    "values": (lambda value: isinstance(value, Seq) and len(value) > 0, "a list with at least one value"),
    "texts": (_texts, "a list of names"),
    "types": (_types, f"one of {', '.join(sorted(_TYPES))}, or a list of these"),
    "schema": (lambda value: isinstance(value, (Map, bool)), "a schema"),
    "any": (lambda _value: True, "anything"),
}

_VALUE = {
    "text": "description style",
    "flag": "required deprecated explode",
    "map": "schema content examples",
    "any": "example",
}

# kind of object -> kind of value -> the keywords that OpenAPI 3.2 gives it
_KEYWORDS: dict[str, dict[str, str]] = {
    "root": {
        "text": "openapi $self jsonSchemaDialect",
        "map": "info paths components webhooks externalDocs",
        "list": "servers security tags",
    },
    "components": {"map": " ".join((*GRAMMAR["components"], "callbacks"))},
    "path": {
        "text": "summary description",
        "list": "servers parameters",
        "map": " ".join((*METHODS, "additionalOperations")),
    },
    "operation": {
        "text": "summary description operationId",
        "flag": "deprecated",
        "list": "parameters security servers",
        "texts": "tags",
        "map": "requestBody responses callbacks externalDocs",
    },
    "parameter": {
        **_VALUE,
        "text": f"{_VALUE['text']} name in",
        "flag": f"{_VALUE['flag']} allowEmptyValue allowReserved",
    },
    "header": _VALUE,
    "body": {"text": "description", "map": "content", "flag": "required"},
    "media": {
        "map": "schema itemSchema examples encoding itemEncoding",
        "list": "prefixEncoding",
        "any": "example",
    },
    "encoding": {"text": "contentType style", "map": "headers encoding", "flag": "explode allowReserved"},
    "response": {"text": "summary description", "map": "headers content links"},
    "tag": {"text": "name summary description parent kind", "map": "externalDocs"},
    "info": {"text": "title summary description termsOfService version", "map": "contact license"},
    "discriminator": {"text": "propertyName defaultMapping", "map": "mapping"},
    "schema": {
        "text": "$ref $id $anchor $comment $schema $dynamicRef $dynamicAnchor title description "
        "format pattern contentMediaType contentEncoding",
        "types": "type",
        "values": "enum oneOf anyOf allOf prefixItems",
        "texts": "required",
        "flag": "deprecated readOnly writeOnly uniqueItems nullable",
        "number": "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf",
        "count": "minLength maxLength minItems maxItems minProperties maxProperties minContains maxContains",
        "map": "properties patternProperties $defs dependentSchemas dependentRequired discriminator xml "
        "externalDocs",
        "schema": "items additionalProperties not contentSchema propertyNames contains if then else "
        "unevaluatedItems unevaluatedProperties",
        "list": "examples",
        "any": "const default example",
    },
}
_SHAPES = {
    kind: {keyword: value for value, keywords in groups.items() for keyword in keywords.split()}
    for kind, groups in _KEYWORDS.items()
}
_REQUIRED = {"parameter": ("name", "in"), "discriminator": ("propertyName",), "body": ("content",)}


@rule("unknown-keyword")
def unknown_keyword(spec: Spec) -> Iterator[Finding]:
    """An OpenAPI object has only the keywords that OpenAPI 3.2 gives it; a misspelt one would be ignored."""
    for node in all_nodes(spec):
        known = _SHAPES.get(node.kind)
        if known is None or (node.ref and node.kind != "schema"):
            continue
        for key in node.value:
            if key not in known and not key.startswith("x-"):
                message = f"{article(node.kind)} has no keyword {key!r}"
                yield Finding(node.value.at(key), message, close(key, known))


@rule("keyword-value")
def keyword_value(spec: Spec) -> Iterator[Finding]:
    """Each keyword of OpenAPI holds what it must hold: text, a number, a list, a mapping, a schema."""
    for node in all_nodes(spec):
        shapes = _SHAPES.get(node.kind, {})
        for key, value in node.value.items():
            test, name = _KINDS[shapes.get(key, "any")]
            if not test(value):
                message = f"{key!r} of {article(node.kind)} does not hold what it must"
                yield Finding(node.value.at(key), message, f"write {name}")
            else:
                yield from _children(node, key, value)
        for key in _REQUIRED.get(node.kind, ()):
            if key not in node.value and not node.ref:
                yield Finding(node.value.pos, f"{article(node.kind)} needs {key!r}", f"add {key}")


def _children(node: Node, key: str, value: Any) -> Iterator[Finding]:
    """The entries of a map or list of objects that are no objects."""
    shape, kind = GRAMMAR.get(node.kind, {}).get(key, ("", ""))
    entries: list[tuple[Position, Any]] = []
    if shape == "map" and isinstance(value, Map):
        entries = [(value.at(name), item) for name, item in value.items() if not name.startswith("x-")]
    elif shape == "list" and isinstance(value, Seq):
        entries = [(value.at(index), item) for index, item in enumerate(cast("list[Any]", value))]
    for pos, item in entries:
        if not isinstance(item, Map):
            yield Finding(
                pos, f"an entry of {key!r} is no {kind}", f"write {article(kind)}, which is a mapping"
            )


@rule("required-known")
def required_known(spec: Spec) -> Iterator[Finding]:
    """What a schema requires is one of its properties; a misspelt name could never be sent."""
    for node in (*spec.schemas(), *config_schemas(spec)):
        required = node.value.seq("required")
        known = node.value.map("properties").keys()
        if not known and node.keyword not in ("schemas", ""):
            continue
        inherited = {name for part in view.parts(spec, node.value) for name in part.map("properties")}
        for index, name in enumerate(required):
            if str(name) not in known | inherited:
                message = f"{str(name)!r} is required and no property"
                yield Finding(required.at(index), message, close(str(name), known, "add the property"))


@rule("default-fits")
def default_fits(spec: Spec) -> Iterator[Finding]:
    """A default is a value that its schema admits: of its type, in its enum, within its bounds."""
    for node in (*spec.schemas(), *config_schemas(spec)):
        if "default" not in node.value:
            continue
        default, pos = node.value["default"], node.value.at("default")
        types, choices = view.types(spec, node.value), _choices(spec, node.value)
        if types and not types & _types_of(default):
            hint = f"write a value of type {' or '.join(sorted(types))}"
            yield Finding(pos, f"the default {_show(default)} is of another type", hint)
        elif choices is not None and default not in choices:
            hint = f"write one of {', '.join(_show(choice) for choice in choices)}"
            yield Finding(pos, f"the default {_show(default)} is none of the values", hint)
        elif _number(default) and _outside(node.value, default):
            yield Finding(
                pos, f"the default {_show(default)} is out of bounds", "write a value within the bounds"
            )


def _choices(spec: Spec, schema: Map) -> list[Any] | None:
    """The values that the schema lists; None when some branch of it is open."""
    found: list[Any] = []
    for branch in view.branches(spec, schema):
        if "enum" not in branch and "const" not in branch:
            return None
        found.extend([branch["const"]] if "const" in branch else branch.seq("enum"))
    return found


def _types_of(value: Any) -> frozenset[str]:
    if isinstance(value, bool):
        return frozenset({"boolean"})
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return frozenset({"integer", "number"})
    if isinstance(value, float):
        return frozenset({"number"})
    if isinstance(value, str):
        return frozenset({"string"})
    if value is None:
        return frozenset({"null"})
    return frozenset({"array" if isinstance(value, list) else "object"})


def _outside(schema: Map, value: float) -> bool:
    def bound(key: str, otherwise: float) -> float:
        return cast("float", schema[key]) if _number(schema.get(key)) else otherwise

    low, high = bound("minimum", -math.inf), bound("maximum", math.inf)
    above, below = bound("exclusiveMinimum", -math.inf), bound("exclusiveMaximum", math.inf)
    return not (low <= value <= high and above < value < below)


def _show(value: Any) -> str:
    return repr(value) if isinstance(value, (str, float, int)) or value is None else "of this form"
