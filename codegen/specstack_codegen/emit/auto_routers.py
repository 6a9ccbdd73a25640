"""Routers and auto-routers: the HTTP side of an API and the choice of who serves each operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from specstack_codegen import naming, schemas
from specstack_codegen.emit import Files
from specstack_codegen.ir import Api, Ir, Key, Operation, Resource
from specstack_codegen.render import (
    WIRE,
    Imports,
    add_models,
    add_signature,
    header,
    render,
    reply_types,
    request_type,
)
from specstack_codegen.source import SpecError, SpecErrors

Lines = list[str]


def emit(ir: Ir) -> Files:
    """`routers/<api>.py` and `auto_routers/<api>.py` for every API."""
    files = {
        f"{ir.server_package}/{folder}/__init__.py": render(
            "module.py.jinja", header=header(ir, "openapi/*.yaml"), doc=doc, imports=[], blocks=[]
        )
        for folder, doc in (
            ("routers", "FastAPI routers, one module per API."),
            (
                "auto_routers",
                "Who serves each operation: looks up the provider and calls it, one module per API.",
            ),
        )
    }
    for api in ir.apis:
        files[f"{ir.server_package}/routers/{api.name}.py"] = _router(ir, api)
        files[f"{ir.server_package}/auto_routers/{api.name}.py"] = _AutoRouter(ir, api).render()
    return files


def router_class(api: Api) -> str:
    """The name of an API's auto-router."""
    return f"{api.class_name}Router"


def _router(ir: Ir, api: Api) -> str:
    imports = Imports()
    imports.add("fastapi", "APIRouter")
    imports.add("specstack.http", "api_router", "endpoint")
    imports.add(f"{ir.server_package}.auto_routers.{api.name}", router_class(api))
    imports.add(f"{ir.server_package}.operations", f"{api.name} as ops")
    calls = [
        f"endpoint(ops.{op.constant}, api.{op.name}{f', api.{op.name}_websocket' if op.websocket else ''})"
        for op in api.operations
    ]
    return render(
        "server/routers.py.jinja",
        header=header(ir, api.source),
        doc=f"The routes of the {api.name} API.",
        imports=imports.lines,
        class_name=router_class(api),
        calls=calls,
    )


