"""Rules about single schemas: what the model generator, the validators and every client can read alike."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

from specstack_codegen.bundle import Spec
from specstack_codegen.lint_rules.extensions import config_schemas
from specstack_codegen.lint_rules.registry import Finding, rule
from specstack_codegen.source import Map, Position
from specstack_codegen.walk import Node

_UNSUPPORTED = {
    "readOnly": "make two schemas, one for requests and one for replies",
    "writeOnly": "make two schemas, one for requests and one for replies",
    "uniqueItems": "models do not enforce it: say in the description what happens to duplicates",
    "patternProperties": "use additionalProperties and describe the keys in words",
    "if": "make a union of the cases",
    "then": "make a union of the cases",
    "else": "make a union of the cases",
    "not": "say what is allowed instead",
    "dependentSchemas": "make a union of the cases",
    "dependentRequired": "make a union of the cases",
    "unevaluatedProperties": "use additionalProperties",
    "unevaluatedItems": "use items",
    "contains": "describe it in words and refuse it in the provider",
    "minContains": "describe it in words and refuse it in the provider",
    "maxContains": "describe it in words and refuse it in the provider",
    "$defs": "make each a component",
    "$id": "components are known by their names",
    "$anchor": "make it a component",
    "$dynamicRef": "use $ref",
    "$dynamicAnchor": "use a component",
}


def _all_schemas(spec: Spec) -> Iterator[Node]:
    yield from spec.schemas()
    yield from config_schemas(spec)


def _in_stream_item(node: Node) -> bool:
    """Whether the schema belongs to an itemSchema, the frame of events, of which no model is made."""
    parent: Node | None = node
    while parent is not None and parent.kind == "schema":
        if parent.keyword == "itemSchema":
            return True
        parent = parent.parent
    return False


@rule("no-nullable")
def no_nullable(spec: Spec) -> Iterator[Finding]:
    """`nullable` means nothing since OpenAPI 3.1; null is a type."""
    for node in _all_schemas(spec):
        if "nullable" in node.value:
            hint = 'write type: [<type>, "null"], or a union with {type: "null"}'
            yield Finding(node.value.at("nullable"), "nullable is not read since OpenAPI 3.1", hint)


@rule("no-object-default")
def no_object_default(spec: Spec) -> Iterator[Finding]:
    """A default is a scalar or a list of scalars; models cannot hold an object as a typed default."""
    for node in _all_schemas(spec):
        default = node.value.get("default")
        inner = cast("list[Any]", default) if isinstance(default, list) else [default]
        if any(isinstance(item, (dict, list)) for item in inner):
            hint = "leave the default out, let the property be optional and describe what its absence means"
            yield Finding(node.value.at("default"), "the default is an object", hint)


@rule("named-objects")
def named_objects(spec: Spec) -> Iterator[Finding]:
    """An object with properties is a component of its own, so that its model has a name somebody chose.

    Exempt are the frames of stream events (`itemSchema`) and the parts of a component's `allOf`.
    """
    for node in spec.schemas():
        if not node.value.map("properties") or _in_stream_item(node):
            continue
        parent = node.parent
        top = parent.parent if node.keyword == "allOf" and parent is not None else parent
        if top is not None and top.kind == "components":
            continue
        hint = "move it to components.schemas under a name of its own and refer to it by $ref"
        yield Finding(node.value.pos, f"an object with properties has no name ({_place(node)})", hint)


def _place(node: Node) -> str:
    names = [
        part for part in node.path if part not in ("components", "schemas", "paths", "content", "responses")
    ]
    return ".".join(names[-4:])


@rule("unsupported-keyword")
def unsupported_keyword(spec: Spec) -> Iterator[Finding]:
    """Only keywords that generated models enforce: a constraint that nobody checks is a promise broken."""
    for node in _all_schemas(spec):
        if _in_stream_item(node):
            continue
        for key, hint in _UNSUPPORTED.items():
            if key in node.value:
                yield Finding(node.value.at(key), f"the keyword {key!r} is not supported", hint)


_OF_KEYS = frozenset({"type", "minLength", "maxLength", "pattern", "description", "x-resource"})


@rule("plain-keys")
def plain_keys(spec: Spec) -> Iterator[Finding]:
    """`propertyNames` bounds the keys of a map, by length and pattern: models enforce that and no more."""
    for node in _all_schemas(spec):
        names = node.value.get("propertyNames")
        if names is None or _in_stream_item(node):
            continue
        at = node.value.at("propertyNames")
        if not isinstance(names, Map) or names.text("type") != "string" or names.keys() - _OF_KEYS:
            hint = "write type string with minLength, maxLength or pattern"
            yield Finding(at, "models enforce lengths and patterns of keys alone", hint)
        elif "properties" in node.value or not isinstance(node.value.get("additionalProperties"), Map):
            hint = "say what the values are under additionalProperties, and name no properties"
            yield Finding(at, "models enforce propertyNames on maps alone", hint)


_FORBIDDEN = (
    (re.compile(r"\(\?(?!:|P?<[A-Za-z_])"), "lookaround and inline flags", "use plain groups (…) or (?:…)"),
    (re.compile(r"\(\?P?<[A-Za-z_]"), "named groups", "use plain groups (…)"),
    (re.compile(r"\\[1-9k]"), "back-references", "spell the alternatives out"),
    (re.compile(r"\\[dDwWsS]"), "\\d, \\w and \\s", "write the characters out, e.g. [0-9] or [A-Za-z0-9_]"),
    (re.compile(r"\\[bBAZzGpP]"), "\\b, \\A, \\Z and \\p", "use ^ and $ and write the characters out"),
    (re.compile(r"[*+?}]\+"), "possessive quantifiers", "use the plain quantifier"),
    (
        re.compile(r"&&|\[[^\]\\]*(?:\\.[^\]\\]*)*(?:\[|--|~~)"),
        "set operations and [ inside a class",
        "escape [ as \\[",
    ),
    (
        re.compile(r"\\[^\\^$.*+?()\[\]{}|/nrtxu-]"),
        "unusual escapes",
        "escape only ^ $ . * + ? ( ) [ ] { } | / - \\",
    ),
)


def pattern_fault(pattern: str) -> tuple[str, str] | None:
    """What in `pattern` Rust, JavaScript and Python do not read alike, and the mend; None if nothing."""
    bare = pattern.replace("\\\\", "")
    for found, what, hint in _FORBIDDEN:
        if found.search(bare):
            return f"the pattern {pattern!r} uses {what}", hint
    try:
        re.compile(pattern)
    except re.error as error:
        return f"the pattern {pattern!r} cannot be read: {error}", "mend the regular expression"
    return None


@rule("portable-pattern")
def portable_pattern(spec: Spec) -> Iterator[Finding]:
    """A pattern means the same to Rust (our validator), JavaScript and Python, Unicode included."""
    for pos, pattern in _patterns(spec):
        fault = pattern_fault(pattern)
        if fault:
            yield Finding(pos, *fault)


def _patterns(spec: Spec) -> Iterator[tuple[Position, str]]:
    for node in _all_schemas(spec):
        if isinstance(node.value.get("pattern"), str):
            yield node.value.at("pattern"), node.value.text("pattern")
    for node in spec.operations():
        for variant in node.value.seq("x-variant"):
            if isinstance(variant, Map) and variant.text("value"):
                yield variant.at("value"), variant.text("value")


_BUILTINS = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "array": "list",
    "object": "dict",
}


@rule("builtin-shadow")
def builtin_shadow(spec: Spec) -> Iterator[Finding]:
    """No property has the name of a builtin type that a property of the same object is annotated with.

    In the model class `bytes: int` would hide the type from `content: bytes` below it.
    """
    for node in _all_schemas(spec):
        properties = node.value.map("properties")
        shadows = {name for name in properties if name in {*_BUILTINS.values(), "bytes"}}
        if not shadows:
            continue
        used = {builtin: name for name, value in properties.items() for builtin in _annotations(value)}
        for name in sorted(shadows & used.keys()):
            message = f"the property {name!r} hides the Python type that {used[name]!r} is annotated with"
            hint = "rename one of them, or give the annotated property a component of its own"
            yield Finding(properties.at(name), message, hint)


def _annotations(schema: Any) -> set[str]:
    """The builtin types in the annotation of an inline schema; references have classes of their own."""
    if not isinstance(schema, Map) or "$ref" in schema or "const" in schema or "enum" in schema:
        return set()
    stated = schema.get("type", [])
    names = cast("list[Any]", stated if isinstance(stated, list) else [stated])
    found = {_BUILTINS[str(name)] for name in names if str(name) in _BUILTINS}
    if schema.get("format") in ("binary", "byte"):
        found = {"bytes"}
    if "object" in names:
        found.add("str")
    inner = [schema.get("items"), schema.get("additionalProperties")]
    for key in ("oneOf", "anyOf", "prefixItems"):
        inner.extend(schema.seq(key))
    return found.union(*(_annotations(item) for item in inner))
