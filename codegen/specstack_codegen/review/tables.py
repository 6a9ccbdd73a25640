"""Comparing the tables of the spec: what is stored, the errors, the resources and the services."""

from __future__ import annotations

from collections.abc import Iterator

from specstack_codegen.review.changes import shown
from specstack_codegen.review.comparison import Pair, texts, without
from specstack_codegen.review.findings import Sink, Subject
from specstack_codegen.source import Map, Position, Seq

STORAGE = Subject("storage", "storage", "Storage")
ERRORS = Subject("errors", "errors", "Errors")
# A value of the first type fits the second; limits of length are compared besides.
_FITS = frozenset(
    {("string", "text"), ("integer", "number"), ("boolean", "integer"), ("string", "json"), ("text", "bytes")}
)
_WORDS = ("description",)


def compare_storage(storage: Pair, sink: Sink) -> None:
    """Report what rows and keys that exist do not survive without a migration that moves them."""
    tables = storage.map("tables")
    for name in tables.gone():
        places = tables.old.at(name), storage.new.at("tables")
        sink.add("table-removed", _table(name), "", f"the table `{name}` is gone", *places)
    for name in tables.come():
        sink.add("table-added", _table(name), "", f"the table `{name}` is new", None, tables.new.at(name))
    for name in tables.both():
        _compare_table(_table(name), tables.map(name), sink)
    stores = storage.map("stores")
    for name in stores.gone():
        places = stores.old.at(name), storage.new.at("stores")
        text = f"the store `{name}` is gone"
        sink.add("table-removed", STORAGE, f"stores.{name}", text, *places)
    for name in stores.come():
        sink.add(
            "table-added", STORAGE, f"stores.{name}", f"the store `{name}` is new", None, stores.new.at(name)
        )
    for name in stores.both():
        store = stores.map(name)
        if store.differs("kind"):
            path = f"stores.{name}.kind"
            sink.add("store-kind-changed", STORAGE, path, store.changed("kind"), *store.at("kind"))
        _rest(STORAGE, store, f"stores.{name}.", ("kind",), "storage-changed", sink)
    if storage.differs("migrations"):
        text = storage.changed("migrations")
        sink.add("migrations-moved", STORAGE, "migrations", text, *storage.at("migrations"))
    _rest(STORAGE, storage, "", ("tables", "stores", "migrations"), "storage-changed", sink)


def _table(name: str) -> Subject:
    return Subject("storage", name, f"Table {name}")


def _compare_table(subject: Subject, table: Pair, sink: Sink) -> None:
    columns = table.map("columns")
    for name in columns.gone():
        places = columns.old.at(name), table.new.at("columns")
        sink.add("column-removed", subject, name, f"the column `{name}` is gone", *places)
    for name in columns.come():
        column = columns.new.map(name)
        filled = column.get("nullable") is True or "default" in column or column.get("auto") is True
        rule = "column-added" if filled else "column-required-added"
        text = f"the column `{name}` is new" + ("" if filled else " and may not be null")
        sink.add(rule, subject, name, text, table.old.at("columns"), columns.new.at(name))
    for name in columns.both():
        _compare_column(subject, name, columns.map(name), sink)
    for key, rule in (("store", "table-moved"), ("api", "table-api-changed")):
        if table.differs(key):
            sink.add(rule, subject, key, table.changed(key), *table.at(key))
    if table.differs("primary_key"):
        text = table.changed("primary_key")
        keys = [set(texts(side.get("primary_key"))) for side in table]
        rule = "index-changed" if keys[0] == keys[1] else "key-changed"
        sink.add(rule, subject, "primary_key", text, *table.at("primary_key"))
    _uniques(subject, table, sink)
    _groups(subject, table, "indexes", "index-changed", sink)
    known = ("columns", "store", "api", "primary_key", "unique", "indexes")
    _rest(subject, table, "", known, "storage-changed", sink)


def _compare_column(subject: Subject, name: str, column: Pair, sink: Sink) -> None:
    one, other = column.texts("type")
    if one != other:
        rule = "column-type-widened" if (one, other) in _FITS else "column-type-changed"
        rule = "column-type-narrowed" if (other, one) in _FITS else rule
        sink.add(rule, subject, name, column.changed("type"), *column.at("type"))
    short, long = column.values("max_length")
    if short != long and other == one:
        narrower = isinstance(long, int) and not (isinstance(short, int) and long >= short)
        rule = "column-type-narrowed" if narrower else "column-type-widened"
        sink.add(rule, subject, name, column.changed("max_length"), *column.at("max_length"))
    was, now = (side.get("nullable") is True for side in column)
    if was != now:
        rule = (
            "column-nullable"
            if now
            else ("column-default-changed" if "default" in column.new else "column-not-null")
        )
        sink.add(
            rule, subject, name, f"null is {'now' if now else 'no longer'} admitted", *column.at("nullable")
        )
    if column.differs("default"):
        sink.add("column-default-changed", subject, name, column.changed("default"), *column.at("default"))
    _rest(subject, column, f"{name}.", ("type", "max_length", "nullable", "default"), "storage-changed", sink)


