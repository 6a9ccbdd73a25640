"""The columns of generated tables: what each type of the spec is in a database."""

from typing import Any, Literal

from sqlalchemy import JSON, BigInteger, Boolean, Column, Double, Integer, LargeBinary, String, Text
from sqlalchemy.dialects.postgresql import JSONB, TEXT, VARCHAR
from sqlalchemy.types import TypeEngine

Kind = Literal["string", "text", "integer", "number", "boolean", "json", "bytes"]


def column(
    name: str,
    kind: Kind,
    *,
    max_length: int | None = None,
    nullable: bool = False,
    default: Any = None,
    primary_key: bool = False,
    auto: bool = False,
) -> Column[Any]:
    """A column of a type of the spec; the store reads that type again from `info["kind"]`.

    `default` is the store's to put in: it stands in `info["default"]` and is none of the database's.
    """
    info = {"kind": kind, "max_length": max_length, "default": default, "auto": auto}
    return Column(
        name,
        _type(kind, max_length),
        nullable=nullable,
        primary_key=primary_key,
        autoincrement=auto,
        info=info,
    )


def _type(kind: Kind, max_length: int | None) -> TypeEngine[Any]:
    # Text is compared by its bytes, whatever the collation of the database.
    match kind:
        case "string":
            return String(max_length).with_variant(VARCHAR(max_length, collation="C"), "postgresql")
        case "text":
            return Text().with_variant(TEXT(collation="C"), "postgresql")
        case "integer":
            # SQLite counts up only what is called INTEGER; it has 64 bits there.
            return BigInteger().with_variant(Integer(), "sqlite")
        case "number":
            return Double()
        case "boolean":
            return Boolean()
        case "json":
            return JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
        case "bytes":
            return LargeBinary()
