"""Routing tables: one class per resource, which says how entries look outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from specstack_codegen import naming
from specstack_codegen.emit import Files
from specstack_codegen.ir import Discover, Ir, Registration, Resource
from specstack_codegen.render import WIRE, Imports, add_models, error_module, header, render
from specstack_codegen.source import SpecError, SpecErrors

Method = dict[str, Any]
_ENTRY_FIELDS = frozenset({"identifier", "provider_id", "provider_resource_id", "created", "source"})


def emit(ir: Ir) -> Files:
    """`routing_tables/<plural>.py` for every resource."""
    if not ir.resources:
        return {}
    folder = f"{ir.server_package}/routing_tables"
    files = {
        f"{folder}/__init__.py": render(
            "module.py.jinja",
            header=header(ir, "resources.yaml"),
            doc="Which provider serves which resource: one table per resource.",
            imports=[],
            blocks=[],
        )
    }
    for resource in ir.resources:
        files[f"{folder}/{resource.module}.py"] = _module(ir, resource)
    return files


def _module(ir: Ir, resource: Resource) -> str:
    imports = Imports()
    imports.add("specstack.descriptors", "ResourceSpec")
    imports.add("specstack.routing", "RoutingTable")
    imports.add(f"{ir.api_package}.protocols.{resource.routes}", resource.protocol)
    spec = _spec(ir, resource, imports)
    methods: list[Method] = []
    if resource.record and resource.record_fields:
        methods.append(_record(ir, resource, imports))
    if resource.registration:
        methods.append(_registration(resource.registration, imports))
    if resource.discover:
        methods.append(_discover(resource, resource.discover, imports))
    if resource.record:
        add_models(ir, imports, [resource.record])
    else:
        imports.add("typing", "Any")
    return render(
        "server/routing_table.py.jinja",
        header=header(ir, "resources.yaml"),
        doc=f"The table of {resource.plural}.",
        imports=imports.lines,
        class_name=resource.class_name,
        record=resource.record or "Any",
        protocol=resource.protocol,
        class_doc=resource.description or f"Which provider serves which {resource.name}.",
        spec=spec,
        methods=methods,
    )


def _spec(ir: Ir, resource: Resource, imports: Imports) -> list[tuple[str, str]]:
    found = [
        ("name", repr(resource.name)),
        ("plural", repr(resource.plural)),
        ("manages", repr(resource.manages)),
        ("routes", repr(resource.routes)),
        ("id_style", repr(resource.id_style)),
    ]
    for role, name in (
        ("not_found", resource.not_found),
        ("conflict", resource.conflict),
        ("wrong_attribute", resource.wrong_attribute),
    ):
        if name:
            imports.add(error_module(ir, name), name)
        else:
            imports.add(ir.errors_module, "ROLES")
        found.append((role, name or 'ROLES["invalid"]'))
    if resource.attributes:
        values = ", ".join(f"{one.name!r}: {one.values!r}" for one in resource.attributes)
        found.append(("attributes", f"{{{values}}}"))
    if resource.discover:
        found.append(("discover", repr(resource.discover.method)))
    if resource.offered:
        found.append(("offered", repr(resource.offered)))
    return found


def _record(ir: Ir, resource: Resource, imports: Imports) -> Method:
    imports.add("specstack.routing", "Entry")
    fields = _mapping(resource, resource.record_fields)
    return {
        "signature": f"def record(self, entry: Entry) -> {resource.record}:",
        "doc": "The entry as clients see it.",
        "body": [f"return {resource.record}.model_validate({fields})"],
    }


def _mapping(resource: Resource, fields: Mapping[str, Any]) -> str:
    """A dict display that fills record fields from an entry; the key `*` spreads its source."""
    parts: list[str] = []
    for name, source in fields.items():
        value = _source(resource, source)
        parts.append(f"**{value}" if name == "*" else f"{name!r}: {value}")
    return "{" + ", ".join(parts) + "}"


def _source(resource: Resource, source: Any) -> str:
    if isinstance(source, Mapping):
        known = cast("Mapping[str, Any]", source)
        return repr(known["const"]) if set(known) == {"const"} else _mapping(resource, known)
    head, _, rest = str(source).partition(".")
    if head in _ENTRY_FIELDS and not rest:
        return f"entry.{head}"
    if head == "metadata" and not rest:
        return "entry.metadata"
    if head == "attributes" and rest in {one.name for one in resource.attributes}:
        return f"entry.attributes[{rest!r}]"
    if head == "metadata":
        return f"entry.metadata.get({rest!r})"
    hint = f"use {', '.join(sorted(_ENTRY_FIELDS))}, metadata, attributes.<name> or {{const: …}}"
    message = f"record_fields of {resource.name} name {source!r}, which an entry does not have"
    raise SpecErrors([SpecError("record-field", resource.pos, message, hint)])


def _registration(spec: Registration, imports: Imports) -> Method:
    imports.add("typing", "Any")
    imports.add("specstack.routing", "Registration")
    imports.add("specstack.fields", "field_at")
    arguments = [f"identifier={_read('body', spec.identifier)}"]
    for name, path in (
        ("provider_id", spec.provider_id),
        ("provider_resource_id", spec.provider_resource_id),
    ):
        if path:
            arguments.append(f"{name}={_read('body', path)}")
    if spec.metadata:
        arguments.append(f"metadata={_read('body', spec.metadata)} or {{}}")
    if spec.attributes:
        arguments.append(f"attributes={_attributes('body', spec.attributes, imports)}")
    return {
        "signature": "def registration(self, body: Any) -> Registration:",
        "doc": "What a register request, or an item of the run config, asks for.",
        "body": [f"return Registration({', '.join(arguments)})"],
    }


def _discover(resource: Resource, discover: Discover, imports: Imports) -> Method:
    imports.add("collections.abc", "Sequence")
    imports.add("specstack.routing", "Registration")
    imports.add("specstack.fields", "field_at")
    imports.add(WIRE, "NoParams", "Request", "RequestContext")
    arguments = [f"identifier={_read('item', discover.identifier)}"]
    if discover.metadata:
        imports.add("specstack.fields", "facts_at")
        arguments.append(f"metadata=facts_at(item, {_attribute_path(discover.metadata)!r})")
    if discover.attributes:
        arguments.append(f"attributes={_attributes('item', discover.attributes, imports)}")
    parameters = f"self, ctx: RequestContext, provider: {resource.protocol}"
    return {
        "signature": f"async def discover({parameters}) -> Sequence[Registration]:",
        "doc": f"What the provider says it has, by its `{discover.method}`.",
        "body": [
            f"reply = await provider.{discover.method}(ctx, Request[None, NoParams].of(None))",
            f"items = {_read('reply.body', discover.items)} or ()",
            f"return [Registration({', '.join(arguments)}) for item in items]",
        ],
    }


def _read(value: str, path: str) -> str:
    return f"field_at({value}, {_attribute_path(path)!r})"


def _attribute_path(path: str) -> str:
    return ".".join(naming.attribute(part) for part in path.split("."))


def _attributes(value: str, attributes: tuple[tuple[str, str], ...], imports: Imports) -> str:
    imports.add("specstack.fields", "fields_at")
    paths = ", ".join(f"{name!r}: {_attribute_path(path)!r}" for name, path in attributes)
    return f"fields_at({value}, {{{paths}}})"
