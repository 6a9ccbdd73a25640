"""The run config's JSON Schema with what has joined the server."""

import json
from importlib import resources
from typing import Any

from specstack.descriptors import GeneratedServer

SCHEMA = "run-config.schema.json"
_DEFS = "#/$defs/"

Json = dict[str, Any]


def editor_schema(server: GeneratedServer) -> str:
    """The schema as text, for editors."""
    text = (resources.files(server.openapi) / SCHEMA).read_text("utf-8")
    if not server.external:
        return text
    schema: Json = json.loads(text)
    for one in server.external:
        _add(schema, json.loads((resources.files(one.openapi) / SCHEMA).read_text("utf-8")))
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _add(schema: Json, more: Json) -> None:
    root = _target(schema, schema)
    providers = _target(schema, root["properties"]["providers"])
    entry = providers["additionalProperties"]["items"]
    for api, known in more["providers"].items():
        empty: Json = {**entry, "properties": {"provider_type": {"oneOf": []}}, "allOf": []}
        items = providers.setdefault("properties", {}).setdefault(api, {"type": "array", "items": empty})[
            "items"
        ]
        items["properties"]["provider_type"]["oneOf"] += known["types"]
        items["allOf"] += known["rules"]
    registered = _target(schema, root["properties"]["registered_resources"])
    registered.setdefault("properties", {}).update(more["resources"])
    for name, definition in more["$defs"].items():
        schema["$defs"].setdefault(name, definition)


def _target(schema: Json, node: Json) -> Json:
    """What a node's `$ref` leads to."""
    return schema["$defs"][node["$ref"].removeprefix(_DEFS)]
