"""A walk over an OpenAPI document that knows what every mapping in it is.

`walk(document)` yields one Node per object that OpenAPI gives a meaning (operation, parameter, schema, …) and
never mistakes data (examples, defaults) or a property's name for a keyword.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from specstack_codegen.source import Map, Seq

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")

_SCHEMA_MAPS = ("properties", "patternProperties", "$defs", "dependentSchemas")
_SCHEMA_LISTS = ("oneOf", "anyOf", "allOf", "prefixItems")
_SCHEMA_ONES = (
    *(
        "items",
        "additionalProperties",
        "not",
        "contentSchema",
        "propertyNames",
        "contains",
        "if",
        "then",
        "else",
    ),
    *("unevaluatedItems", "unevaluatedProperties"),
)

# kind -> keyword -> (shape of the value, kind of what is in it)
GRAMMAR: dict[str, dict[str, tuple[str, str]]] = {
    "root": {
        "info": ("one", "info"),
        "tags": ("list", "tag"),
        "servers": ("list", "server"),
        "paths": ("map", "path"),
        "components": ("one", "components"),
    },
    "components": {
        "schemas": ("map", "schema"),
        "responses": ("map", "response"),
        "parameters": ("map", "parameter"),
        "requestBodies": ("map", "body"),
        "headers": ("map", "header"),
        "links": ("map", "link"),
        "examples": ("map", "example"),
        "securitySchemes": ("map", "security-scheme"),
        "pathItems": ("map", "path"),
        "mediaTypes": ("map", "media"),
    },
    "path": {
        "parameters": ("list", "parameter"),
        **{method: ("one", "operation") for method in METHODS},
        "additionalOperations": ("map", "operation"),
    },
    "operation": {
        "parameters": ("list", "parameter"),
        "requestBody": ("one", "body"),
        "responses": ("map", "response"),
    },
    "parameter": {"schema": ("one", "schema"), "content": ("map", "media"), "examples": ("map", "example")},
    "body": {"content": ("map", "media")},
    "media": {
        "schema": ("one", "schema"),
        "itemSchema": ("one", "schema"),
        "encoding": ("map", "encoding"),
        "examples": ("map", "example"),
    },
    "encoding": {"headers": ("map", "header")},
    "response": {"headers": ("map", "header"), "content": ("map", "media"), "links": ("map", "link")},
    "header": {"schema": ("one", "schema"), "content": ("map", "media"), "examples": ("map", "example")},
    "schema": {
        **{key: ("map", "schema") for key in _SCHEMA_MAPS},
        **{key: ("list", "schema") for key in _SCHEMA_LISTS},
        **{key: ("one", "schema") for key in _SCHEMA_ONES},
        "discriminator": ("one", "discriminator"),
    },
}


@dataclass(frozen=True, slots=True)
class Node:
    """One object of the document: its kind, its value, and where it hangs.

    `keys` is the way from the parent's mapping (`("properties", "model")`), `path` the whole way from the
    root.
    """

    kind: str
    value: Map
    path: tuple[str, ...]
    keys: tuple[str, ...] = ()
    parent: Node | None = field(default=None, repr=False)

    @property
    def ref(self) -> str:
        """What the object refers to by `$ref`; "" when it stands for itself."""
        return self.value.text("$ref")

    @property
    def keyword(self) -> str:
        """The parent's keyword that holds this object, e.g. `properties` or `items`."""
        return self.keys[0] if self.keys else ""

    @property
    def name(self) -> str:
        """The name or index of this object under `keyword`, e.g. the property's name."""
        return self.keys[-1] if self.keys else ""

    @property
    def pointer(self) -> str:
        """The JSON pointer of this object in the bundle."""
        return "#/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in self.path)

    def within(self, kind: str) -> Node | None:
        """The nearest object of `kind` that holds this one (itself included)."""
        node: Node | None = self
        while node is not None and node.kind != kind:
            node = node.parent
        return node


def walk(document: Map, kind: str = "root") -> Iterator[Node]:
    """Every object of `document` that OpenAPI gives a meaning, parents first, in file order."""
    yield from _walk(Node(kind, document, ()))


def _walk(node: Node) -> Iterator[Node]:
    yield node
    grammar = GRAMMAR.get(node.kind, {})
    for key, value in node.value.items():
        entry = grammar.get(key)
        if entry is None:
            continue
        shape, kind = entry
        for keys, child in _children(shape, key, value):
            yield from _walk(Node(kind, child, (*node.path, *keys), keys, node))


def _children(shape: str, key: str, value: Any) -> Iterator[tuple[tuple[str, ...], Map]]:
    if shape == "one" and isinstance(value, Map):
        yield (key,), value
    elif shape == "map" and isinstance(value, Map):
        for name, item in value.items():
            if isinstance(item, Map):
                yield (key, name), item
    elif shape == "list" and isinstance(value, Seq):
        for index, item in enumerate(cast("list[Any]", value)):
            if isinstance(item, Map):
                yield (key, str(index)), item


def lookup(document: Map, ref: str) -> Any:
    """What a local `$ref` (`#/components/…`) points at; None when there is nothing."""
    value: Any = document
    if not ref.startswith("#/"):
        return None
    for part in ref[2:].split("/"):
        if not isinstance(value, Map):
            return None
        value = value.get(part.replace("~1", "/").replace("~0", "~"))
    return value


def resolve(document: Map, value: Map) -> Map:
    """Follow `$ref` from `value` until something stands for itself; an empty Map when a ref leads nowhere."""
    for _ in range(32):
        ref = value.text("$ref")
        if not ref:
            return value
        target = lookup(document, ref)
        if not isinstance(target, Map):
            return Map(pos=value.at("$ref"))
        value = target
    return Map(pos=value.pos)
