"""What an external spec brings, and where it says so: for messages about two that claim the same."""

from __future__ import annotations

import json
import re

from specstack_codegen.emit import Files
from specstack_codegen.ir import Ir
from specstack_codegen.source import Position

Claims = dict[str, dict[str, str]]


def emit(ir: Ir) -> Files:
    """`places.json`: kind -> name -> `file:line`, the file relative to the spec folder."""
    if not ir.external:
        return {}
    operations = [operation for api in ir.apis for operation in api.operations]
    claims: Claims = {
        "API": {api.name: _place(api.pos) for api in ir.apis},
        "operation": {operation.name: _place(operation.pos) for operation in operations},
        "path": {
            path_claim(operation.method, path): _place(operation.pos)
            for operation in operations
            for path in (operation.path, *operation.aliases)
        },
        "provider": {f"{one.api} {one.provider_type}": _place(one.pos) for one in ir.providers},
        "resource": {one.name: _place(one.pos) for one in ir.resources},
        "list of resources": {one.plural: _place(one.pos) for one in ir.resources},
        "service": {one.name: _place(one.pos) for one in ir.services},
    }
    text = json.dumps({kind: names for kind, names in claims.items() if names}, indent=1) + "\n"
    return {f"{ir.server_package}/places.json": text}


def path_claim(method: str, path: str) -> str:
    """A method and a path template, whatever its parameters are called."""
    return f"{method} {re.sub(r'{[^}]*}', '{}', path)}"


def _place(pos: Position) -> str:
    """`file:line`, without the spec folder's own name."""
    return f"{pos.file.partition('/')[2]}:{pos.line}"
