"""Rows that outlive a process: what every SQL backend does alike."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, overload, runtime_checkable

from specstack_wire.kv import Scope

Values = Mapping[str, Any]
"""Columns by name. Integers, text, bytes and what JSON has, as the column's type in the spec says."""


class Owned(NamedTuple):
    """A row to be, and whose it is."""

    scope: Scope
    values: Values


class OwnedColumns(Sequence[Owned]):
    """Rows that come in columns, for who has thousands of them: a store may take these as they are.

    `scopes` has each row's scope, and every column in `values` one value per row; all are of one length.
    """

    __slots__ = ("scopes", "values")

    def __init__(self, scopes: Sequence[Scope], values: Mapping[str, Sequence[Any]]) -> None:
        self.scopes = scopes
        self.values = values

    def __len__(self) -> int:
        return len(self.scopes)

    @overload
    def __getitem__(self, index: int) -> Owned: ...
    @overload
    def __getitem__(self, index: slice) -> "OwnedColumns": ...
    def __getitem__(self, index: int | slice) -> "Owned | OwnedColumns":
        found = {name: column[index] for name, column in self.values.items()}
        if isinstance(index, slice):
            return OwnedColumns(self.scopes[index], found)
        return Owned(self.scopes[index], found)


@runtime_checkable
class SqlStore(Protocol):
    """The tables that the spec's storage document gives to one store, in one database.

    Tables and columns go by their names in the spec. Each row belongs to a tenant and an owner, which the
    store writes and compares itself: whatever `where` says, no row of another scope is seen or changed. Each
    call is one transaction.

    Integers have 64 bits, numbers are finite, and text has no NUL, in JSON neither: PostgreSQL could not hold
    it. A column that the database counts up is read and never written. Columns that a new row leaves out get
    their default, or else null.

    `where` maps columns to what they must be: a value, None, a list for one of at most 1000, or for a JSON
    column a mapping of members that the column's object must have: texts, numbers, true, false or None.
    `order` names columns that are never null, with a `-` in front for the largest first; text is in the order
    of its code points. Rows that are alike in all of them come in any order.

    Raises ValueError for a table, column or value that the spec does not have, and StorageUnavailable.
    """

    async def insert(self, table: str, rows: Sequence[Owned]) -> None:
        """Write all of the rows or none. Raises Conflict for a key that is taken.

        Without rows it only gets ready for those to come.
        """
        ...

    async def get(
        self, scope: Scope, table: str, where: Values, *, order: Sequence[str] = ()
    ) -> dict[str, Any] | None:
        """The first row that fits, or None."""
        ...

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
    ) -> list[dict[str, Any]]:
        """The rows that fit, in order, at most `limit`; of each `columns`, or all of them.

        `after` holds the `order` columns of the last row of the page before: only rows behind it come. Then
        `order` should end in a column that no two rows have alike.
        """
        ...

    async def update(self, scope: Scope, table: str, where: Values, values: Values) -> int:
        """Change the columns in `values` of every row that fits; how many there were. Raises Conflict."""
        ...

    async def delete(self, scope: Scope, table: str, where: Values) -> int:
        """Remove every row that fits; how many there were."""
        ...

    async def count(self, scope: Scope, table: str, where: Values | None = None) -> int:
        """How many rows fit."""
        ...


class Conflict(Exception):
    """A row with that key is there already. Nothing was written."""
