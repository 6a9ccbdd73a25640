"""What a column takes and gives: checked here, since databases differ in what they let pass."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

from specstack_wire import Scope

Check = Callable[[Any, int | None], Any]
MAX_SCOPE = 255
"""Bytes of a tenant and of an owner."""


# Kinds with values of one type that need no other check.
_PLAIN: dict[str, type] = {"bytes": bytes, "boolean": bool}
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class ColumnLike(Protocol):
    """The part of a generated column that says what it takes."""

    @property
    def name(self) -> str: ...
    @property
    def nullable(self) -> bool | None: ...
    @property
    def info(self) -> Any: ...


def stored(column: ColumnLike, value: Any) -> Any:
    """The value as databases get it; JSON as text. Raises ValueError for what the column does not take."""
    return Filler([column]).filled({column.name: value})[0]


class Filler:
    """Rows of some columns, as databases get them."""

    def __init__(self, columns: Iterable[ColumnLike]) -> None:
        self._columns = [
            (
                one.name,
                CHECKS[one.info["kind"]],
                _PLAIN.get(one.info["kind"]),
                one.info["max_length"],
                one.nullable,
                one.info["default"],
            )
            for one in columns
        ]
        self.names = frozenset(name for name, *_ in self._columns)

    def filled(self, given: Mapping[str, Any], before: Sequence[Any] = ()) -> list[Any]:
        """`before` and the values of a row in the order of the columns, with defaults where `given` has none.

        Raises ValueError for what a column does not take, and LookupError for columns that are none of these.
        """
        found = list(before)
        used = 0
        name = ""
        try:
            for name, check, plain, longest, nullable, default in self._columns:
                if name in given:
                    used += 1
                    value = given[name]
                else:
                    value = default
                if type(value) is plain:
                    found.append(value)
                elif value is not None:
                    found.append(check(value, longest))
                elif nullable:
                    found.append(None)
                else:
                    raise ValueError("may not be null")
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{name}: {error}") from None
        if used < len(given):
            raise LookupError(next(name for name in given if name not in self.names))
        return found


def checked_scope(scope: Scope) -> Scope:
    """The scope. Raises ValueError for a tenant or owner that no database takes."""
    for name, what in ((scope.tenant, "tenant"), (scope.owner, "owner")):
        if len(_text(name, None).encode()) > MAX_SCOPE:
            raise ValueError(f"{what}: has at most {MAX_SCOPE} bytes")
    return scope


def _text(value: Any, longest: int | None) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be text, not {type(value).__name__}")
    if "\0" in value:
        raise ValueError("must have no NUL, which PostgreSQL's text cannot hold")
    _check_unicode(value)
    if longest is not None and len(value) > longest:
        raise ValueError(f"has at most {longest} characters, not {len(value)}")
    return value


def _integer(value: Any, longest: int | None) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"must be an integer, not {type(value).__name__}")
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{value} is no integer of 64 bits")
    return value


def _number(value: Any, longest: int | None) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a number, not {type(value).__name__}")
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return float(value)


def _boolean(value: Any, longest: int | None) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {type(value).__name__}")
    return value


def _bytes(value: Any, longest: int | None) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError(f"must be bytes, not {type(value).__name__}")
    return value


def _json(value: Any, longest: int | None) -> str:
    text = _encode(value)
    if "\\u0000" in text and _has_nul(value):
        raise ValueError("must have no NUL in its texts, which PostgreSQL's JSON cannot hold")
    _check_unicode(text)
    return text


def _check_unicode(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must be valid Unicode") from None


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        members = cast(dict[Any, Any], value)
        return any(_has_nul(key) or _has_nul(one) for key, one in members.items())
    return isinstance(value, list | tuple) and any(map(_has_nul, cast(list[Any], value)))


CHECKS: dict[str, Check] = {
    "string": _text,
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "bytes": _bytes,
    "json": _json,
}
