"""Questions about JSON Schemas: what they refer to, which Python type they are, what an object holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from specstack_codegen.ir import Schema

_SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
SCHEMA_PREFIX = "#/components/schemas/"


def ref_name(schema: Any) -> str | None:
    """The component that `schema` refers to, None when it stands for itself."""
    ref = cast("Mapping[str, Any]", schema).get("$ref") if isinstance(schema, Mapping) else None
    return ref.removeprefix(SCHEMA_PREFIX) if isinstance(ref, str) and ref.startswith(SCHEMA_PREFIX) else None


def resolved(schema: Schema, schemas: Mapping[str, Schema]) -> Schema:
    """`schema` after following its references."""
    name = ref_name(schema)
    return schema if name is None else resolved(schemas[name], schemas)


def branches(schema: Schema, schemas: Mapping[str, Schema]) -> Iterator[Schema]:
    """The object schemas that a value of `schema` may fit: itself, or every branch of its unions."""
    schema = resolved(schema, schemas)
    options = [*schema.get("oneOf", ()), *schema.get("anyOf", ())]
    for option in options:
        yield from branches(option, schemas)
    if not options:
        yield schema


def properties(schema: Schema, schemas: Mapping[str, Schema]) -> dict[str, Schema]:
    """The properties of an object schema, those of its `allOf` parts included."""
    schema = resolved(schema, schemas)
    found: dict[str, Schema] = {}
    for part in schema.get("allOf", ()):
        found.update(properties(part, schemas))
    return {**found, **schema.get("properties", {})}


def required(schema: Schema, schemas: Mapping[str, Schema]) -> frozenset[str]:
    """The names of the properties that an object schema demands."""
    schema = resolved(schema, schemas)
    parts = (required(part, schemas) for part in schema.get("allOf", ()))
    return frozenset(schema.get("required", ())).union(*parts)


def types(schema: Schema, schemas: Mapping[str, Schema]) -> frozenset[str]:
    """The JSON types that a value of `schema` may have; empty means any."""
    schema = resolved(schema, schemas)
    stated = schema.get("type")
    if stated is not None:
        return frozenset([stated] if isinstance(stated, str) else stated)
    if "const" in schema or "enum" in schema:
        return frozenset(_json_type(value) for value in schema.get("enum", [schema.get("const")]))
    options = [*schema.get("oneOf", ()), *schema.get("anyOf", ())]
    return frozenset[str]().union(*(types(option, schemas) for option in options))


def is_file(schema: Schema, schemas: Mapping[str, Schema]) -> bool:
    """Whether a form field of this schema is a file, or a list of files."""
    schema = resolved(schema, schemas)
    if schema.get("type") == "array":
        return is_file(schema.get("items", {}), schemas)
    return schema.get("format") == "binary"


def annotation(schema: Schema) -> str:
    """The Python type of a value, in source form, as a caller would write it; components by name."""
    name = ref_name(schema)
    if name is not None:
        return name
    if "const" in schema:
        return f"Literal[{schema['const']!r}]"
    if "enum" in schema:
        return f"Literal[{', '.join(repr(value) for value in schema['enum'])}]"
    options = [*schema.get("oneOf", ()), *schema.get("anyOf", ())]
    if options:
        return " | ".join(dict.fromkeys(annotation(option) for option in options))
    stated = schema.get("type")
    if isinstance(stated, list):
        return " | ".join(annotation({**schema, "type": one}) for one in cast("list[str]", stated))
    if stated == "string" and schema.get("format") == "binary":
        return "Upload"
    if stated == "array":
        return f"list[{annotation(schema.get('items', {}))}]"
    if stated == "object":
        values = schema.get("additionalProperties")
        return f"dict[str, {annotation(cast(Schema, values)) if isinstance(values, Mapping) else 'Any'}]"
    return _SCALARS.get(str(stated), "Any")


def components_of(schema: Any) -> tuple[str, ...]:
    """The components that a schema refers to directly, in order, each once."""
    return tuple(dict.fromkeys(_refs(schema)))


def _refs(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        name = ref_name(schema)
        if name is not None:
            yield name
        for value in cast("Mapping[str, Any]", schema).values():
            yield from _refs(value)
    elif isinstance(schema, list):
        for item in cast("list[Any]", schema):
            yield from _refs(item)


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return {str: "string", int: "integer", float: "number", list: "array", dict: "object"}[type(value)]
