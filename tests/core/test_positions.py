"""YAML with positions."""

from typing import Any

import pytest

from specstack.positions import YamlError, line_of, load


def test_lines_of_keys_and_items() -> None:
    root = load("a: 1\nb:\n  - x\n  - k: v\n\n    l: w\n")
    assert root == {"a": 1, "b": ["x", {"k": "v", "l": "w"}]}
    assert line_of(root, ("a",)) == 1
    assert line_of(root, ("b", 0)) == 3
    assert line_of(root, ("b", 1, "l")) == 6
    assert line_of(root, ("b", 1, "absent", "deeper")) == 4


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("0012", "0012"),
        ("12", 12),
        ("-1.5e3", -1500.0),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("~", None),
        ("", None),
        ("'12'", "12"),
        ("1.10.0", "1.10.0"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    found = load(f"k: {text}")["k"]
    assert (found, type(found)) == (value, type(value))


def test_anchors_and_merges() -> None:
    assert load("a: &a {x: 1}\nb:\n  <<: *a\n  y: 2\n")["b"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: 2\na: 3", 3, "the key 'a' stands twice, first in line 1"),
        ("a:\n  - [", 2, "did not find expected node content"),
        ("a: !thing 1", 1, "the tag !thing is not supported"),
        ("a: &a [*a]", 1, "an alias refers to the mapping or list that holds it"),
        ("? [a]\n: 1", 1, "a key must be a plain string"),
        ("a: !!int x", 1, "'x' is no int"),
    ],
)
def test_faults_have_a_line(text: str, line: int, message: str) -> None:
    with pytest.raises(YamlError) as caught:
        load(text)
    assert (caught.value.line, str(caught.value)) == (line, message)
