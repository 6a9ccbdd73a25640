"""Exceptions: what they excuse, when they end, and that they must be of use."""

import datetime
from pathlib import Path
from typing import Any

import pytest

from specstack_codegen.bundle import read_spec
from specstack_codegen.lint import lint
from specstack_codegen.review.approvals import Approval, approvals_in, read_approvals
from specstack_codegen.review.errors import ReviewError
from specstack_codegen.review.kinds import Level
from specstack_codegen.review.review import Review, review
from specstack_codegen.review.sides import Side, read_path
from specstack_codegen.source import positionless
from support.codegen import REPOSITORY
from support.mutations import Mutation, edited

TODAY = datetime.date(2026, 11, 22)
RULE, PATH = "response-property-removed", "response.200.body.data[*].owned_by"
USERS = ["listModels", "registerModel", "retrieveModel"]


@pytest.fixture(scope="module")
def sides() -> tuple[Side, Side]:
    base = read_path(REPOSITORY / "spec", "base")
    base.spec.files.setdefault("storage.yaml", positionless({}))
    do = {"delete": ["properties/owned_by"], "drop": {"required": ["owned_by"]}}
    return base, edited(base, Mutation("", "schemas/Model", do, ()))


def approved(sides: tuple[Side, Side], *entries: dict[str, Any]) -> Review:
    filled = [{"reason": "Nobody reads it.", "expires": "2026-12-31", **entry} for entry in entries]
    approvals = approvals_in(positionless({"approvals": filled}), "approvals.yaml", TODAY)
    return review(*sides, approvals, TODAY)


def test_an_approval_excuses_what_it_names_at_every_place(sides: tuple[Side, Side]) -> None:
    result = approved(sides, {"rule": RULE, "where": USERS})
    assert result.counted(Level.BREAKING) == []
    (finding,) = result.findings
    assert finding.approval is not None and finding.approval.reason == "Nobody reads it."


def test_each_place_may_have_an_approval_of_its_own(sides: tuple[Side, Side]) -> None:
    entries = [{"rule": RULE, "where": name} for name in USERS]
    assert approved(sides, *entries).counted(Level.BREAKING) == []


@pytest.mark.parametrize(
    "entry",
    [
        {"rule": RULE, "where": "listModels"},
        {"rule": "response-property-optional", "where": USERS},
        {"rule": RULE, "where": USERS, "path": PATH},
    ],
)
def test_an_approval_of_less_excuses_nothing(sides: tuple[Side, Side], entry: dict[str, Any]) -> None:
    assert [one.rule for one in approved(sides, entry).counted(Level.BREAKING)] == [RULE]


def test_an_approval_holds_on_its_last_day_and_not_after(sides: tuple[Side, Side]) -> None:
    entry = {"rule": RULE, "where": USERS}
    assert approved(sides, {**entry, "expires": "2026-11-22"}).counted(Level.BREAKING) == []
    late = approved(sides, {**entry, "expires": "2026-11-21"})
    assert [one.rule for one in late.counted(Level.BREAKING)] == [RULE]
    assert [one.rule for one in late.findings] == [RULE, "approval-expired"]


def test_an_approval_that_excuses_nothing_is_a_finding_with_its_place(sides: tuple[Side, Side]) -> None:
    entry = {"rule": "operation-removed", "where": "rerank"}
    result = approved(sides, {"rule": RULE, "where": USERS}, entry)
    assert [one.rule for one in result.findings] == [RULE, "approval-unused"]
    assert "operation-removed" in result.findings[1].text and result.findings[1].new is not None
    assert [one.rule for one in result.counted(Level.RISKY)] == ["approval-unused"]


def test_an_approval_holds_for_a_year_at_most(tmp_path: Path) -> None:
    file = tmp_path / "approvals.yaml"
    text = "approvals:\n  - {rule: operation-removed, where: b, reason: because of it, expires: 2026-12-01}\n"
    text += "  - rule: alias-removed\n    where: c\n    reason: because of it\n    expires: 2027-11-22\n"
    file.write_text(text)
    assert len(read_approvals(file, TODAY)) == 2
    with pytest.raises(ReviewError) as refused:
        read_approvals(file, TODAY - datetime.timedelta(1))
    message = "approvals.yaml:6:5: approvals.1.expires: 2027-11-22 is more than a year away"
    assert message in refused.value.lines[0]
    assert "give a day up to 2027-11-21" in refused.value.lines[1]
    # a year after the last of February
    assert len(read_approvals(file, datetime.date(2028, 2, 29))) == 2


def test_an_approval_of_several_places_ends_with_the_first(sides: tuple[Side, Side]) -> None:
    days = [f"2026-12-0{day}" for day in (4, 3, 2)]
    entries = [{"rule": RULE, "where": name, "expires": day} for name, day in zip(USERS, days, strict=True)]
    (finding,) = approved(sides, *entries).findings
    assert finding.approval is not None and finding.approval.expires == datetime.date(2026, 12, 2)


ENTRY = "approvals:\n  - {rule: operation-removed, where: b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{ENTRY}, expires: 2026-01-01}}\n", ":2:5: approvals.approvals.0: the key 'reason'"),
        (f"{ENTRY}, reason: because of it, expires: soon}}\n", "expires"),
        (f"{ENTRY}, reason: because of it, expires: 2026-02-30}}\n", ":2:64: approvals.0.expires: is no day"),
        (
            "approvals:\n  - {rule: alias-removed, where: [], reason: because of it, expires: 2026-02-20}\n",
            "where",
        ),
        ("approvals: [\n", "does not load"),
    ],
)
def test_a_file_in_the_wrong_form_says_where(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "approvals.yaml"
    file.write_text(text)
    with pytest.raises(ReviewError) as refused:
        read_approvals(file, TODAY)
    assert message in refused.value.lines[0]


def test_a_file_gives_its_approvals(tmp_path: Path) -> None:
    file = tmp_path / "approvals.yaml"
    entry = "{rule: alias-removed, where: [c, d], path: e, reason: because of it, expires: 2026-02-20}"
    file.write_text(f"approvals:\n  - {entry}\n")
    (approval,) = read_approvals(file, TODAY)
    assert isinstance(approval, Approval)
    assert (approval.rule, approval.where, approval.path) == ("alias-removed", ("c", "d"), "e")
    assert approval.expires == datetime.date(2026, 2, 20) and approval.pos.line == 2


def test_the_spec_s_own_approvals_are_checked_by_its_lint(tmp_path: Path) -> None:
    spec = read_spec(REPOSITORY / "spec")
    assert [one for one in lint(spec) if "approvals" in one.pos.file] == []
    spec.files["approvals.yaml"] = positionless({"approvals": [{"rule": "A"}]})
    assert any("approvals" in one.message for one in lint(spec))


def test_an_approval_names_a_rule_that_there_is(tmp_path: Path) -> None:
    file = tmp_path / "approvals.yaml"
    entry = "{rule: request-propertyrequired, where: b, reason: because of it, expires: 2026-02-20}"
    file.write_text(f"approvals:\n  - {entry}\n")
    with pytest.raises(ReviewError, match=r"yaml:2:6.*there is no rule 'request-propertyrequired'") as told:
        read_approvals(file, TODAY)
    assert "request-property-required is close to it" in str(told.value)
