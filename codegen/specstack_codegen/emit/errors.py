"""`errors.py`: a class per error, the runtime's roles, the upstream table, the error forms of the APIs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from specstack_codegen import naming
from specstack_codegen.build import CORE_PACKAGE
from specstack_codegen.emit import Files
from specstack_codegen.ir import Errors, Ir
from specstack_codegen.render import WIRE, Imports, header, render

_VARIABLES = {
    "$message": "error.message",
    "$type": "error.type",
    "$param": "error.param",
    "$code": "error.code",
    "$status": "error.status",
    "$request_id": "request_id",
}
_SUPPORTED_BASE = "OperationNotSupported"


def emit(ir: Ir) -> Files:
    """`errors.py`, for a spec that has an error table."""
    if ir.errors is None:
        return {}
    imports = Imports()
    imports.add("collections.abc", "Callable")
    if ir.errors.envelopes:
        imports.add("pydantic_core", "to_json")
    imports.add(WIRE, "ApiError")
    # A spec beside the core one adds to the core's tables instead of repeating them.
    satellite = ir.package != CORE_PACKAGE
    if satellite:
        imports.add(f"{CORE_PACKAGE}_api", "errors as core")
    classes = _classes(ir.errors, imports)
    text = render(
        "api/errors.py.jinja",
        header=header(ir, "errors.yaml"),
        errors=classes,
        envelopes=[_envelope(name, shape) for name, shape in ir.errors.envelopes],
        roles=ir.errors.roles,
        upstream=ir.errors.upstream,
        base_roles=["**core.ROLES"] if satellite else [],
        base_upstream=["**core.UPSTREAM"] if satellite else [],
        base_envelopes=["**core.ENVELOPES"] if satellite else [],
        imports=imports.lines,
    )
    return {f"{ir.api_package}/errors.py": text}


def _classes(errors: Errors, imports: Imports) -> list[dict[str, Any]]:
    unsupported = dict(errors.roles).get("unsupported_operation")
    found: list[dict[str, Any]] = []
    for kind in errors.kinds:
        base = "ApiError"
        if kind.name == unsupported:
            base = "Unsupported"
            imports.add(WIRE, f"{_SUPPORTED_BASE} as Unsupported")
        doc = kind.description or f"HTTP {kind.status}."
        found.append(
            {
                "name": kind.name,
                "base": base,
                "doc": doc,
                "status": kind.status,
                "type": kind.type,
                "code": kind.code,
            }
        )
    return found


def _envelope(name: str, shape: Any) -> dict[str, str]:
    return {
        "name": name,
        "function": f"{naming.snake(name)}_envelope",
        "doc": f"The error form {name!r}, as JSON.",
        "expression": _expression(shape),
    }


def _expression(value: Any) -> str:
    """The Python expression for an envelope's shape, its `$variables` filled in."""
    if isinstance(value, Mapping):
        known = cast("Mapping[str, Any]", value)
        return "{" + ", ".join(f"{key!r}: {_expression(item)}" for key, item in known.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_expression(item) for item in cast("list[Any]", value)) + "]"
    return _VARIABLES.get(value, repr(value)) if isinstance(value, str) else repr(value)
