"""What outlives the server, as the IR has it: stores, and the tables of those with rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from specstack_codegen.source import Position

Kind = Literal["string", "text", "integer", "number", "boolean", "json", "bytes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Something that run configs place in a backend."""

    name: str
    kind: Literal["kv", "sql"]
    description: str
    pos: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column. `default` None means that every row must give a value, unless it is nullable."""

    name: str
    kind: Kind
    nullable: bool
    auto: bool
    max_length: int | None
    default: Any
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table without the columns that every table has. `class_name` is its SQLModel class."""

    name: str
    class_name: str
    api: str
    store: str
    description: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    indexes: tuple[tuple[str, ...], ...]
    unique: tuple[tuple[str, ...], ...]
    pos: Position

    @property
    def counted(self) -> bool:
        """Whether the database counts its primary key up."""
        return any(column.auto for column in self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """All of it. `migrations` is the package with the revisions of the tables, "" where there are none."""

    stores: tuple[Store, ...]
    tables: tuple[Table, ...]
    migrations: str

    @property
    def apis(self) -> tuple[str, ...]:
        """The APIs that have tables."""
        return tuple(dict.fromkeys(table.api for table in self.tables))
