"""The conformance kit: for each API, a case per operation that providers serve, with an example request."""

from __future__ import annotations

from typing import Any

from specstack_codegen.emit import Files
from specstack_codegen.examples import Examples
from specstack_codegen.ir import Api, Ir, Operation
from specstack_codegen.render import Imports, header, render
from specstack_codegen.schemas import SCHEMA_PREFIX

CASES = "specstack.testing.cases"
_MODES = frozenset({"routed", "provider"})


def emit(ir: Ir) -> Files:
    """`conformance/<api>.py` of the server package, for APIs with operations that one provider answers."""
    folder = f"{ir.server_package}/conformance"
    found = [(api, [one for one in api.operations if _is_case(one)]) for api in ir.apis]
    served = [(api, operations) for api, operations in found if operations]
    if not served:
        return {}
    head = header(ir, "openapi/*.yaml")
    doc = "What any provider of an API must do, a module per API. `specstack.testing.conformance` runs it."
    files = {f"{folder}/__init__.py": render("module.py.jinja", header=head, doc=doc, imports=[], blocks=[])}
    examples = Examples(ir.schemas)
    for api, operations in served:
        files[f"{folder}/{api.name}.py"] = _module(ir, api, operations, examples)
    return files


def _is_case(operation: Operation) -> bool:
    body = operation.body
    return (
        operation.serve.mode in _MODES
        and operation.websocket is None
        and (body is None or body.is_json)
        and not any(param.required and param.style != "value" for param in operation.params)
    )


def _module(ir: Ir, api: Api, operations: list[Operation], examples: Examples) -> str:
    imports = Imports()
    imports.add(CASES, "Case")
    imports.add(f"{ir.server_package}.operations", f"{api.name} as ops")
    return render(
        "server/table.py.jinja",
        header=header(ir, api.source, "openapi/common.yaml"),
        doc=f"What any provider of the {api.name} API must do.",
        imports=imports.lines,
        name="CASES",
        annotation="tuple[Case, ...]",
        open="(",
        close=")",
        rows=[_case(operation, examples) for operation in operations],
        name_doc="A case for each operation that a provider answers alone.",
    )


def _case(operation: Operation, examples: Examples) -> str:
    serve, body = operation.serve, operation.body
    params = {
        (param.location, param.name): examples.of(param.schema)
        for param in operation.params
        if param.required
    }
    given: dict[str, Any] = {
        "params": {way: str(value) for way, value in params.items()} or None,
        "body": None if body is None else examples.of({"$ref": f"{SCHEMA_PREFIX}{body.model}"}),
        "resource": serve.resource,
        "key": None if serve.key is None else (serve.key.location, serve.key.name),
        "requires": dict(serve.requires) or None,
        "stream": operation.stream.when if operation.stream else None,
        "names_resource": operation.reply_ids or None,
    }
    arguments = "".join(f", {name}={value!r}" for name, value in given.items() if value is not None)
    return f"Case(operation=ops.{operation.constant}{arguments})"