def _uniques(subject: Subject, table: Pair, sink: Sink) -> None:
    """Columns that are unique together; with a part of them that is, they always are."""
    old, new = (_listed(side.seq("unique")) for side in table)
    before, after = (_sets(side) for side in table)
    for columns in without(old, new):
        kept = any(one <= _columns(table.old.seq("unique"), columns) for one in after)
        rule, text = "unique-implied" if kept else "unique-removed", f"`unique` {columns} is gone"
        sink.add(rule, subject, "unique", text, old[columns], table.new.at("unique"))
    for columns in without(new, old):
        names = _columns(table.new.seq("unique"), columns)
        known = any(one <= names for one in before) or any(_told_apart(table, one) for one in names)
        rule, text = "unique-implied" if known else "unique-added", f"`unique` {columns} is new"
        sink.add(rule, subject, "unique", text, table.old.at("unique"), new[columns])


def _told_apart(table: Pair, name: str) -> bool:
    """Whether a column is new and no two rows that exist get the same value: nulls are not the same."""
    column = table.new.map("columns").map(name)
    if name in table.old.map("columns"):
        return False
    return column.get("auto") is True or (column.get("nullable") is True and "default" not in column)


def _sets(table: Map) -> list[set[str]]:
    """The sets of columns whose values no two rows have in common."""
    return [set(texts(group)) for group in (table.get("primary_key"), *table.seq("unique")) if group]


def _columns(groups: Seq, name: str) -> set[str]:
    return next(set(texts(group)) for group in groups if shown(group) == name)


def _groups(subject: Subject, table: Pair, key: str, rule: str, sink: Sink) -> None:
    """Lists of columns that went, and lists that came."""
    old, new = (_listed(side.seq(key)) for side in table)
    for columns in without(old, new):
        text = f"`{key}` {columns} is gone"
        sink.add(rule, subject, key, text, old[columns], table.new.at(key))
    for columns in without(new, old):
        sink.add(rule, subject, key, f"`{key}` {columns} is new", table.old.at(key), new[columns])


def _listed(groups: Seq) -> dict[str, Position]:
    return {shown(group): groups.at(index) for index, group in enumerate(groups)}


def _rest(subject: Subject, pair: Pair, prefix: str, known: tuple[str, ...], rule: str, sink: Sink) -> None:
    """Everything else that differs: words for people are words, the rest falls under `rule`."""
    for key in dict.fromkeys((*pair.old, *pair.new)):
        if key in known or not pair.differs(key):
            continue
        words = key in _WORDS
        text = f"`{key}` changed" if words else pair.changed(key)
        sink.add("documentation-changed" if words else rule, subject, f"{prefix}{key}", text, *pair.at(key))


def compare_errors(errors: Pair, sink: Sink) -> None:
    """Report what clients can no longer tell from an error, and what providers can no longer raise."""
    kinds = errors.map("errors")
    come = list(kinds.come())
    for name in kinds.gone():
        other = next((one for one in come if _same_error(kinds.old.map(name), kinds.new.map(one))), None)
        if other is not None:
            come.remove(other)
            text = f"the error `{name}` became `{other}`"
            sink.add("error-renamed", ERRORS, name, text, kinds.old.at(name), kinds.new.at(other))
            continue
        places = kinds.old.at(name), errors.new.at("errors")
        sink.add("error-removed", ERRORS, name, f"the error `{name}` is gone", *places)
    for name in come:
        sink.add(
            "error-added",
            ERRORS,
            name,
            f"the error `{name}` is new",
            errors.old.at("errors"),
            kinds.new.at(name),
        )
    rules = {"status": "error-status-altered", "type": "error-type-changed", "code": "error-code-changed"}
    for name in kinds.both():
        kind = kinds.map(name)
        for key in dict.fromkeys((*kind.old, *kind.new)):
            if kind.differs(key):
                words = key not in rules
                rule = rules.get(key, "documentation-changed")
                text = f"`{key}` changed" if words else kind.changed(key)
                sink.add(rule, ERRORS, f"{name}.{key}", text, *kind.at(key))
    _error_tables(errors, sink)


def _same_error(one: Map, other: Map) -> bool:
    return all(one.get(key) == other.get(key) for key in ("status", "type", "code"))


