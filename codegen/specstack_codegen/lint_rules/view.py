"""What rules ask about operations and schemas: parameters, bodies, replies, fields, types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from specstack_codegen.bundle import Spec
from specstack_codegen.source import Map, Seq
from specstack_codegen.walk import Node, resolve

STREAM_MEDIA = frozenset(
    {"text/event-stream", "application/jsonl", "application/x-jsonl", "application/x-ndjson"}
)
SCHEMAS = "#/components/schemas/"


def label(node: Node) -> str:
    """How messages call an operation: its method and path."""
    return f"{node.name.upper()} {path_of(node)}"


def path_of(node: Node) -> str:
    """The path template of an operation."""
    return node.parent.name if node.parent else ""


def api_of(spec: Spec, node: Node) -> str:
    """The API that an operation belongs to: the name of its file."""
    return spec.file_of(node.value.pos)


def components(spec: Spec) -> Map:
    """The schema components of the bundle."""
    return spec.openapi.map("components").map("schemas")


def parameters(spec: Spec, node: Node) -> dict[tuple[str, str], Map]:
    """The parameters of an operation, its path's included, by place (`path`, `query`, …) and name."""
    shared = node.parent.value.seq("parameters") if node.parent else Seq()
    found: dict[tuple[str, str], Map] = {}
    for item in [*shared, *node.value.seq("parameters")]:
        if isinstance(item, Map):
            param = resolve(spec.openapi, item)
            found[param.text("in"), param.text("name")] = param
    return found


def body(spec: Spec, node: Node) -> Map:
    """The request body of an operation; empty when it has none."""
    return resolve(spec.openapi, node.value.map("requestBody"))


def media(content: Map) -> Iterator[tuple[str, Map]]:
    """The media types of a `content`, without their parameters, and what they hold."""
    for name, value in content.items():
        if isinstance(value, Map):
            yield name.split(";")[0].strip().lower(), value


def is_json(media_type: str) -> bool:
    """Whether a media type is one JSON document."""
    return media_type not in STREAM_MEDIA and media_type.endswith("json")


def body_schemas(spec: Spec, node: Node) -> list[Map]:
    """The schemas of an operation's request body, one per media type."""
    return [value.map("schema") for _, value in media(body(spec, node).map("content")) if "schema" in value]


def successes(spec: Spec, node: Node) -> Iterator[tuple[str, Map]]:
    """The 2xx replies of an operation by status."""
    responses = node.value.map("responses")
    for status in responses:
        if status.startswith("2"):
            yield status, resolve(spec.openapi, responses.map(status))


def reply_media(spec: Spec, node: Node) -> Iterator[tuple[str, Map]]:
    """The media types of an operation's 2xx replies."""
    for _, response in successes(spec, node):
        yield from media(response.map("content"))


def reply_schemas(spec: Spec, node: Node) -> list[Map]:
    """The schemas of an operation's JSON replies."""
    return [
        value.map("schema") for name, value in reply_media(spec, node) if is_json(name) and "schema" in value
    ]


def branches(spec: Spec, schema: Map) -> Iterator[Map]:
    """The schemas that a value may fit: the schema itself or the branches of its unions, refs followed."""
    seen: set[int] = set()
    pending = [schema]
    while pending:
        target = resolve(spec.openapi, pending.pop(0))
        if id(target) in seen:
            continue
        seen.add(id(target))
        options = [item for key in ("oneOf", "anyOf") for item in target.seq(key) if isinstance(item, Map)]
        pending = [*options, *pending]
        if not options:
            yield target


def parts(spec: Spec, schema: Map) -> Iterator[Map]:
    """The schemas that a value must fit: the schema itself and what its `allOf` names, refs followed."""
    seen: set[int] = set()
    pending = [schema]
    while pending:
        target = resolve(spec.openapi, pending.pop(0))
        if id(target) in seen:
            continue
        seen.add(id(target))
        pending.extend(item for item in target.seq("allOf") if isinstance(item, Map))
        yield target


def fields(spec: Spec, schema: Map) -> dict[str, Map]:
    """The properties that a value of `schema` may have, in any branch of it."""
    found: dict[str, Map] = {}
    for branch in branches(spec, schema):
        for part in parts(spec, branch):
            own = part.map("properties").items()
            found = {name: value for name, value in own if isinstance(value, Map)} | found
    return found


def all_fields(spec: Spec, schemas: list[Map]) -> dict[str, Map]:
    """The properties of several schemas taken together."""
    found: dict[str, Map] = {}
    for schema in schemas:
        found |= fields(spec, schema)
    return found


def field_at(spec: Spec, schema: Map, way: str) -> Map | None:
    """The property that the dotted `way` leads to; None when there is none. An open object has all."""
    for name in way.split("."):
        known = fields(spec, schema)
        if name not in known:
            is_open = any(_is_open(branch) for branch in branches(spec, schema))
            return Map(pos=schema.pos) if is_open else None
        schema = known[name]
    return schema


def _is_open(schema: Map) -> bool:
    return isinstance(schema.get("additionalProperties"), Map) or schema.get("additionalProperties") is True


def types(spec: Spec, schema: Map) -> frozenset[str]:
    """The JSON types that a value of `schema` may have; empty means any."""
    found: set[str] = set()
    for branch in branches(spec, schema):
        stated = branch.get("type")
        if isinstance(stated, str):
            found.add(stated)
        elif isinstance(stated, list):
            found.update(str(item) for item in cast("list[Any]", stated))
        elif "const" in branch:
            found.add(_json_type(branch["const"]))
        else:
            found.update(_json_type(value) for value in branch.seq("enum"))
    return frozenset(found)


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if value is None:
        return "null"
    return "string" if isinstance(value, str) else "number"


def component_name(ref: str) -> str:
    """The bare name of a schema component that a local reference leads to; "" for anything else."""
    return ref.removeprefix(SCHEMAS) if ref.startswith(SCHEMAS) else ""