class _AutoRouter:
    """Writes the auto-router of one API: its lookups in `__init__`, then a method per operation."""

    def __init__(self, ir: Ir, api: Api) -> None:
        self.ir = ir
        self.api = api
        self.imports = Imports()
        self.init: dict[str, str] = {}

    def render(self) -> str:
        methods = [method for operation in self.api.operations for method in self.methods(operation)]
        self.imports.add("specstack.runtime", "Runtime")
        return render(
            "server/auto_routers.py.jinja",
            header=header(self.ir, self.api.source, "openapi/common.yaml", "resources.yaml"),
            doc=f"Who serves the operations of the {self.api.name} API.",
            class_name=router_class(self.api),
            class_doc=f"Serves the {self.api.name} API: finds what is behind each operation and calls it.",
            imports=self.imports.lines,
            init=list(self.init.values()) or ["del runtime"],
            methods=methods,
        )

    def methods(self, operation: Operation) -> list[dict[str, Any]]:
        add_signature(self.ir, self.imports, operation)
        modes: dict[str, Callable[[Operation], Lines]] = {
            "routed": self.routed,
            "create": self.create,
            "delete": self.delete,
            "fan-out": self.fan_out,
            "scatter": self.scatter,
            "table": self.table,
            "service": self.service,
            "provider": self.provider,
        }
        found = [
            {
                "name": operation.name,
                "request": request_type(operation),
                "reply": " | ".join(reply_types(operation)),
                "doc": operation.summary.rstrip(".") + ".",
                "body": modes[operation.serve.mode](operation),
            }
        ]
        if operation.websocket:
            found.append(self.websocket(operation))
        return found

    # -- one method per serve mode ---------------------------------------------------------

    def routed(self, operation: Operation) -> Lines:
        key, resource = self.key(operation), self.resource(operation)
        table = self.use_table(resource)
        lines = [
            f"key = {_value(key)}",
            f"route = await {table}.resolve(ctx, key, {_lookup(operation, key)})",
        ]
        return lines + self.forward(operation, f"route.provider.{operation.name}(ctx, {_forwarded(key)})")

    def create(self, operation: Operation) -> Lines:
        table = self.use_table(self.resource(operation))
        wanted = operation.serve.provider
        asked = f'{self.given(wanted)}, param="{wanted.name}"' if wanted else "None"
        self.imports.add("specstack.routing", "Registration")
        identifier = operation.serve.id or "id"
        own = f"reply.body.{naming.attribute(identifier)}"
        lines = [
            f"provider_id, provider = {table}.choose(ctx, {asked})",
            f"reply = await provider.{operation.name}(ctx, request)",
            f"created = Registration(identifier={own}, provider_id=provider_id)",
        ]
        if identifier in operation.reply_ids:
            return [
                *lines,
                f"entry = await {table}.enter(ctx, created)",
                f"return reply.replacing({identifier!r}, entry.identifier)",
            ]
        return [*lines, f"await {table}.enter(ctx, created)", "return reply"]

    def delete(self, operation: Operation) -> Lines:
        key = self.key(operation)
        table = self.use_table(self.resource(operation))
        call = f"route.provider.{operation.name}(ctx, {_forwarded(key)})"
        lines = [f"key = {_value(key)}", f"route = await {table}.removable(ctx, key, param={key.name!r})"]
        forget = f"await {table}.forget(ctx, route)"
        if operation.reply.media is None:
            return [*lines, f"await {call}", forget]
        return [*lines, f"reply = await {call}", forget, self.restored(operation)]

    def fan_out(self, operation: Operation) -> Lines:
        self.imports.add("specstack.fanout", "fan_out")
        self.use_protocol()
        self.init["providers"] = (
            f"self._providers: Mapping[str, {self.api.class_name}] = runtime.providers({self.api.name!r})"
        )
        self.imports.add("collections.abc", "Mapping")
        merge = naming.attribute(self.merge(operation))
        call = f"lambda provider: provider.{operation.name}(ctx, request)"
        return [f"return await fan_out(ctx, self._providers, {call}, merge={merge!r})"]

    def scatter(self, operation: Operation) -> Lines:
        self.imports.add("specstack.fanout", "scatter")
        table = self.use_table(self.resource(operation))
        key = naming.attribute(self.key(operation).name)
        merge = naming.attribute(self.merge(operation))
        requires = f", requires={_requires(operation)}" if operation.serve.requires else ""
        items = f", item_ids={operation.nested_ids!r}" if operation.nested_ids else ""
        call = f"lambda provider, part: provider.{operation.name}(ctx, part)"
        options = f"key={key!r}, merge={merge!r}{requires}{items}"
        return [f"return await scatter(ctx, {table}, request, {call}, {options})"]

    def table(self, operation: Operation) -> Lines:
        table = self.use_table(self.resource(operation))
        action = operation.serve.action
        if action == "list":
            return self.listing(operation, table)
        if action == "get":
            key = self.key(operation)
            record = f"await {table}.get(ctx, {_value(key)}, param={key.name!r})"
            return [f"return Payload[{operation.reply.model}].of({record})"]
        if action == "register":
            registration = self.resource(operation).registration
            param = f", param={registration.identifier!r}" if registration else ""
            record = f"await {table}.register(ctx, {table}.registration(request.body){param})"
            return [f"return Payload[{operation.reply.model}].of({record})"]
        key = self.key(operation)
        lines = [f"entry = await {table}.unregister(ctx, {_value(key)}, param={key.name!r})"]
        if operation.reply.media is None:
            return [lines[0].removeprefix("entry = ")]
        reply = self.built(operation, self.receipt(operation))
        return [*lines, f"return Payload[{operation.reply.model}].of({reply})"]

    def service(self, operation: Operation) -> Lines:
        service = self.ir.service(operation.serve.service or "")
        attribute = f"_{naming.snake(service.name)}"
        self.imports.add(f"{self.ir.api_package}.protocols.{service.api}", service.class_name)
        made = f"runtime.service({service.name!r}, {service.class_name})"
        self.init[attribute] = f"self.{attribute}: {service.class_name} = {made}"
        return [f"return await self.{attribute}.{operation.name}(ctx, request)"]

    def provider(self, operation: Operation) -> Lines:
        self.use_protocol()
        self.init["provider"] = (
            f"self._provider: {self.api.class_name} = runtime.default_provider({self.api.name!r})"
        )
        return [f"return await self._provider.{operation.name}(ctx, request)"]

    def websocket(self, operation: Operation) -> dict[str, Any]:
        socket, name = operation.websocket, f"{operation.name}_websocket"
        assert socket is not None
        target = "self._provider"
        if operation.serve.service:
            target = f"self._{naming.snake(operation.serve.service)}"
        return {
            "name": name,
            "request": f"Stream[{socket.receive}]",
            "reply": f"Stream[{socket.send}]",
            "doc": f"The WebSocket of `{operation.name}`.",
            "body": [f"return await {target}.{name}(ctx, request)"],
        }

    # -- parts -----------------------------------------------------------------------------

    def forward(self, operation: Operation, call: str) -> Lines:
        if operation.reply.media is None:
            return [f"await {call}"]
        if not operation.reply_ids and not operation.nested_ids:
            return [f"return await {call}"]
        return [f"reply = await {call}", self.restored(operation)]

    def restored(self, operation: Operation) -> str:
        """The reply with the id that the client used, wherever it stands."""
        reply = "reply" + "".join(f".replacing({name!r}, key)" for name in operation.reply_ids)
        if not operation.nested_ids:
            return f"return {reply}"
        self.imports.add("specstack.fields", "restored")
        return f"return restored({reply}, {operation.nested_ids!r}, route.provider_resource_id, key)"

    def listing(self, operation: Operation, table: str) -> Lines:
        """The table's list reply: its one array is the records, its other fields follow from the schema."""
        self.imports.add("specstack.listing", "Listing")
        fields = self.fields(operation).items()
        arrays = [name for name, schema in fields if "array" in schemas.types(schema, self.ir.schemas)]
        named = operation.pagination.items if operation.pagination else None
        array = named or (arrays[0] if arrays else "")
        reply = self.built(operation, {array: "records"})
        self.init[operation.name] = f"self._{operation.name} = Listing({table}, lambda records: {reply})"
        return [f"return await self._{operation.name}.reply(ctx)"]

    def receipt(self, operation: Operation) -> dict[str, str]:
        """The fields of an unregister reply that its record has as well, or that carry the resource's id."""
        resource = self.resource(operation)
        given: dict[str, str] = {}
        for name, schema in self.fields(operation).items():
            source = resource.record_fields.get(name)
            if schema.get("x-resource") == resource.name or source == "identifier":
                given[name] = "entry.identifier"
            elif isinstance(source, Mapping) and "const" in source:
                given[name] = repr(cast("Mapping[str, Any]", source)["const"])
        return given

    def built(self, operation: Operation, given: dict[str, str]) -> str:
        """A reply made here: each required field from `given`, its constant, or what its type suggests."""
        model = operation.reply.model or ""
        needed = schemas.required(self.ir.schemas[model], self.ir.schemas)
        arguments = [
            f"{naming.attribute(name)}={given.get(name) or self.fixed(operation, name, schema)}"
            for name, schema in self.fields(operation).items()
            if name in given or name in needed
        ]
        add_models(self.ir, self.imports, [model])
        return f"{model}({', '.join(arguments)})"

    def fields(self, operation: Operation) -> dict[str, schemas.Schema]:
        return schemas.properties(self.ir.schemas[operation.reply.model or ""], self.ir.schemas)

    def fixed(self, operation: Operation, name: str, schema: schemas.Schema) -> str:
        """The one value that a field of a table's reply can have: no more pages, done, nothing."""
        schema = schemas.resolved(schema, self.ir.schemas)
        kinds = schemas.types(schema, self.ir.schemas)
        values = schema.get("enum", [schema["const"]] if "const" in schema else [])
        if len(values) == 1:
            return repr(values[0])
        if "boolean" in kinds:
            more = operation.pagination.more if operation.pagination else None
            return repr(name != more)
        if "null" in kinds:
            return "None"
        message = f"the table cannot fill the required field {name!r} of {operation.reply.model}"
        hint = "give it a const, make it nullable or optional, or serve the operation in another mode"
        raise SpecErrors([SpecError("table-reply", operation.pos, message, hint)])

    def resource(self, operation: Operation) -> Resource:
        name = operation.serve.resource or ""
        found = next((resource for resource in self.ir.resources if resource.name == name), None)
        if found is None:
            message = f"{operation.id} is served by the resource {name!r}, whose routed API has no operations"
            hint = "name a resource of resources.yaml whose `routes` API is part of the spec"
            raise SpecErrors([SpecError("serve-resource", operation.pos, message, hint)])
        return found

    def key(self, operation: Operation) -> Key:
        return _present(operation, operation.serve.key, "key")

    def merge(self, operation: Operation) -> str:
        return _present(operation, operation.serve.merge, "merge")

    def use_table(self, resource: Resource) -> str:
        attribute = f"_{resource.module}"
        self.imports.add(f"{self.ir.server_package}.routing_tables.{resource.module}", resource.class_name)
        self.init[attribute] = f"self.{attribute}: {resource.class_name} = runtime.table({resource.name!r})"
        return f"self.{attribute}"

    def use_protocol(self) -> None:
        self.imports.add(f"{self.ir.api_package}.protocols.{self.api.name}", self.api.class_name)

    def given(self, key: Key) -> str:
        if key.required:
            return _value(key)
        self.imports.add(WIRE, "given")
        return f"given({_value(key)})"


def _present(operation: Operation, value: Any, name: str) -> Any:
    if value is None:
        message = f"x-serve of {operation.id} has mode {operation.serve.mode!r} and no {name!r}"
        raise SpecErrors([SpecError("serve-key", operation.pos, message, f"add {name!r} to x-serve")])
    return value


def _value(key: Key) -> str:
    """The expression that reads a key out of the request."""
    return f"request.{'body' if key.location == 'body' else 'params'}.{key.python}"


def _forwarded(key: Key) -> str:
    """The request with the provider's own id in it."""
    if key.location == "body":
        return f"request.replacing({key.name!r}, route.provider_resource_id)"
    return f"request.replacing_param({key.python!r}, route.provider_resource_id)"


def _lookup(operation: Operation, key: Key) -> str:
    requires = f", requires={_requires(operation)}" if operation.serve.requires else ""
    return f"param={key.name!r}{requires}"


def _requires(operation: Operation) -> str:
    return "{" + ", ".join(f"{name!r}: {values!r}" for name, values in operation.serve.requires) + "}"
