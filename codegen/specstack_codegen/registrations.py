"""Resources in the run config: what a client may register, the file may name as well, in the same words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from specstack_codegen import naming
from specstack_codegen.ir import Operation, Resource, Schema
from specstack_codegen.schemas import SCHEMA_PREFIX, ref_name


def with_registrations(
    config: Schema,
    resources: Iterable[Resource],
    operations: Iterable[Operation],
    schemas: Mapping[str, Schema],
) -> Schema:
    """The run config's schema with a list for each resource that can be registered.

    The lists are properties of the component that `registrations` names; their items have the form of the
    register operation's body, and no other keys, so that a slip of the pen is found.
    """
    components = dict(config["components"]["schemas"])
    bodies = {
        op.serve.resource: op.body.model for op in operations if op.serve.action == "register" and op.body
    }
    lists: dict[str, Schema] = {}
    for resource in resources:
        body = bodies.get(resource.name)
        if resource.registration is None or body is None:
            continue
        name = f"{naming.pascal(resource.name)}Registration"
        components.update(_copied(body, name, schemas))
        components[name] = {**components[name], "additionalProperties": False}
        lists[resource.plural] = {
            "type": "array",
            "description": f"{resource.plural.replace('_', ' ').capitalize()} that are there from the start.",
            "items": {"$ref": f"{SCHEMA_PREFIX}{name}"},
        }
    holder = config["registrations"]
    components[holder] = {**components[holder], "properties": lists}
    return {**config, "components": {"schemas": components}}


def _copied(body: str, name: str, schemas: Mapping[str, Schema]) -> dict[str, Schema]:
    """The body's component as `name`, with the components that it refers to; its own parts are renamed."""
    found: dict[str, Schema] = {}

    def copy(value: Any) -> Any:
        if isinstance(value, list):
            return [copy(item) for item in cast("list[Any]", value)]
        if not isinstance(value, Mapping):
            return value
        node = cast("Mapping[str, Any]", value)
        target = ref_name(node)
        if target is None:
            return {key: copy(item) for key, item in node.items()}
        new = name + target.removeprefix(body) if target.startswith(body) else target
        if new not in found:
            found[new] = {}
            found[new] = copy(schemas[target])
        return {**node, "$ref": f"{SCHEMA_PREFIX}{new}"}

    copy({"$ref": f"{SCHEMA_PREFIX}{body}"})
    return found
