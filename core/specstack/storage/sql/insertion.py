"""New rows as statements of the driver: a server that only keeps rows never loads SQLAlchemy."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import Any

from specstack.descriptors import SqlTable
from specstack.storage.sql.batches import Batches
from specstack.storage.sql.values import Filler, checked_scope
from specstack_wire import Owned, OwnedColumns, Scope

Statement = tuple[str, Sequence[Any]]
"""SQL with places for values, and the values."""

TOGETHER = (64, 8, 1)
"""Rows in one statement: after each, the thread waits for the interpreter, which a busy loop seldom frees."""
_SCOPE = ("tenant", "owner")
_INSERT = {"sqlite": "INSERT OR ROLLBACK"}
"""What fails undoes its whole transaction: SQLite need not write down how to undo one statement of it."""
_CASTS = {"string": "VARCHAR", "text": "VARCHAR", "integer": "BIGINT", "json": "JSONB"}
"""Types that PostgreSQL would not find out by itself where many rows come in one statement."""


class Insertion:
    """Puts rows into one table."""

    def __init__(self, table: SqlTable, dialect: str) -> None:
        written = [one for one in table.columns if not one.auto]
        self._names = frozenset(one.name for one in table.columns)
        self._filler = Filler(written)
        self._batches = Batches(written)
        kinds = ["string", "string", *(one.kind for one in written)]
        names = ", ".join(f'"{name}"' for name in (*_SCOPE, *(one.name for one in written)))
        row = f"({', '.join(_place(kind, dialect) for kind in kinds)})"
        head = f"{_INSERT.get(dialect, 'INSERT')} INTO {table.table} ({names}) VALUES "
        self._texts = [(many, head + ", ".join([row] * many)) for many in TOGETHER]

    def statements(self, rows: Sequence[Owned]) -> Iterator[Statement]:
        """What puts the rows in. Raises ValueError, at once, for a row that the table does not take."""
        return self._cut(self._checked(rows))

    def _checked(self, rows: Sequence[Owned]) -> Sequence[Sequence[Any]]:
        if not rows:
            return ()
        if isinstance(rows, OwnedColumns):
            scopes, columns = rows.scopes, self._batches.held(rows.values)
        else:
            scopes, given = zip(*rows, strict=True)
            columns = self._batches.columns(given)
        tenants, owners = _names(scopes)
        if columns is None:
            return [self._row(row.values, row.scope) for row in rows]
        return list(zip(tenants, owners, *columns, strict=True))

    def _cut(self, values: Sequence[Sequence[Any]]) -> Iterator[Statement]:
        at = 0
        for many, text in self._texts:
            while len(values) - at >= many:
                yield text, tuple(chain.from_iterable(values[at : at + many]))
                at += many

    def _row(self, given: Mapping[str, Any], scope: Scope) -> Sequence[Any]:
        try:
            return self._filler.filled(given, (scope.tenant, scope.owner))
        except LookupError as unknown:
            name = str(unknown.args[0])
            if name in self._names:
                raise ValueError(f"{name}: the database counts it up") from None
            raise ValueError(f"there is no column {name!r}") from None


def _names(scopes: Sequence[Scope]) -> tuple[Iterable[str], Iterable[str]]:
    """The tenants and the owners, checked."""
    first = checked_scope(scopes[0])
    # Rows that come together are often one caller's, whose scope is one object.
    if scopes.count(first) == len(scopes):
        return repeat(first.tenant, len(scopes)), repeat(first.owner, len(scopes))
    for scope in scopes:
        checked_scope(scope)
    return [one.tenant for one in scopes], [one.owner for one in scopes]


def _place(kind: str, dialect: str) -> str:
    if dialect == "sqlite":
        return "?"
    return f"%s::{_CASTS[kind]}" if kind in _CASTS else "%s"
