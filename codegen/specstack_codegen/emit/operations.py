"""Operation descriptors: everything the runtime must know of an operation, one module per API."""

from __future__ import annotations

from specstack_codegen.emit import Files
from specstack_codegen.ir import Api, Body, Ir, Operation, Param, Stream
from specstack_codegen.render import WIRE, Imports, add_models, header, operation_components, render

DESCRIPTORS = "specstack.descriptors"
Arguments = list[tuple[str, str]]


def emit(ir: Ir) -> Files:
    """`operations/<api>.py` for every API."""
    folder = f"{ir.server_package}/operations"
    files = {
        f"{folder}/__init__.py": render(
            "module.py.jinja",
            header=header(ir, "openapi/*.yaml"),
            doc="Descriptions of all operations, one module per API.",
            imports=[],
            blocks=[],
        )
    }
    for api in ir.apis:
        files[f"{folder}/{api.name}.py"] = _module(ir, api)
    return files


def _module(ir: Ir, api: Api) -> str:
    imports = Imports()
    imports.add(DESCRIPTORS, "Operation", "Reply")
    operations = [
        {
            "constant": operation.constant,
            "arguments": _arguments(ir, operation, imports),
            "doc": operation.summary.rstrip(".") + ".",
        }
        for operation in api.operations
    ]
    return render(
        "server/operations.py.jinja",
        header=header(ir, api.source, "openapi/common.yaml"),
        doc=f"The operations of the {api.name} API.",
        imports=imports.lines,
        operations=operations,
    )


def _arguments(ir: Ir, operation: Operation, imports: Imports) -> Arguments:
    """The descriptor's arguments in source form; those that have their default are left out."""
    add_models(ir, imports, operation_components(operation))
    found: Arguments = [
        ("id", repr(operation.id)),
        ("name", repr(operation.name)),
        ("api", repr(operation.api)),
        ("method", repr(operation.method)),
        ("path", repr(operation.path)),
        ("stability", repr(operation.stability)),
        ("reply", _reply(operation)),
    ]
    if operation.aliases:
        found.append(("aliases", repr(operation.aliases)))
    if operation.params:
        imports.add(DESCRIPTORS, "Param")
        found.append(("params", f"({', '.join(_param(param) for param in operation.params)},)"))
    else:
        imports.add(WIRE, "NoParams")
    found.append(("params_model", operation.params_model or "NoParams"))
    if operation.body:
        imports.add(DESCRIPTORS, "Body")
        found.append(("body", _body(operation.body)))
    if operation.stream:
        imports.add(DESCRIPTORS, "StreamSpec")
        found.append(("stream", _stream(operation.stream)))
    if operation.variants:
        imports.add(DESCRIPTORS, "Variant")
        variants = [
            f"Variant(name={one.name!r}, header={one.header!r}, value={one.value!r}, model={one.model})"
            for one in operation.variants
        ]
        found.append(("variants", f"({', '.join(variants)},)"))
    if operation.websocket:
        imports.add(DESCRIPTORS, "WebSocketSpec")
        socket = operation.websocket
        found.append(("websocket", f"WebSocketSpec(receive={socket.receive}, send={socket.send})"))
    if operation.access:
        imports.add(DESCRIPTORS, "Access")
        access = operation.access
        resource = f", resource={access.resource!r}" if access.resource else ""
        found.append(("access", f"Access(action={access.action!r}{resource})"))
    if operation.record:
        imports.add(DESCRIPTORS, "Record")
        when = f", when={operation.record.when!r}" if operation.record.when else ""
        found.append(("record", f"Record(service={operation.record.service!r}{when})"))
    if operation.usage:
        imports.add(DESCRIPTORS, "UsageSpec")
        output = f", output={operation.usage.output!r}" if operation.usage.output else ""
        found.append(("usage", f"UsageSpec(input={operation.usage.input!r}{output})"))
    if operation.genai:
        found.append(("genai", repr(operation.genai)))
    found.append(("envelope", repr(operation.envelope)))
    flags = {"public": operation.public, "deprecated": operation.deprecated}
    found += [(name, "True") for name, value in flags.items() if value]
    return found


def _reply(operation: Operation) -> str:
    reply = operation.reply
    model = f", model={reply.model}" if reply.model else ""
    return f"Reply(status={reply.status}, media={reply.media!r}{model})"


def _param(param: Param) -> str:
    parts = [f"name={param.name!r}", f"location={param.location!r}"]
    if param.style != "value":
        parts.append(f"style={param.style!r}")
    if param.greedy:
        parts.append("greedy=True")
    return f"Param({', '.join(parts)})"


def _body(body: Body) -> str:
    parts = [f"model={body.model}", f"media={body.media!r}"]
    if not body.required:
        parts.append("required=False")
    if body.limit is not None:
        parts.append(f"limit={body.limit:_}")
    for name in ("json_fields", "list_fields", "file_fields"):
        fields = getattr(body, name)
        if fields:
            parts.append(f"{name}=frozenset({{{', '.join(repr(one) for one in fields)}}})")
    return f"Body({', '.join(parts)})"


def _stream(stream: Stream) -> str:
    parts = [f"media={stream.media!r}", f"item={stream.item}"]
    parts += [
        f"{name}={value!r}"
        for name, value in (("event", stream.event), ("end", stream.end))
        if value is not None
    ]
    return f"StreamSpec({', '.join(parts)})"
