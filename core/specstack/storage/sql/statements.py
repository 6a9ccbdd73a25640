"""Conditions, orders and pages as SQLAlchemy's expressions, for both dialects."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from typing import cast as typed

from sqlalchemy import (
    ColumnElement,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    exists,
    false,
    func,
    or_,
    select,
    tuple_,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB

from specstack.storage.sql.values import checked_scope, stored
from specstack_wire import Scope

MAX_LIST = 1000
"""Values in a list of a condition; databases limit the parameters of a statement."""
SCOPE = ("tenant", "owner")
_ORDERED = ("string", "text", "integer", "number")


def column(table: Table, name: str) -> Any:
    """A column of the spec. Raises ValueError."""
    if name in SCOPE or name not in table.c:
        raise ValueError(f"there is no column {name!r}")
    return table.c[name]


def condition(
    table: Table, dialect: str, scope: Scope, where: Mapping[str, Any] | None
) -> ColumnElement[bool]:
    """That a row is of `scope` and fits `where`."""
    checked_scope(scope)
    parts = [table.c.tenant == scope.tenant, table.c.owner == scope.owner]
    for name, wanted in (where or {}).items():
        parts.append(_wanted(column(table, name), dialect, wanted))
    return and_(*parts)


def assigned(one: Any, dialect: str, value: Any) -> Any:
    """A value for a column. Raises ValueError for what the column does not take."""
    given = stored(one, value)
    if one.info["kind"] != "json" or given is None:
        return given
    text = bindparam(None, given, Text)
    return cast(text, JSONB) if dialect == "postgresql" else text


def ordering(table: Table, order: Sequence[str]) -> list[tuple[Any, bool]]:
    """The columns of `order`, each with whether the largest comes first."""
    found: list[tuple[Any, bool]] = []
    for text in order:
        one = column(table, text.removeprefix("-"))
        if one.nullable or one.info["kind"] not in _ORDERED:
            raise ValueError(
                f"{one.name}: rows are not ordered by what may be null, or by {one.info['kind']}"
            )
        found.append((one, text.startswith("-")))
    return found


def sorted_by(order: list[tuple[Any, bool]]) -> list[Any]:
    """What goes into ORDER BY."""
    return [one.desc() if largest else one.asc() for one, largest in order]


def behind(order: list[tuple[Any, bool]], after: Mapping[str, Any]) -> ColumnElement[bool]:
    """That a row comes after the one whose `order` columns are `after`."""
    if not order or {one.name for one, _ in order} != set(after):
        raise ValueError("`after` holds the columns of `order`, and there must be some")
    last = [bindparam(None, stored(one, after[one.name]), one.type) for one, _ in order]
    if len({largest for _, largest in order}) == 1:
        left, right = tuple_(*(one for one, _ in order)), tuple_(*last)
        return left < right if order[0][1] else left > right
    return or_(*_steps(order, last))


def _steps(order: list[tuple[Any, bool]], last: list[Any]) -> Iterator[ColumnElement[bool]]:
    for index, (one, largest) in enumerate(order):
        same = [other == value for (other, _), value in zip(order[:index], last, strict=False)]
        yield and_(*same, one < last[index] if largest else one > last[index])


def _wanted(one: Any, dialect: str, wanted: Any) -> ColumnElement[bool]:
    if wanted is None:
        return one.is_(None)
    if one.info["kind"] == "json":
        if not isinstance(wanted, Mapping):
            raise ValueError(f"{one.name}: of JSON, members can be asked for, as a mapping")
        members = typed(dict[Any, Any], wanted)
        stored(one, members)
        kind = func.jsonb_typeof(one) if dialect == "postgresql" else func.json_type(one)
        return and_(kind == "object", *(_member(one, dialect, *member) for member in members.items()))
    if isinstance(wanted, list | tuple):
        return _one_of(one, typed(list[Any], wanted))
    return one == stored(one, wanted)


def _one_of(one: Any, wanted: Sequence[Any]) -> ColumnElement[bool]:
    if len(wanted) > MAX_LIST:
        raise ValueError(f"{one.name}: a list has at most {MAX_LIST} values, not {len(wanted)}")
    values = [stored(one, value) for value in wanted if value is not None]
    found: list[ColumnElement[bool]] = [one.in_(values)] if values else []
    if len(values) < len(wanted):
        found.append(one.is_(None))
    return or_(*found) if found else false()


def _member(one: Any, dialect: str, key: Any, value: Any) -> ColumnElement[bool]:
    """That the object in a JSON column has a member."""
    if not isinstance(key, str) or not isinstance(value, str | int | float | bool | None):
        raise ValueError(f"{one.name}: a member has a text as key, and a text, number, true, false or null")
    if dialect == "postgresql":
        text = json.dumps(value, ensure_ascii=False)
        found = type_coerce(one, JSONB)[key]
        return found == cast(bindparam(None, text, Text), JSONB)
    member = func.json_each(one).table_valued("key", "type", "atom", name="member")
    fits = [member.c.key == key, member.c.type.in_(_sqlite_types(value))]
    if not isinstance(value, bool | None):
        fits.append(member.c.atom == value)
    return exists(select(1).select_from(member).where(*fits).correlate_except(member))


def _sqlite_types(value: Any) -> list[str]:
    if value is None:
        return ["null"]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    return ["text"] if isinstance(value, str) else ["integer", "real"]
