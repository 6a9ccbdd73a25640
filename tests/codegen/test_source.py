"""YAML with positions: every node knows its place, and only what JSON can say is read."""

from pathlib import Path
from typing import Any

import pytest

from specstack_codegen.source import Map, Position, Seq, SpecError, SpecErrors, load_yaml, plain, read_yaml


def load(tmp_path: Path, text: str) -> Map:
    root = tmp_path / "spec"
    root.mkdir(exist_ok=True)
    (root / "a.yaml").write_text(text)
    return load_yaml(root / "a.yaml", root)


def test_every_mapping_key_and_item_has_its_position(tmp_path: Path) -> None:
    value = load(tmp_path, "first: {inner: 1}\nlist:\n  - a\n  -   deep: x\n")
    assert value.at("first") == Position("spec/a.yaml", 1, 1)
    assert value.map("first").pos == Position("spec/a.yaml", 1, 8)
    assert value.map("first").at("inner") == Position("spec/a.yaml", 1, 9)
    assert value.seq("list").pos == Position("spec/a.yaml", 3, 3)
    assert [str(pos) for pos in value.seq("list").item_pos] == ["spec/a.yaml:3:5", "spec/a.yaml:4:7"]
    assert value.seq("list")[1].at("deep") == Position("spec/a.yaml", 4, 7)


def test_an_absent_key_has_the_position_of_its_mapping(tmp_path: Path) -> None:
    value = load(tmp_path, "a:\n  b: 1\n")
    assert value.map("a").at("c") == Position("spec/a.yaml", 2, 3)
    assert value.map("nothing").pos == value.pos
    assert value.map("a").map("b").pos == Position("spec/a.yaml", 2, 3)
    assert value.seq("a") == [] and value.text("a", "none") == "none"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("on", "on"),
        ("yes", "yes"),
        ("no", "no"),
        ("True", "True"),
        ("null", None),
        ("~", None),
        ("", None),
        ("2024-01-02", "2024-01-02"),
        ("12:30", "12:30"),
        ("0o17", "0o17"),
        ("012", 12),
        ("0x1f", 31),
        ("-7", -7),
        ("1_000", "1_000"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("3.2.0", "3.2.0"),
        ('"5"', "5"),
        ('"~"', "~"),
        ("=", "="),
    ],
)
def test_scalars_are_those_of_json(tmp_path: Path, text: str, value: Any) -> None:
    found = load(tmp_path, f"key: {text}\n")["key"]
    assert (found, type(found)) == (value, type(value))


def test_keys_are_always_text(tmp_path: Path) -> None:
    assert list(load(tmp_path, "200: a\ntrue: b\nnull: c\n1.5: d\n")) == ["200", "true", "null", "1.5"]


def test_all_duplicate_keys_of_a_file_are_reported(tmp_path: Path) -> None:
    with pytest.raises(SpecErrors) as raised:
        load(tmp_path, "a: 1\nb:\n  c: 1\n  c: 2\na: 2\n")
    assert [str(error).split("\n")[0] for error in raised.value.errors] == [
        "spec/a.yaml:4:3: duplicate-key: the key 'c' stands twice in one mapping",
        "spec/a.yaml:5:1: duplicate-key: the key 'a' stands twice in one mapping",
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: [1, 2\nb: 3\n", "spec/a.yaml:2:2"),
        ("a: 'open\n", "spec/a.yaml:2:1"),
        ("a: 1\n b: 2\n", "spec/a.yaml:2:3"),
        ("a: @x\n", "spec/a.yaml:1:4"),
        ("a: 1\n---\nb: 2\n", "spec/a.yaml:2:1"),
    ],
)
def test_broken_yaml_is_a_fault_with_its_position(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(SpecErrors) as raised:
        load(tmp_path, text)
    (error,) = raised.value.errors
    assert str(error).startswith(f"{place}: yaml-syntax: ")


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"a: \x00", b"a: \xc3("])
def test_what_is_no_text_is_a_fault(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.yaml").write_bytes(data)
    value, faults = read_yaml(tmp_path / "a.yaml", tmp_path)
    assert value == {}
    assert [fault.rule for fault in faults] == ["yaml-syntax"]


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    _, (fault,) = read_yaml(tmp_path / "none.yaml", tmp_path)
    assert "cannot be read" in fault.message and "exists" in fault.hint


@pytest.mark.parametrize(
    "text", ["a: &x [1]\nb: *x\n", "a: &x 1\nb: *x\n", "<<: {a: 1}\n", "a: !!set {b}\n", "? [a]\n: 1\n"]
)
def test_yaml_beyond_json_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SpecErrors) as raised:
        load(tmp_path, text)
    assert {error.rule for error in raised.value.errors} == {"plain-yaml"}


def test_an_empty_file_is_an_empty_mapping(tmp_path: Path) -> None:
    assert load(tmp_path, "# nothing yet\n") == {}


def test_plain_data_has_no_trace_of_positions(tmp_path: Path) -> None:
    value = plain(load(tmp_path, "a: {b: [1, {c: 2}]}\n"))
    assert value == {"a": {"b": [1, {"c": 2}]}}
    assert (type(value), type(value["a"]["b"]), type(value["a"]["b"][1])) == (dict, list, dict)


def test_errors_are_sorted_rendered_and_reported_once() -> None:
    late = SpecError("b-rule", Position("spec/a.yaml", 9, 1), "wrong", "mend it")
    early = SpecError("a-rule", Position("spec/a.yaml", 2, 1), "bad")
    errors = SpecErrors([late, early, late])
    assert errors.errors == [early, late]
    assert str(errors) == "spec/a.yaml:2:1: a-rule: bad\nspec/a.yaml:9:1: b-rule: wrong\n  hint: mend it"
    assert len(errors) == 2


def test_maps_are_made_by_hand_too() -> None:
    made = Map({"a": 1})
    made.put("b", Seq([1]), Position("x", 3, 4))
    assert made == {"a": 1, "b": [1]}
    assert made.at("b").line == 3
    assert made.seq("b").at(7) == made.seq("b").pos
