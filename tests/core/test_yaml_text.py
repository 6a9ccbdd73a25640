"""What is written as YAML is read back as it was, by our reader and by PyYAML's."""

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from specstack.positions import load
from specstack.yaml_text import yaml_lines, yaml_scalar

TEXTS = [
    "",
    " ",
    "a",
    "yes",
    "No",
    "null",
    "~",
    "12",
    "0012",
    "1.5",
    "1e3",
    "true",
    "- a",
    "-",
    "a: b",
    "a:b",
    "a:",
]
TEXTS += [
    "a #b",
    "a#b",
    "#a",
    "*a",
    "&a",
    "!a",
    "|",
    ">",
    "'a'",
    '"a"',
    "a\nb",
    "a\tb",
    "ä",
    "{}",
    "[]",
    "{a",
    "[a",
]
TEXTS += [
    "${env.A:=http://h:1/v1}",
    "${env.A:+x} y",
    "https://u:p@h/v1?a=b#c",
    "%a",
    "@a",
    "`a",
    "<<",
    "=",
    "?",
    ",",
]
TEXTS += [
    "2001-01-01",
    "12:30",
    "0x1f",
    "0o7",
    "1_000",
    ".5",
    "+1",
    "a\x85b",
    "\u2028",
    "\U0001f600",
    "a,b",
    "a]b",
]


@pytest.mark.parametrize("text", TEXTS)
def test_text_keeps_its_value(text: str) -> None:
    assert load(f"k: {yaml_scalar(text)}  # c\n") == {"k": text}
    assert load(f"{yaml_scalar(text)}: 1\n") == {text: 1} or text == "<<"
    assert load(f"- {yaml_scalar(text)}\n") == [text]


@pytest.mark.parametrize(
    "text", ["a", "remote::ollama", "http://h:1/v1", "${env.A:=b}", "v2", "a b", "a.b-c_d"]
)
def test_plain_text_has_no_quotes(text: str) -> None:
    assert yaml_scalar(text) == text


VALUES: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from(TEXTS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_anything_is_read_back(value: Any) -> None:
    text = "\n".join(yaml_lines({"top": value})) + "\n"
    assert load(text) == {"top": value}
    assert yaml.safe_load(text) == {"top": value}
