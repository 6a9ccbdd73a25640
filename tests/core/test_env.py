"""References to environment variables."""

import pytest

from specstack.env import EnvError, expand, references

ENV = {"A": "va", "B": "vb", "EMPTY": "", "TRICK": "${env.A}", "J": '{"k": 1}'}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("${env.A}", "va"),
        ("x-${env.A}-${env.B}-y", "x-va-vb-y"),
        ("${env.A}${env.B}", "vavb"),
        ("${env.NO:=d}", "d"),
        ("${env.EMPTY:=d}", "d"),
        ("${env.A:=d}", "va"),
        ("${env.NO:=}", ""),
        ("${env.A:+on}", "on"),
        ("${env.NO:+on}", ""),
        ("${env.EMPTY:+on}", ""),
        ("${env.NO:+on}-suffix", "-suffix"),
        ("${env.NO:=${env.ALSO_NO:=${env.B}}}", "vb"),
        ("${env.A:+${env.B}!}", "vb!"),
        ('${env.NO:={"k": {"l": 1}}}', '{"k": {"l": 1}}'),
        ("${env.J}", '{"k": 1}'),
        ("${env.NO:=http://h:1/v1}", "http://h:1/v1"),
        ("$${env.A}", "${env.A}"),
        ("$${env.A} ${env.A}", "${env.A} va"),
        ("${A} $A $ {env.A}", "${A} $A $ {env.A}"),
        ("${env.TRICK}", "${env.A}"),
        ("${env.NO:=${env.TRICK}}", "${env.A}"),
    ],
)
def test_expansion(text: str, expected: str) -> None:
    assert expand(text, ENV).text == expected


@pytest.mark.parametrize(("text", "dynamic"), [("a", False), ("$${env.A}", False), ("${env.A}", True)])
def test_dynamic_says_whether_a_reference_was_there(text: str, dynamic: bool) -> None:
    assert expand(text, ENV).dynamic is dynamic


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "${env.NO}",
            "environment variable NO is not set or empty; set it, or give a default: ${env.NO:=value}",
        ),
        ("${env.EMPTY}", "environment variable EMPTY is not set or empty"),
        ("${env.NO:=${env.ALSO_NO}}", "environment variable ALSO_NO is not set or empty"),
        ("${env.A:-d}", "'${env.A' is not a reference; write ${env.A}, ${env.A:=default} or ${env.A:+text}"),
        ("${env.A:}", "'${env.A' is not a reference"),
        ("${env.A b}", "'${env.A b' is not a reference"),
        ("${env.}", "'${env.' names no variable; write ${env.NAME}"),
        ("${env.1}", "'${env.1' names no variable"),
        ("${env.A", "'${env.A' is not a reference"),
        ("${env.NO:=s3cret", "'${env.NO' has no closing brace"),
    ],
)
def test_faults(text: str, message: str) -> None:
    with pytest.raises(EnvError) as caught:
        expand(text, ENV)
    assert str(caught.value).startswith(message)
    assert "s3cret" not in str(caught.value)


def test_a_branch_that_is_not_taken_is_not_expanded() -> None:
    assert expand("${env.A:=${env.NO}}", ENV).text == "va"
    assert expand("${env.NO:+${env.ALSO_NO}}", ENV).text == ""


@pytest.mark.parametrize(
    ("text", "given", "absent"),
    [
        ("plain", (), ()),
        ("${env.A}", ("A",), ()),
        ("${env.A}${env.B}${env.A}", ("A", "B"), ()),
        ("${env.NO:=d}", (), ("NO",)),
        ("${env.A:=${env.B}}", ("A",), ()),
        ("${env.NO:=${env.B}}", ("B",), ("NO",)),
        ("${env.NO:+${env.B}}", (), ("NO",)),
        ("${env.A:+${env.ALSO_NO:=x}}", ("A",), ("ALSO_NO",)),
        ("$${env.A}", (), ()),
    ],
)
def test_the_variables_that_were_looked_at(
    text: str, given: tuple[str, ...], absent: tuple[str, ...]
) -> None:
    found = expand(text, ENV)
    assert (found.given, found.absent) == (given, absent)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("plain", []),
        ("$${env.A}", []),
        ("${env.A}", [("A", None)]),
        ("${env.A:=d} ${env.B:+x}", [("A", "d"), ("B", "")]),
        ("${env.A:=${env.B:=c}}", [("A", "${env.B:=c}"), ("B", "c")]),
        ("${env.}", []),
    ],
)
def test_the_variables_that_a_text_may_read(text: str, found: list[tuple[str, str | None]]) -> None:
    assert references(text) == found
