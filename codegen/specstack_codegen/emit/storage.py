"""What outlives the server: the stores by name, and the tables of each API as SQLModel classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from specstack_codegen import naming
from specstack_codegen.cache import digest
from specstack_codegen.emit import Files
from specstack_codegen.ir import Ir
from specstack_codegen.ir_storage import Column, Table
from specstack_codegen.render import Imports, header, render

COLUMNS = "specstack.storage.sql.columns"
SCOPE = ("tenant", "owner")
"""The columns that every table has; they lead whatever rows are looked up by."""
_TYPES = {
    "string": "str",
    "text": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "json": "Any",
    "bytes": "bytes",
}
# Names that SQLModel classes have for themselves.
_TAKEN = frozenset({"metadata", "registry", "query", "sqlmodel_extra"})
# PostgreSQL cuts longer names off.
_LONGEST = 63


def emit(ir: Ir) -> Files:
    """`stores.py` of the API package, and `sql_tables/<api>.py` of the server package."""
    files: Files = {}
    if ir.storage.stores:
        files[f"{ir.api_package}/stores.py"] = _stores(ir)
    if not ir.storage.tables:
        return files
    folder = f"{ir.server_package}/sql_tables"
    head = header(ir, "storage.yaml")
    doc = "The tables of SQL stores, a module for each API; import only those that are used."
    files[f"{folder}/__init__.py"] = render("module.py.jinja", header=head, doc=doc, imports=[], blocks=[])
    for api in ir.storage.apis:
        files[f"{folder}/{api}.py"] = _module(
            head, api, [table for table in ir.storage.tables if table.api == api]
        )
    return files


def table_entry(ir: Ir, table: Table) -> str:
    """A table as the runtime hears of it, in source form."""
    model = f"{ir.server_package}.sql_tables.{table.api}:{table.class_name}"
    columns = "".join(f"{_described(column)}, " for column in table.columns)
    return (
        f"SqlTable(name={table.name!r}, table={database_name(table)!r}, api={table.api!r}, "
        f"store={table.store!r}, model={model!r}, columns=({columns}))"
    )


def _described(column: Column) -> str:
    return f"SqlColumn(name={column.name!r}, kind={column.kind!r}{_options(column)})"


def _options(column: Column, **more: Any) -> str:
    """What differs from the usual, as keyword arguments."""
    options = {
        "max_length": column.max_length,
        "nullable": column.nullable or None,
        "default": column.default,
        **more,
        "auto": column.auto or None,
    }
    return "".join(f", {name}={value!r}" for name, value in options.items() if value is not None)


def database_name(table: Table) -> str:
    """What a table is called in databases, where others may have tables too."""
    return f"specstack_{table.name}"


def _stores(ir: Ir) -> str:
    imports = Imports()
    imports.add("typing", "Literal")
    return render(
        "server/table.py.jinja",
        header=header(ir, "storage.yaml"),
        doc="What outlives the server.",
        imports=imports.lines,
        name="STORES",
        annotation='dict[str, Literal["kv", "sql"]]',
        open="{",
        close="}",
        rows=[f"{store.name!r}: {store.kind!r}" for store in ir.storage.stores],
        name_doc="The stores that run configs place in backends, with the kind of backend that each needs.",
    )


def _module(head: str, api: str, tables: list[Table]) -> str:
    imports = Imports()
    imports.add("typing", "Any")
    imports.add("sqlalchemy", "Index", "UniqueConstraint")
    imports.add("sqlmodel", "Field", "SQLModel")
    imports.add(COLUMNS, "column")
    return render(
        "server/sql_tables.py.jinja",
        header=head,
        doc=f"The tables of the API {api}.",
        imports=imports.lines,
        tables=[_table(table) for table in tables],
    )


def _table(table: Table) -> dict[str, Any]:
    return {
        "class_name": table.class_name,
        "database_name": database_name(table),
        "doc": table.description,
        "arguments": list(_arguments(table)),
        "fields": [_field(table, column) for column in (*_given(), *table.columns)],
    }


def _arguments(table: Table) -> Iterator[str]:
    for names in table.unique:
        yield f"UniqueConstraint({_columns(names)}, name={_name(table, 'uq', names)!r})"
    for names in table.indexes:
        yield f"Index({_name(table, 'ix', names)!r}, {_columns(names)})"


def _columns(names: tuple[str, ...]) -> str:
    return ", ".join(repr(name) for name in (*SCOPE, *names))


def _name(table: Table, kind: str, names: tuple[str, ...]) -> str:
    name = "_".join((kind, database_name(table), *names))
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 9]}_{digest(name)[:8]}"


def _given() -> Iterator[Column]:
    for name, doc in zip(SCOPE, ("Whose tenant it is.", "Whose it is."), strict=True):
        yield Column(
            name=name,
            kind="string",
            nullable=False,
            auto=False,
            max_length=255,
            default=None,
            description=doc,
        )


def _field(table: Table, column: Column) -> dict[str, Any]:
    key = column.name in table.primary_key or (column.name in SCOPE and not table.counted)
    given = _options(column, primary_key=key or None)
    optional = column.nullable or column.auto
    default = f"default={column.default!r}, " if optional or column.default is not None else ""
    name = naming.attribute(column.name)
    return {
        "name": f"{name}_" if name in _TAKEN else name,
        "type": f"{_TYPES[column.kind]} | None"
        if optional and column.kind != "json"
        else _TYPES[column.kind],
        "value": f"Field({default}sa_column=column({column.name!r}, {column.kind!r}{given}))",
        "doc": column.description,
    }
