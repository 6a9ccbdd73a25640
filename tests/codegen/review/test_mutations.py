"""The golden test of the review: small edits of the real spec, and everything that must be found."""

import functools
from pathlib import Path

import pytest

from specstack_codegen.review.findings import Finding
from specstack_codegen.review.kinds import KINDS, Level
from specstack_codegen.review.review import review
from specstack_codegen.review.rules import PREFIXES, RULES
from specstack_codegen.review.sides import Side, read_path
from specstack_codegen.source import NOWHERE, load_yaml
from support.codegen import REPOSITORY
from support.mutations import Mutation, edited, mutations, unexpected

HERE = Path(__file__).parent
TABLES = {name: mutations(HERE / f"{name}.yaml") for name in ("breaking", "risky", "harmless")}
WORST = {
    "breaking": {Level.BREAKING},
    "risky": {Level.RISKY, Level.SOURCE},
    "harmless": {Level.COMPATIBLE, Level.DOCUMENTATION},
}
CASES = [(table, index) for table, rows in TABLES.items() for index in range(len(rows))]
NAMES = [f"{table}: {TABLES[table][index].name}" for table, index in CASES]


@functools.cache
def base() -> Side:
    """The real spec, with tables to store things in that are the tests' own."""
    side = read_path(REPOSITORY / "spec", "base")
    side.spec.files["storage.yaml"] = load_yaml(HERE / "storage.yaml", HERE)
    return side


@functools.cache
def found(table: str, index: int) -> list[Finding]:
    """What the review finds of an edit."""
    return review(base(), edited(base(), TABLES[table][index])).findings


@pytest.mark.parametrize(("table", "index"), CASES, ids=NAMES)
def test_an_edit_is_found_and_nothing_else(table: str, index: int) -> None:
    findings = found(table, index)
    assert unexpected(findings, TABLES[table][index].finds) == []
    worst = max((one.level for one in findings), default=Level.DOCUMENTATION)
    assert worst in WORST[table], "the edit stands in the wrong table"


@pytest.mark.parametrize(("table", "index"), CASES, ids=NAMES)
def test_every_finding_says_where_and_why(table: str, index: int) -> None:
    for finding in found(table, index):
        assert finding.text and finding.why, finding
        places = [one for one in (finding.old, finding.new) if one is not None]
        assert places and NOWHERE not in places, finding
        for place in places:
            assert place.file.startswith("spec/") or place.file.endswith("storage.yaml"), finding
            assert base().line(place) or place.file.endswith("storage.yaml"), finding


def test_the_tables_are_as_long_as_promised() -> None:
    assert len(TABLES["breaking"]) >= 60 and len(TABLES["harmless"]) >= 30
    for rows in TABLES.values():
        assert len({row.name for row in rows}) == len(rows)


def test_the_edits_leave_the_original_alone() -> None:
    for mutation in TABLES["breaking"][:5]:
        edited(base(), mutation)
    assert review(base(), base()).findings == []


def test_rules_are_worded() -> None:
    """Every rule has a reason that ends a sentence, and no rule of schemas has the name of another."""
    reasons = [verdict.why for verdict in RULES.values()]
    reasons += [verdict.why for kind in KINDS.values() for verdict in (kind.input, kind.output)]
    assert all(reason and not reason.endswith(".") for reason in reasons)
    assert not RULES.keys() & {f"{prefix}-{kind}" for prefix in PREFIXES for kind in KINDS}


def test_a_spec_that_lint_refuses_can_be_compared() -> None:
    for wrong in ({"$ref": 5}, "long", [1]):
        mutation = Mutation("wrong", "storage/tables/notes/columns/title", {"set": {"max_length": wrong}}, ())
        assert review(base(), edited(base(), mutation)).findings
