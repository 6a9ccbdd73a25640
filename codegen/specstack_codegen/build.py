"""From the loaded spec to the IR. Pure: reads the spec, returns data, decides what emitters print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from specstack_codegen import naming
from specstack_codegen.build_context import Context
from specstack_codegen.build_operations import build_operation
from specstack_codegen.build_parts import build_errors, build_providers, build_resources, build_services
from specstack_codegen.build_storage import build_storage
from specstack_codegen.build_telemetry import build_telemetry
from specstack_codegen.bundle import COMMON, Spec
from specstack_codegen.ir import PROVIDER_MODES, Api, Hook, Ir, Operation, Param, Resource, Schema, Service
from specstack_codegen.lint_rules import home
from specstack_codegen.registrations import with_registrations
from specstack_codegen.source import Map, SpecErrors, plain
from specstack_codegen.walk import METHODS

CORE_PACKAGE = "specstack"
_LIFECYCLE = frozenset({"start", "stop", "health"})
# What an external spec adds to the run config of the server: nothing but its resources.
_REGISTERED: Schema = {
    "root": "RegisteredResources",
    "registrations": "RegisteredResources",
    "components": {
        "schemas": {
            "RegisteredResources": {
                "type": "object",
                "description": "Resources that are there from the start.",
                "additionalProperties": False,
            }
        }
    },
}
# Names that generated modules import next to models.
_RESERVED = frozenset(
    {"Access", "ApiModel", "Binary", "Body", "ClosedModel", "Entry", "Event", "Field", "JsonInt", "Literal"}
    | {"MISSING", "Mapping", "NoParams", "Operation", "OperationNotSupported", "Param", "Payload", "Protocol"}
    | {
        "Provider",
        "Registration",
        "Reply",
        "Request",
        "RequestContext",
        "ResourceSpec",
        "RoutingTable",
        "Runtime",
    }
    | {"Sequence", "Stream", "StreamSpec", "Tag", "Union", "Variant", "WebSocketSpec", "Any", "Annotated"}
)


def build_ir(spec: Spec, package: str, external: str = "") -> Ir:
    """The IR of a spec that lints clean. Raises SpecErrors for what cannot be generated.

    `external` is the version of the server that an external spec adds to.
    """
    context = Context(spec=spec, schemas=plain(spec.openapi.map("components").map("schemas")))
    operations = _operations(context)
    resources = build_resources(context, operations)
    apis = tuple(_api(context, name, document, operations, resources) for name, document in spec.apis.items())
    services = build_services(context, operations)
    _check_services(context, services)
    _check_names(context, apis, services)
    errors = build_errors(context)
    all_errors = build_errors(context, home.error_tables(spec)) if spec.external else errors
    components, owners = _with_params(context, operations)
    ir = Ir(
        package=package,
        spec=spec.root.resolve().name,
        openapi=plain(spec.openapi),
        schemas=components,
        component_api=owners,
        apis=apis,
        resources=resources,
        services=services,
        providers=build_providers(context),
        errors=errors,
        all_errors=all_errors,
        config=_config(context, resources, operations),
        storage=build_storage(spec.storage),
        deviations=plain(spec.deviations) if spec.deviations else None,
        telemetry=build_telemetry(spec.telemetry),
        sources=dict(sorted(spec.sources.items())),
        errors_module=f"{package if errors else CORE_PACKAGE}_api.errors",
        external=external,
    )
    if context.faults:
        raise SpecErrors(context.faults)
    return ir


def _config(
    context: Context, resources: tuple[Resource, ...], operations: Mapping[str, list[Operation]]
) -> Schema | None:
    """The run config's schema with the resources that it may register; None where the spec has none."""
    if context.spec.external:
        every = (operation for api in operations.values() for operation in api)
        own = with_registrations(_REGISTERED, resources, every, context.schemas)
        return own if any(resource.registration for resource in resources) else None
    config = context.spec.config
    holder = config.text("registrations")
    if not holder:
        return plain(config) or None
    if holder not in config.map("components").map("schemas"):
        hint = "name a component under components.schemas, an object without properties"
        context.fault(
            "config-registrations", config.at("registrations"), f"there is no component {holder!r}", hint
        )
        return None
    every = (operation for api in operations.values() for operation in api)
    return with_registrations(plain(config), resources, every, context.schemas)


