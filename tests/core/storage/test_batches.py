"""Rows that are looked at column by column: the same comes out as of each value by itself, or nothing."""

import random
from typing import Any

import pytest

from specstack.storage.sql.batches import Batches
from specstack.storage.sql.columns import Kind, column
from specstack.storage.sql.values import Filler

COLUMNS = [
    column("s", "string", max_length=4),
    column("t", "text", nullable=True),
    column("i", "integer"),
    column("n", "number", nullable=True),
    column("b", "boolean"),
    column("j", "json", nullable=True),
    column("y", "bytes"),
]
USUAL: dict[str, list[Any]] = {
    "s": ["", "a", "abcd", "\x1f\x7f"],
    "t": [None, "x" * 50],
    "i": [0, -(2**63), 2**63 - 1],
    "n": [None, 0.5, -1.0],
    "b": [True, False],
    "j": [None, {}, {"a": "b"}, {"é": '"\\\n\x01\x7f🙂', "b": "</>"}],
    "y": [b"", b"\0\xff"],
}
ODD: dict[str, list[Any]] = {
    "s": ["abcde", "a\0", "é", "\ud800", 1, None],
    "t": ["\0", "é", "\ud800", b""],
    "i": [2**63, -(2**63) - 1, True, 1.0, "1", None],
    "n": [float("nan"), float("inf"), 1, True, "1"],
    "b": [1, None],
    "j": [{"a": 1}, {"a": "\0"}, {"\0": "a"}, {"a": "\ud800"}, {1: "a"}, {"a": float("nan")}, [], "x"],
    "y": ["", bytearray(b"a"), None],
}


def each(rows: list[dict[str, Any]]) -> list[list[Any]]:
    filler = Filler(COLUMNS)
    return [filler.filled(row) for row in rows]


def rows_of(dice: random.Random) -> list[dict[str, Any]]:
    return [{name: dice.choice(values) for name, values in USUAL.items()} for _ in range(20)]


@pytest.mark.parametrize("seed", range(20))
def test_usual_rows_come_out_as_one_by_one(seed: int) -> None:
    rows = rows_of(random.Random(seed))
    found = Batches(COLUMNS).columns(rows)
    assert found is not None
    assert [list(row) for row in zip(*found, strict=True)] == each(rows)


@pytest.mark.parametrize(("name", "odd"), [(name, odd) for name, values in ODD.items() for odd in values])
def test_one_odd_value_has_each_row_looked_at(name: str, odd: Any) -> None:
    rows = rows_of(random.Random(1))
    rows[7][name] = odd
    assert Batches(COLUMNS).columns(rows) is None


def test_a_row_that_lacks_a_column_or_has_another_has_each_row_looked_at() -> None:
    rows = rows_of(random.Random(1))
    less, other = dict(rows[0]), dict(rows[0])
    del less["t"]
    other["u"] = other.pop("t")
    for odd in (less, other, {**rows[0], "u": 1}):
        assert Batches(COLUMNS).columns([*rows, odd]) is None


@pytest.mark.parametrize("kind", ["string", "json"])
def test_one_column_or_none(kind: Kind) -> None:
    assert Batches([column("a", kind, nullable=True)]).columns([{"a": None}, {"a": None}]) == [(None, None)]
    assert Batches([]).columns([{}, {}]) is None
