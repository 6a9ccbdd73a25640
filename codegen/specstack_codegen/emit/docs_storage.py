"""The page of the reference about what outlives the server."""

from __future__ import annotations

from typing import Any

from specstack_codegen.emit.docs_schema import cell
from specstack_codegen.emit.storage import SCOPE, database_name
from specstack_codegen.ir import Ir
from specstack_codegen.ir_storage import Column, Table

_TYPES = {
    "string": "text of at most {} characters",
    "text": "text",
    "integer": "integer of 64 bits",
    "number": "number",
    "boolean": "true or false",
    "json": "JSON",
    "bytes": "bytes",
}


def storage_values(ir: Ir) -> dict[str, Any]:
    """What the template of the page loops over."""
    return {
        "stores": [(store, cell(store.description)) for store in ir.storage.stores],
        "tables": [_table(table) for table in ir.storage.tables],
    }


def _table(table: Table) -> dict[str, Any]:
    key = table.primary_key if table.counted else (*SCOPE, *table.primary_key)
    return {
        "name": database_name(table),
        "api": table.api,
        "store": table.store,
        "description": table.description,
        "columns": [(column.name, _type(column), cell(column.description)) for column in table.columns],
        "key": _names(key),
        "indexes": [_names((*SCOPE, *names)) for names in table.indexes],
        "unique": [_names((*SCOPE, *names)) for names in table.unique],
    }


def _type(column: Column) -> str:
    notes = [_TYPES[column.kind].format(column.max_length)]
    if column.auto:
        notes.append("counted up")
    if column.nullable:
        notes.append("may be null")
    if column.default is not None:
        notes.append(f"default `{column.default}`")
    return ", ".join(notes)


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
