"""The tables of one store, as SqlStore has them."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from specstack.descriptors import SqlTable
from specstack.storage.sql.base import SqlBackend, Work
from specstack.storage.sql.insertion import Insertion
from specstack_wire import Owned, Scope

if TYPE_CHECKING:
    from sqlalchemy import Table

Row = dict[str, Any]
Values = Mapping[str, Any]


class Tables:
    """A SqlStore over a backend. Everything but waiting happens in the backend's threads."""

    def __init__(self, backend: SqlBackend, tables: Sequence[SqlTable]) -> None:
        self.backend = backend
        self._specs = {table.name: table for table in tables}
        self._tables: dict[str, _Table] = {}
        self._insertions: dict[str, Insertion] = {}

    async def insert(self, table: str, rows: Sequence[Owned]) -> None:
        """Write all of the rows or none."""
        insertion = self._insertion(table)
        await self.backend.insert(lambda: insertion.statements(rows))

    async def get(self, scope: Scope, table: str, where: Values, *, order: Sequence[str] = ()) -> Row | None:
        """The first row that fits, or None."""
        found = await self.select(scope, table, where=where, order=order, limit=1)
        return found[0] if found else None

    async def select(
        self,
        scope: Scope,
        table: str,
        *,
        where: Values | None = None,
        order: Sequence[str] = (),
        after: Values | None = None,
        limit: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> list[Row]:
        """The rows that fit, in order."""
        if limit is not None and limit < 1:
            raise ValueError(f"a limit is at least 1, not {limit}")
        return await self.backend.read(
            lambda: self._table(table).select(scope, where, order, after, limit, columns)
        )

    async def update(self, scope: Scope, table: str, where: Values, values: Values) -> int:
        """Change columns of every row that fits."""
        return await self.backend.write(lambda: self._table(table).update(scope, where, values))

    async def delete(self, scope: Scope, table: str, where: Values) -> int:
        """Remove every row that fits."""
        return await self.backend.write(lambda: self._table(table).delete(scope, where))

    async def count(self, scope: Scope, table: str, where: Values | None = None) -> int:
        """How many rows fit."""
        return await self.backend.read(lambda: self._table(table).count(scope, where))

    def _spec(self, name: str) -> SqlTable:
        if name not in self._specs:
            raise ValueError(f"there is no table {name!r} in this store")
        return self._specs[name]

    def _insertion(self, name: str) -> Insertion:
        if name not in self._insertions:
            self._insertions[name] = Insertion(self._spec(name), self.backend.dialect)
        return self._insertions[name]

    def _table(self, name: str) -> "_Table":
        if name not in self._tables:
            module, _, model = self._spec(name).model.partition(":")
            made = getattr(import_module(module), model).__table__
            self._tables[name] = _Table(made, self.backend.dialect)
        return self._tables[name]


class _Table:
    """One table: what is done to rows that are there, as work for a connection."""

    def __init__(self, table: "Table", dialect: str) -> None:
        from specstack.storage.sql import statements

        self._make = statements
        self._table = table
        self._dialect = dialect
        self._columns = [one for one in table.c if one.name not in statements.SCOPE]

    def select(
        self,
        scope: Scope,
        where: Values | None,
        order: Sequence[str],
        after: Values | None,
        limit: int | None,
        columns: Sequence[str] | None,
    ) -> Work[list[Row]]:
        from sqlalchemy import select

        make = self._make
        wanted = self._columns if columns is None else [make.column(self._table, name) for name in columns]
        if not wanted:
            raise ValueError("there is no column to give")
        ways = make.ordering(self._table, order)
        statement = select(*wanted).where(self._fits(scope, where)).order_by(*make.sorted_by(ways))
        if after is not None:
            statement = statement.where(make.behind(ways, after))
        statement = statement.limit(limit)
        return lambda db: [dict(row) for row in db.execute(statement).mappings()]

    def update(self, scope: Scope, where: Values, values: Values) -> Work[int]:
        changed: Row = {}
        for name, value in values.items():
            one = self._make.column(self._table, name)
            if one.info["auto"]:
                raise ValueError(f"{name}: the database counts it up")
            changed[name] = self._make.assigned(one, self._dialect, value)
        if not changed:
            raise ValueError("there is no column to change")
        statement = self._table.update().where(self._fits(scope, where)).values(changed)
        return lambda db: db.execute(statement).rowcount

    def delete(self, scope: Scope, where: Values) -> Work[int]:
        statement = self._table.delete().where(self._fits(scope, where))
        return lambda db: db.execute(statement).rowcount

    def count(self, scope: Scope, where: Values | None) -> Work[int]:
        from sqlalchemy import func, select

        statement = select(func.count()).select_from(self._table).where(self._fits(scope, where))
        return lambda db: db.execute(statement).scalar_one()

    def _fits(self, scope: Scope, where: Values | None) -> Any:
        return self._make.condition(self._table, self._dialect, scope, where)
