"""Rules about errors.yaml and resources.yaml: what they name exists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from specstack_codegen.bundle import Spec
from specstack_codegen.lint_rules import home, view
from specstack_codegen.lint_rules.registry import Finding, close, rule
from specstack_codegen.source import Map


@rule("error-roles", across=True)
def error_roles(spec: Spec) -> Iterator[Finding]:
    """Every role that the runtime needs has an error class; roles and upstream name classes that exist.

    Satellites take the roles of the main spec.
    """
    errors = spec.errors
    if not errors:
        return
    roles, classes = errors.map("roles"), home.error_classes(spec)
    if home.is_main(spec):
        for role in home.meta(spec, "errors")["$defs"]["role"]["enum"]:
            if role not in roles:
                hint = (
                    f"add {role}: <class> under roles, and the class under errors if there is none that fits"
                )
                yield Finding(errors.at("roles"), f"no class has the role {role!r}", hint)
        if "upstream" not in errors:
            hint = "add upstream: {4xx: …, 5xx: …, unreachable: …, timeout: …, broken: …}"
            yield Finding(errors.pos, "nothing says what an upstream's failure becomes", hint)
    for table in (roles, errors.map("upstream")):
        for key, name in table.items():
            if str(name) not in classes:
                yield Finding(
                    table.at(key), f"there is no error class {str(name)!r}", close(str(name), classes)
                )


@rule("resource-fields", across=True)
def resource_fields(spec: Spec) -> Iterator[Finding]:
    """What a resource names exists: error classes, record and its fields, attributes, discovery, setting.

    A resource whose API is still to come is declared and not checked against operations and components.
    """
    table, classes = spec.resources.map("resources"), home.error_classes(spec)
    for name in table:
        resource = table.map(name)
        for key in ("not_found", "conflict", "wrong_attribute"):
            error = resource.text(key)
            if error and error not in classes:
                yield Finding(resource.at(key), f"there is no error class {error!r}", close(error, classes))
        yield from _attributes(resource)
        if resource.text("routes") in spec.apis:
            yield from _record(spec, resource)
            yield from _discover(spec, resource)
            yield from _registration(spec, name, resource)
            yield from _offered(spec, resource)


def _attributes(resource: Map) -> Iterator[Finding]:
    attributes = resource.map("attributes")
    for name in attributes:
        values = [str(value) for value in attributes.map(name).seq("enum")]
        default = attributes.map(name).get("default")
        if values and default is not None and str(default) not in values:
            pos = attributes.map(name).at("default")
            yield Finding(
                pos, f"the default of {name} is none of its values", f"write one of {', '.join(values)}"
            )


def _record(spec: Spec, resource: Map) -> Iterator[Finding]:
    components, record = view.components(spec), resource.text("record")
    if not record:
        return
    if record not in components:
        yield Finding(resource.at("record"), f"there is no component {record!r}", close(record, components))
        return
    yield from _record_fields(spec, resource, resource.map("record_fields"), components.map(record), record)


def _record_fields(spec: Spec, resource: Map, sources: Map, schema: Map, name: str) -> Iterator[Finding]:
    known, attributes = view.fields(spec, schema), resource.map("attributes")
    for key, source in sources.items():
        if view.field_at(spec, schema, key) is None:
            yield Finding(sources.at(key), f"{name} has no field {key!r}", close(key, known))
        elif isinstance(source, Map) and "const" not in source:
            yield from _record_fields(spec, resource, source, known.get(key, Map()), f"{name}.{key}")
        elif str(source).startswith("attributes.") and str(source).split(".")[1] not in attributes:
            attribute = str(source).split(".")[1]
            yield Finding(
                sources.at(key), f"there is no attribute {attribute!r}", close(attribute, attributes)
            )


def _discover(spec: Spec, resource: Map) -> Iterator[Finding]:
    discover, components = resource.map("discover"), view.components(spec)
    reply = discover.text("reply")
    if not discover:
        return
    if reply not in components:
        yield Finding(discover.at("reply"), f"there is no component {reply!r}", close(reply, components))
        return
    items = view.field_at(spec, components.map(reply), discover.text("items"))
    if items is None or "array" not in view.types(spec, items):
        hint = "name the list in the reply"
        yield Finding(discover.at("items"), f"{reply} has no list {discover.text('items')!r}", hint)
        return
    yield from _ways(spec, items.map("items"), discover, "an item of the reply")


def _registration(spec: Spec, name: str, resource: Map) -> Iterator[Finding]:
    registration = resource.map("registration")
    for node in spec.operations():
        serve = node.value.map("x-serve")
        if registration and serve.text("resource") == name and serve.text("action") == "register":
            for schema in view.body_schemas(spec, node):
                yield from _ways(spec, schema, registration, f"the body of {view.label(node)}")


def _offered(spec: Spec, resource: Map) -> Iterator[Finding]:
    named = resource.text("offered")
    providers = [one for one in spec.providers.values() if one.text("api") == resource.text("routes")]
    if not named or not providers:
        return
    settings = [one.map("config").map("properties") for one in providers]
    lists = {name for one in settings for name in one if "array" in view.types(spec, one.map(name))}
    if named not in lists:
        message = f"no provider of {resource.text('routes')} has a list {named!r} among its settings"
        yield Finding(resource.at("offered"), message, close(named, lists))


def _ways(spec: Spec, schema: Map, names: Map, what: str) -> Iterator[Finding]:
    """Ways in `names` that lead to nothing in `schema`; `method`, `reply` and `items` are no such ways."""
    ways: list[tuple[Map, str, Any]] = [(names, key, value) for key, value in names.items()]
    attributes = names.map("attributes")
    ways.extend((attributes, key, value) for key, value in attributes.items())
    for holder, key, way in ways:
        if (key in ("method", "reply", "items") and holder is names) or not isinstance(way, str):
            continue
        if view.field_at(spec, schema, way) is None:
            hint = close(way.rsplit(".", 1)[-1], view.fields(spec, schema))
            yield Finding(holder.at(key), f"{what} has no field {way!r}", hint)
