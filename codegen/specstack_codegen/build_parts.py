"""Resources, services, providers and errors of the spec as IR nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, cast

from specstack_codegen import naming
from specstack_codegen.build_context import Context
from specstack_codegen.ir import (
    Attribute,
    Discover,
    ErrorKind,
    Errors,
    Operation,
    Provider,
    Registration,
    Resource,
    Service,
)
from specstack_codegen.source import Map, Seq, plain

Operations = Mapping[str, list[Operation]]


def build_resources(context: Context, operations: Operations) -> tuple[Resource, ...]:
    """The resources whose routed API has operations; the others are declared for APIs still to come."""
    table = context.spec.resources.map("resources")
    return tuple(
        _resource(name, table.map(name), table.at(name))
        for name in table
        if table.map(name).text("routes") in operations
    )


def _resource(name: str, node: Map, pos: Any) -> Resource:
    plural = node.text("plural", f"{name}s")
    style = cast("Any", node.text("id", "provider-prefixed"))
    return Resource(
        name=name,
        plural=plural,
        class_name=f"{naming.pascal(plural)}Table",
        module=naming.snake(plural),
        description=node.text("description"),
        manages=node.text("manages"),
        routes=node.text("routes"),
        protocol=naming.pascal(node.text("routes")),
        not_found=node.text("not_found"),
        conflict=node.text("conflict"),
        wrong_attribute=node.text("wrong_attribute"),
        record=node.get("record"),
        offered=node.get("offered"),
        id_style=style,
        attributes=tuple(_attribute(key, node.map("attributes").map(key)) for key in node.map("attributes")),
        record_fields=plain(node.map("record_fields")),
        registration=_registration(node.map("registration")) if "registration" in node else None,
        discover=_discover(node.map("discover")) if "discover" in node else None,
        pos=pos,
    )


def _attribute(name: str, node: Map) -> Attribute:
    """The attribute with its default value first."""
    values = [str(value) for value in node.seq("enum")]
    default = node.get("default", values[0] if values else "")
    return Attribute(name=name, values=(default, *(value for value in values if value != default)))


def _registration(node: Map) -> Registration:
    return Registration(
        identifier=node.text("identifier"),
        provider_id=node.get("provider_id"),
        provider_resource_id=node.get("provider_resource_id"),
        metadata=node.get("metadata"),
        attributes=tuple(node.map("attributes").items()),
    )


def _discover(node: Map) -> Discover:
    return Discover(
        method=node.text("method"),
        reply=node.text("reply"),
        items=node.text("items"),
        identifier=node.text("identifier"),
        metadata=node.text("metadata"),
        attributes=tuple(node.map("attributes").items()),
    )


def build_services(context: Context, operations: Operations) -> tuple[Service, ...]:
    """The core services with the operations they serve; services that serve none are left out."""
    table = context.spec.services.map("services")
    found: list[Service] = []
    for name in table:
        own = tuple(op for api in operations.values() for op in api if op.serve.service == name)
        if own:
            node = table.map(name)
            service = Service(
                name=name,
                module=node.text("module"),
                description=node.text("description"),
                class_name=f"{naming.pascal(name)}Service",
                api=own[0].api,
                operations=own,
                pos=table.at(name),
            )
            found.append(service)
    return tuple(found)


def build_providers(context: Context) -> tuple[Provider, ...]:
    """The provider types, by the path of their files."""
    return tuple(_provider(stem, node) for stem, node in context.spec.providers.items())


def _provider(stem: str, node: Map) -> Provider:
    path = PurePosixPath(stem)
    requires = node.map("requires")
    title = naming.pascal(path.name)
    return Provider(
        name=naming.snake(path.name),
        api=node.text("api"),
        provider_type=node.text("provider_type"),
        class_name=f"{title}Config",
        module=node.text("module"),
        summary=node.text("summary"),
        description=node.text("description"),
        extra=node.text("extra"),
        capabilities=_texts(node.seq("capabilities")),
        requires=_texts(requires.seq("apis")),
        optional=_texts(requires.seq("optional_apis")),
        config=plain(node.map("config")),
        provider_data=plain(node.map("provider_data")) or None,
        provider_data_class=f"{title}ProviderData" if node.map("provider_data") else None,
        sample=plain(node.map("sample")),
        stability=cast("Any", node.text("stability", "stable")),
        source=f"providers/{stem}.yaml",
        shares_settings="settings" in node,
        pos=node.pos,
    )


def _texts(items: Seq) -> tuple[str, ...]:
    return tuple(str(item) for item in items)


def build_errors(context: Context, tables: Sequence[Map] = ()) -> Errors | None:
    """The error table, or `tables` as one; None for a spec that has none of its own."""
    found = [table for table in tables or (context.spec.errors,) if table]
    if not found:
        return None
    return Errors(
        kinds=tuple(
            _error(name, table.map("errors").map(name), table.map("errors").at(name))
            for table in found
            for name in table.map("errors")
        ),
        roles=tuple((role, str(name)) for table in found for role, name in table.map("roles").items()),
        upstream=tuple(
            (status, _error_name(value)) for table in found for status, value in table.map("upstream").items()
        ),
        envelopes=tuple(
            (name, plain(value)) for table in found for name, value in table.map("envelopes").items()
        ),
    )


def _error_name(value: Any) -> str:
    return value.text("error") if isinstance(value, Map) else str(value)


def _error(name: str, node: Map, pos: Any) -> ErrorKind:
    return ErrorKind(
        name=name,
        status=int(node.get("status", 500)),
        type=node.text("type"),
        code=node.get("code"),
        description=node.text("description"),
        pos=pos,
    )
