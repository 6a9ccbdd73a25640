"""Rules about storage.yaml: stores that run configs know, and tables that databases can make."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from specstack_codegen.bundle import Spec
from specstack_codegen.lint_rules import home
from specstack_codegen.lint_rules.registry import Finding, close, rule
from specstack_codegen.source import Map, Seq

GIVEN = ("tenant", "owner")
"""The columns that every table has without their being written."""
_INDEXED = ("string", "integer", "number", "boolean")
_PYTHON = {"string": str, "text": str, "integer": int, "number": (int, float), "boolean": bool}


@rule("storage-stores", across=True)
def storage_stores(spec: Spec) -> Iterator[Finding]:
    """The run config has a reference for each store, and for nothing else.

    config.yaml names the component that holds them under `stores`. A spec without a run config of its own
    puts its tables into the main spec's stores.
    """
    stores = spec.storage.map("stores")
    if not spec.config and not home.is_main(spec):
        for name in stores:
            hint = "put the tables into a store of the main spec"
            yield Finding(stores.at(name), f"no run config can say where the store {name!r} is", hint)
        return
    holder, schemas = spec.config.text("stores"), spec.config.map("components").map("schemas")
    if stores and not holder:
        hint = "add stores: <component> to config.yaml, an object with a property for each store"
        yield Finding(spec.storage.at("stores"), "the run config has no references to stores", hint)
    elif holder and holder not in schemas:
        yield Finding(spec.config.at("stores"), f"there is no component {holder!r}", close(holder, schemas))
    elif holder:
        references = schemas.map(holder).map("properties")
        for name in stores:
            if name not in references:
                hint = f"add it to the properties of {holder} in config.yaml"
                yield Finding(stores.at(name), f"run configs cannot say where the store {name!r} is", hint)
        for name in references:
            if name not in stores:
                hint = close(name, stores, "add it to storage.yaml")
                yield Finding(references.at(name), f"storage.yaml has no store {name!r}", hint)


@rule("storage-table", across=True)
def storage_table(spec: Spec) -> Iterator[Finding]:
    """A table has an API, lies in a store of kind sql with the API's other tables, and has revisions.

    Its keys and indexes are of columns that it has and that can be compared. No two specs have a table of one
    name.
    """
    tables, main = spec.storage.map("tables"), home.main_storage(spec)
    stores = [spec.storage.map("stores"), *([main.map("stores")] if main else [])]
    fitting = {name for one in stores for name in one if one.map(name).text("kind") == "sql"}
    # A generator that is installed knows the main spec's rules, and not what stands in it.
    checked = bool(main) or home.is_main(spec) or bool(stores[0])
    if tables and not spec.storage.text("migrations"):
        hint = "add migrations: <package> at the top, with the revisions that make the tables"
        yield Finding(spec.storage.at("tables"), "nothing makes these tables", hint)
    homes: dict[str, str] = {}
    for name in tables:
        table = tables.map(name)
        if main and name in main.map("tables"):
            yield Finding(tables.at(name), f"the main spec has a table {name!r}", "give it another name")
        api, store = table.text("api"), table.text("store")
        if api and api not in spec.apis:
            yield Finding(table.at("api"), f"there is no API {api!r}", close(api, spec.apis))
        if store and checked and store not in fitting:
            message = f"there is no store {store!r} of kind sql"
            yield Finding(table.at("store"), message, close(store, fitting))
        elif store and homes.setdefault(api, store) != store:
            message = f"the API's other tables are in the store {homes[api]!r}"
            hint = "put them into one store: they are brought up to date together"
            yield Finding(table.at("store"), message, hint)
        yield from _keys(table)


def _keys(table: Map) -> Iterator[Finding]:
    columns = table.map("columns")
    lists = [table.seq("primary_key")]
    lists += [one for key in ("indexes", "unique") for one in table.seq(key) if isinstance(one, Seq)]
    for names in lists:
        for index, name in enumerate(str(item) for item in names):
            column = columns.map(name)
            kind = column.text("type")
            if name not in columns:
                hint = "tenant and owner lead by themselves" if name in GIVEN else close(name, columns)
                yield Finding(names.at(index), f"there is no column {name!r}", hint)
            elif kind and kind not in _INDEXED:
                hint = f"take a column of type {', '.join(_INDEXED)}"
                yield Finding(names.at(index), f"{kind} has no place in a key or index", hint)
            elif names is lists[0] and column.get("nullable") is True:
                message = f"the primary key's column {name!r} may not be null"
                yield Finding(columns.at(name), message, "take away nullable")


@rule("storage-column")
def storage_column(spec: Spec) -> Iterator[Finding]:
    """A column's other keys go with its type, and its name is none that every table has.

    A string says how long it may be; what the database counts up is an integer and the whole primary key; a
    default is a value of the type.
    """
    tables = spec.storage.map("tables")
    for table in (tables.map(name) for name in tables):
        columns = table.map("columns")
        for name in columns:
            yield from _column(columns, name, list(table.seq("primary_key")))


def _column(columns: Map, name: str, primary_key: list[Any]) -> Iterator[Finding]:
    column = columns.map(name)
    kind = column.text("type")
    if name in GIVEN:
        yield Finding(columns.at(name), f"every table has a column {name!r}", "leave it out")
    if kind == "string" and "max_length" not in column:
        hint = "add max_length, or make it text, which cannot be indexed"
        yield Finding(columns.at(name), f"the string {name!r} does not say how long it may be", hint)
    if kind != "string" and "max_length" in column:
        yield Finding(column.at("max_length"), f"{kind} has no max_length", "leave it out")
    if column.get("auto") is True and (kind != "integer" or primary_key != [name]):
        hint = "write type: integer, and the column alone under primary_key"
        yield Finding(column.at("auto"), "only an integer that is the primary key is counted up", hint)
    if "default" in column and not _fits(column, kind):
        yield Finding(column.at("default"), f"the default is no {kind}", f"write a value of type {kind}")


def _fits(column: Map, kind: str) -> bool:
    value = column["default"]
    if isinstance(value, bool) != (kind == "boolean") or not isinstance(value, _PYTHON.get(kind, ())):
        return False
    limit = column.get("max_length")
    return not (kind == "string" and isinstance(limit, int) and len(str(value)) > limit)
