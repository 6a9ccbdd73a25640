"""The published OpenAPI documents: openapi.json (3.2), and openapi-3.1.json for tools that read no 3.2.

Published is what a client can use. Aliases, serving and access data stay in the spec. A discriminator that
cannot name every branch (several share a tag) is left out, since OpenAPI would read it wrongly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from specstack_codegen.emit import Files
from specstack_codegen.ir import Ir
from specstack_codegen.lint_rules.home import public_extensions
from specstack_codegen.source import Map, plain, positionless
from specstack_codegen.walk import Node, walk

VERSION_32 = "3.2"
VERSION_31 = "3.1"
FULL_VERSION_31 = "3.1.1"

# what 3.2 added and 3.1 does not know, by kind of object; dropping it loses no meaning for a client
_NEW_IN_32: dict[str, tuple[str, ...]] = {
    "root": ("$self",),
    "tag": ("summary", "parent", "kind"),
    "server": ("name",),
    "path": ("query", "additionalOperations"),
    "media": ("itemSchema", "prefixEncoding", "itemEncoding"),
    "response": ("summary",),
    "discriminator": ("defaultMapping",),
    "components": ("mediaTypes",),
}


def emit(ir: Ir) -> Files:
    """openapi.json and openapi-3.1.json of the API package."""
    texts = documents(ir.openapi)
    return {
        f"{ir.api_package}/openapi.json": texts[VERSION_32],
        f"{ir.api_package}/openapi-3.1.json": texts[VERSION_31],
    }


def documents(bundle: Mapping[str, Any]) -> dict[str, str]:
    """The published documents of a bundle, as JSON text by minor version of OpenAPI."""
    document = published(plain(bundle))
    return {VERSION_32: _text(document), VERSION_31: _text(as_31(document))}


def published(bundle: dict[str, Any]) -> dict[str, Any]:
    """The bundle without what only the server needs to know."""
    document: Map = positionless(bundle)
    public = public_extensions()
    for node in list(walk(document)):
        for key in [key for key in node.value if key.startswith("x-") and key not in public]:
            del node.value[key]
        if node.kind == "schema" and "discriminator" in node.value and not _names_every_branch(node.value):
            del node.value["discriminator"]
    return plain(document)


def _names_every_branch(union: Map) -> bool:
    branches = {
        item.text("$ref") for key in ("oneOf", "anyOf") for item in union.seq(key) if isinstance(item, Map)
    }
    return branches == set(union.map("discriminator").map("mapping").values())


def as_31(document: dict[str, Any]) -> dict[str, Any]:
    """A 3.1 document that says the same: a stream's media type has the schema of one event's data."""
    copy: Map = positionless(document)
    copy["openapi"] = FULL_VERSION_31
    for node in list(walk(copy)):
        if node.kind == "media" and "itemSchema" in node.value:
            node.value.setdefault("schema", event_data(node.value.map("itemSchema")))
        if node.kind == "response" and not node.ref:
            node.value.setdefault("description", node.value.text("summary"))
        if node.kind == "example":
            _example_31(node)
        if node.kind == "tag" and "summary" in node.value:
            node.value.setdefault("description", node.value["summary"])
        for key in _NEW_IN_32.get(node.kind, ()):
            node.value.pop(key, None)
    return plain(copy)


def event_data(item: Map) -> Map:
    """The schema of an event's data; of the event itself where it is no server-sent event."""
    for node in walk(item, "schema"):
        if isinstance(node.value.get("contentSchema"), Map):
            return node.value.map("contentSchema")
    return item


def _example_31(node: Node) -> None:
    for key in ("dataValue", "serializedValue"):
        if key in node.value:
            node.value.setdefault("value", node.value.pop(key))


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