def _error_tables(errors: Pair, sink: Sink) -> None:
    """Which error stands for a role of the runtime, and for an upstream's failure."""
    for table, rule in (("roles", "error-role-changed"), ("upstream", "upstream-error-changed")):
        pair = errors.map(table)
        for key in dict.fromkeys((*pair.old, *pair.new)):
            if not pair.differs(key):
                continue
            names = [_standing(side, key, exact=table == "roles") for side in pair]
            if all(names) and (names[0] == names[1] or _is_rename(errors, names)):
                continue
            if table == "roles" and (key not in pair.old or key not in pair.new):
                found = "error-role-removed" if key in pair.old else "error-role-added"
            else:
                found = rule
            sink.add(found, ERRORS, f"{table}.{key}", pair.changed(key), *pair.at(key))
    forms = errors.map("envelopes")
    for name in dict.fromkeys((*forms.old, *forms.new)):
        if forms.differs(name):
            extended = name not in forms.old or _extends(forms.old.get(name), forms.new.get(name))
            rule = "error-form-extended" if extended else "error-form-changed"
            sink.add(rule, ERRORS, f"envelopes.{name}", forms.changed(name), *forms.at(name))


def _standing(table: Map, key: object, *, exact: bool) -> str:
    """The error that stands for a role, or for a status, which may be that of its class; "" for none."""
    found = next((error for name, error in table.items() if name == key), None)
    if found is None and not exact and str(key).isdigit():
        found = table.get(f"{str(key)[0]}xx")
    return "" if found is None else str(found)


def _is_rename(errors: Pair, names: list[str]) -> bool:
    """Whether the names of both sides are of an error that clients cannot tell apart."""
    one, other = (side.map("errors").map(name) for side, name in zip(errors, names, strict=True))
    return bool(one) and bool(other) and _same_error(one, other)


def _extends(old: object, new: object) -> bool:
    """Whether everything in `old` stands in `new` as it was."""
    if isinstance(old, Map) and isinstance(new, Map):
        return all(key in new and _extends(value, new[key]) for key, value in old.items())
    return old == new


def compare_resources(resources: Pair, sink: Sink) -> None:
    """Report what changes for ids that clients keep, for run configs, and for providers."""
    table = resources.map("resources")
    for name in table.gone():
        places = table.old.at(name), resources.new.at("resources")
        sink.add("resource-removed", _resource(name), "", f"the resource `{name}` is gone", *places)
    for name in table.come():
        places = resources.old.at("resources"), table.new.at(name)
        sink.add("resource-added", _resource(name), "", f"the resource `{name}` is new", *places)
    for name in table.both():
        subject, resource = _resource(name), table.map(name)
        for key in dict.fromkeys((*resource.old, *resource.new)):
            if key == "attributes":
                _attributes(subject, resource.map(key), sink)
            elif resource.differs(key):
                _resource_key(subject, resource, key, sink)


def _resource(name: str) -> Subject:
    return Subject("resource", name, f"Resource {name}")


_RESOURCE_RULES = {
    "id": "resource-ids-changed",
    "plural": "resource-renamed",
    "not_found": "resource-errors-changed",
    "conflict": "resource-errors-changed",
    "wrong_attribute": "resource-errors-changed",
    "description": "documentation-changed",
}


def _resource_key(subject: Subject, resource: Pair, key: str, sink: Sink) -> None:
    if key == "discover" and resource.map(key).differs("method"):
        discover = resource.map(key)
        text = discover.changed("method")
        sink.add("resource-method-renamed", subject, "discover.method", text, *discover.at("method"))
        if {k: v for k, v in discover.old.items() if k != "method"} == {
            k: v for k, v in discover.new.items() if k != "method"
        }:
            return
    rule = _RESOURCE_RULES.get(key, "resource-table-changed")
    text = f"`{key}` changed" if key == "description" else resource.changed(key)
    sink.add(rule, subject, key, text, *resource.at(key))


def _attributes(subject: Subject, attributes: Pair, sink: Sink) -> None:
    for name in dict.fromkeys((*attributes.old, *attributes.new)):
        attribute, path = attributes.map(name), f"attributes.{name}"
        if name not in attributes.new:
            sink.add("resource-attribute-removed", subject, path, f"`{name}` is gone", *attributes.at(name))
            continue
        if name not in attributes.old:
            sink.add("resource-attribute-added", subject, path, f"`{name}` is new", *attributes.at(name))
            continue
        for rule, text, places in _enum(attribute):
            sink.add(rule, subject, path, text, *places)
        if attribute.differs("default"):
            text = attribute.changed("default")
            sink.add("resource-default-changed", subject, f"{path}.default", text, *attribute.at("default"))


def _enum(attribute: Pair) -> Iterator[tuple[str, str, tuple[Position, Position]]]:
    old, new = texts(attribute.old.get("enum")), texts(attribute.new.get("enum"))
    places = attribute.at("enum")
    for value in without(old, new):
        yield "resource-attribute-removed", f"`{value}` is gone", (old[value], places[1])
    for value in without(new, old):
        yield "resource-attribute-added", f"`{value}` is new", (places[0], new[value])


def compare_services(services: Pair, sink: Sink) -> None:
    """Report services that came, went or moved; users do not name them."""
    table = services.map("services")
    for name in dict.fromkeys((*table.old, *table.new)):
        if table.differs(name):
            subject = Subject("service", name, f"Service {name}")
            sink.add("service-changed", subject, "", table.changed(name), *table.at(name))
