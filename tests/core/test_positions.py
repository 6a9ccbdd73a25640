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


def laughs(line: str, join: str) -> str:
    """A document in which each of many levels names the one before ten times."""
    levels = [f"a0: &a0 {line}"]
    for n in range(1, 12):
        levels.append(f"a{n}: &a{n} {join.format(', '.join([f'*a{n - 1}'] * 10))}")
    return "\n".join(levels)


def test_aliases_may_not_multiply_without_end() -> None:
    with pytest.raises(YamlError, match="comes to more than 200000 values"):
        load(laughs("[x, x]", "[{}]"))


def test_merges_of_merges_do_not_multiply() -> None:
    assert load(laughs("{k: 1, l: 2}", "{{<<: [{}]}}"))["a11"] == {"k": 1, "l": 2}


def test_nesting_has_an_end() -> None:
    assert load("[" * 99 + "]" * 99)
    with pytest.raises(YamlError, match="nested too deeply"):
        load("[" * 150 + "]" * 150)
