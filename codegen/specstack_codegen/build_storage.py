"""storage.yaml as IR nodes."""

from __future__ import annotations

from typing import cast

from specstack_codegen import naming
from specstack_codegen.ir_storage import Column, Kind, Storage, Store, Table
from specstack_codegen.source import Map, Position, Seq


def build_storage(node: Map) -> Storage:
    """The stores and tables, in the order of the file; none of a spec without that file."""
    stores, tables = node.map("stores"), node.map("tables")
    return Storage(
        stores=tuple(_store(name, stores.map(name), stores.at(name)) for name in stores),
        tables=tuple(_table(name, tables.map(name), tables.at(name)) for name in tables),
        migrations=node.text("migrations"),
    )


def _store(name: str, node: Map, pos: Position) -> Store:
    kind = "sql" if node.text("kind") == "sql" else "kv"
    return Store(name=name, kind=kind, description=node.text("description"), pos=pos)


def _table(name: str, node: Map, pos: Position) -> Table:
    columns = node.map("columns")
    return Table(
        name=name,
        class_name=naming.pascal(name),
        api=node.text("api"),
        store=node.text("store"),
        description=node.text("description"),
        columns=tuple(_column(one, columns.map(one)) for one in columns),
        primary_key=_names(node.seq("primary_key")),
        indexes=_lists(node.seq("indexes")),
        unique=_lists(node.seq("unique")),
        pos=pos,
    )


def _column(name: str, node: Map) -> Column:
    return Column(
        name=name,
        kind=cast(Kind, node.text("type")),
        nullable=node.get("nullable") is True,
        auto=node.get("auto") is True,
        max_length=node.get("max_length"),
        default=node.get("default"),
        description=node.text("description"),
    )


def _lists(items: Seq) -> tuple[tuple[str, ...], ...]:
    return tuple(_names(item) for item in items if isinstance(item, Seq))


def _names(items: Seq) -> tuple[str, ...]:
    return tuple(str(item) for item in items)