def _operations(context: Context) -> dict[str, list[Operation]]:
    """The operations of each API, in file order."""
    found: dict[str, list[Operation]] = {}
    for name, document in context.spec.apis.items():
        found[name] = []
        for path, item in document.map("paths").items():
            for method in METHODS:
                if isinstance(item, Map) and isinstance(item.get(method), Map):
                    operation = build_operation(context, name, path, method, item)
                    if operation is not None:
                        found[name].append(operation)
    return found


def _api(
    context: Context,
    name: str,
    document: Map,
    operations: Mapping[str, list[Operation]],
    resources: tuple[Resource, ...],
) -> Api:
    head = document.map("x-api")
    own = operations[name]
    # A table's own operation of that name is answered by the table, not by providers.
    names = {operation.name for operation in own if operation.serve.mode in PROVIDER_MODES}
    return Api(
        name=name,
        class_name=naming.pascal(name),
        summary=head.text("summary") or document.map("info").text("title"),
        description=document.map("info").text("description"),
        envelope=head.text("envelope", "openai"),
        source=f"openapi/{name}.yaml",
        operations=tuple(own),
        hooks=tuple(
            Hook(
                name=resource.discover.method,
                resource=resource.name,
                reply=resource.discover.reply,
                description=f"What this provider offers as {resource.plural}; the routing table asks for it.",
            )
            for resource in resources
            if resource.routes == name and resource.discover and resource.discover.method not in names
        ),
        pos=document.at("x-api"),
    )


def _check_services(context: Context, services: tuple[Service, ...]) -> None:
    for service in services:
        apis = {operation.api for operation in service.operations}
        if len(apis) > 1:
            context.fault(
                "service-one-api",
                service.pos,
                f"the service {service.name!r} serves operations of several APIs: {', '.join(sorted(apis))}",
                "give each API a service of its own; they may share a module",
            )


def _check_names(context: Context, apis: tuple[Api, ...], services: tuple[Service, ...]) -> None:
    """Names that would hide each other in the generated code."""
    classes = {api.class_name: f"the Protocol of the API {api.name}" for api in apis if api.has_protocol}
    classes.update(
        {service.class_name: f"the Protocol of the service {service.name}" for service in services}
    )
    classes.update(dict.fromkeys(_RESERVED, "something that every generated module uses"))
    components = context.spec.openapi.map("components").map("schemas")
    for name in sorted(classes.keys() & components.keys()):
        message = f"a component may not be called {name!r}, like {classes[name]}"
        context.fault("reserved-name", components.at(name), message, "rename the component")
    for api in apis:
        for operation in api.provider_operations:
            if operation.name in _LIFECYCLE:
                message = f"{operation.id} would hide the method {operation.name}() that every provider has"
                context.fault("reserved-name", operation.pos, message, "choose another operationId")


def _with_params(
    context: Context, operations: Mapping[str, list[Operation]]
) -> tuple[dict[str, Schema], dict[str, str]]:
    """The components and their APIs, with one component per operation that has parameters added."""
    components = dict(context.schemas)
    owners = {name: context.spec.component_api.get(name, COMMON) for name in components}
    for api, own in operations.items():
        for operation in own:
            if operation.params_model is None:
                continue
            if operation.params_model in components:
                message = (
                    f"the component {operation.params_model!r} has the name of {operation.id}'s parameters"
                )
                pos = context.spec.openapi.map("components").map("schemas").at(operation.params_model)
                context.fault("params-name", pos, message, "rename the component")
            components[operation.params_model] = _params_schema(operation)
            owners[operation.params_model] = api
    return components, owners


def _params_schema(operation: Operation) -> Schema:
    return {
        "type": "object",
        "description": f"Parameters of `{operation.id}`.",
        "required": [param.name for param in operation.params if param.required],
        "properties": {param.name: _param_schema(param) for param in operation.params},
        "x-attributes": {
            param.name: param.python for param in operation.params if param.python != param.name
        },
    }


def _param_schema(param: Param) -> Schema:
    schema: dict[str, Any] = {**param.schema}
    if param.description:
        schema["description"] = param.description
    return schema
