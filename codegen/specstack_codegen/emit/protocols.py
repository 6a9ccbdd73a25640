"""Protocols: what providers and core services implement, one module per API, in `protocols/`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from specstack_codegen import naming
from specstack_codegen.emit import Files
from specstack_codegen.ir import Api, Hook, Ir, Operation, Service
from specstack_codegen.render import (
    WIRE,
    Imports,
    add_models,
    add_signature,
    error_module,
    header,
    method_doc,
    render,
    reply_types,
    request_type,
)

Method = dict[str, str]


def emit(ir: Ir) -> Files:
    """`protocols/<api>.py` for every API that providers or services implement."""
    folder = f"{ir.api_package}/protocols"
    files = {
        f"{folder}/__init__.py": render(
            "module.py.jinja",
            header=header(ir, "openapi/*.yaml"),
            doc="What providers and core services implement, one module per API.",
            imports=[],
            blocks=[],
        )
    }
    for api in ir.apis:
        services = [service for service in ir.services if service.api == api.name]
        if api.has_protocol or services:
            files[f"{folder}/{api.name}.py"] = _module(ir, api, services)
    return files


def _module(ir: Ir, api: Api, services: list[Service]) -> str:
    imports = Imports()
    imports.add("typing", "Protocol", "runtime_checkable")
    protocols: list[dict[str, Any]] = []
    if api.has_protocol:
        protocols.append(_provider_protocol(ir, api, imports))
    protocols += [_service_protocol(ir, service, imports) for service in services]
    return render(
        "api/protocols.py.jinja",
        header=header(ir, api.source, "openapi/common.yaml", "resources.yaml", "services.yaml"),
        doc=f"The {api.name} API as its implementations see it.",
        imports=imports.lines,
        protocols=protocols,
    )


def _provider_protocol(ir: Ir, api: Api, imports: Imports) -> dict[str, Any]:
    imports.add(WIRE, "Provider")
    module, name = unsupported_error(ir)
    imports.add(module, name)
    methods: list[Method] = []
    for operation in api.provider_operations:
        methods += _methods(ir, operation, imports, lambda method: f'raise {name}.of(self, "{method}")')
    for hook in api.hooks:
        methods.append(_hook(ir, hook, imports, f'raise {name}.of(self, "{hook.name}")'))
    doc = naming.sentence(
        api.summary.rstrip(".") + ".",
        api.description,
        "A provider subclasses this and overrides the operations that its spec names as capabilities.",
    )
    return {"name": api.class_name, "bases": "Provider, Protocol", "doc": doc, "methods": methods}


def _service_protocol(ir: Ir, service: Service, imports: Imports) -> dict[str, Any]:
    methods: list[Method] = []
    for operation in service.operations:
        methods += _methods(ir, operation, imports, lambda _: "...")
    return {
        "name": service.class_name,
        "bases": "Protocol",
        "doc": naming.sentence(service.description, f"`{service.module}` makes it."),
        "methods": methods,
    }


def _methods(ir: Ir, operation: Operation, imports: Imports, body: Callable[[str], str]) -> list[Method]:
    """The operation's method, and one more for its WebSocket if it has one."""
    add_signature(ir, imports, operation)
    found = [
        {
            "name": operation.name,
            "request": request_type(operation),
            "reply": " | ".join(reply_types(operation)),
            "doc": method_doc(ir, operation),
            "body": body(operation.name),
        }
    ]
    socket = operation.websocket
    if socket:
        name = f"{operation.name}_websocket"
        doc = f"The WebSocket of `{operation.name}`: takes `{socket.receive}`, gives `{socket.send}`."
        found.append(
            {
                "name": name,
                "request": f"Stream[{socket.receive}]",
                "reply": f"Stream[{socket.send}]",
                "doc": doc,
                "body": body(name),
            }
        )
    return found


def _hook(ir: Ir, hook: Hook, imports: Imports, body: str) -> Method:
    add_models(ir, imports, [hook.reply])
    imports.add(WIRE, "NoParams", "Payload", "Request", "RequestContext")
    return {
        "name": hook.name,
        "request": "Request[None, NoParams]",
        "reply": f"Payload[{hook.reply}]",
        "doc": hook.description,
        "body": body,
    }


def unsupported_error(ir: Ir) -> tuple[str, str]:
    """Module and class of the error for an operation that a provider lacks."""
    roles = dict(ir.all_errors.roles) if ir.all_errors else {}
    name = roles.get("unsupported_operation")
    return (error_module(ir, name), name) if name else (WIRE, "OperationNotSupported")
