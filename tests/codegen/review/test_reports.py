"""The forms of a review, and the exit code."""

import datetime
import html.parser
import json
import shutil
from pathlib import Path

import pytest

from specstack_codegen.review.command import Outcome, Request, run
from support.codegen import REPOSITORY

TODAY = datetime.date(2026, 11, 22)
EDITS = {
    "openapi/models.yaml": [
        ("enum: [llm, embedding, rerank]\n          default", "enum: [llm, embedding]\n          default"),
        ("operationId: listModels", "operationId: listAllModels"),
        ("summary: List models", "summary: List <b>all</b> `models`"),
    ],
    "openapi/inference.yaml": [
        (
            "          minimum: 0\n          description: The number of the item",
            "          description: The number of the item",
        ),
        ("x-aliases: [/v1alpha/inference/rerank]", "x-aliases: [/v1alpha/inference/rerank, /rerank]"),
    ],
    "errors.yaml": [("code: model_conflict", "code: conflict")],
}
APPROVAL = """approvals:
  - rule: error-code-changed
    where: errors
    reason: The word was wrong <since> the first release.
    expires: 2026-12-31
"""


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The real spec, and a copy with edits of every class."""
    folder = tmp_path_factory.mktemp("specs")
    shutil.copytree(REPOSITORY / "spec", folder / "old/spec")
    # What the project has approved of its own changes is no matter of these.
    (folder / "old/spec/approvals.yaml").write_text("approvals: []\n")
    shutil.copytree(REPOSITORY / "spec", folder / "new/spec")
    for file, edits in EDITS.items():
        path = folder / "new/spec" / file
        text = path.read_text()
        for before, after in edits:
            assert before in text, before
            text = text.replace(before, after, 1)
        path.write_text(text)
    (folder / "new/spec/approvals.yaml").write_text(APPROVAL)
    return str(folder / "old"), str(folder / "new")


def outcome(specs: tuple[str, str], form: str = "terminal", **more: object) -> Outcome:
    return run(Request(specs, form, today=TODAY, **more))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("limit", "status"),
    [("breaking", 1), ("source-breaking", 1), ("risky", 1), ("documentation", 1), ("never", 0)],
)
def test_the_exit_code_goes_by_the_class_that_fails(specs: tuple[str, str], limit: str, status: int) -> None:
    assert outcome(specs, fail_on=limit).status == status


def test_what_is_the_same_passes_at_every_level(specs: tuple[str, str]) -> None:
    for limit in ("breaking", "documentation", "never"):
        same = run(Request((specs[0], specs[0]), fail_on=limit))
        assert same.status == 0 and "Nothing changed." in same.text


def test_an_approved_finding_does_not_fail(specs: tuple[str, str], tmp_path: Path) -> None:
    files = [file for file in EDITS if file != "errors.yaml"]
    shutil.copytree(specs[1], tmp_path / "new")
    for file in files:
        shutil.copy(Path(specs[0]) / "spec" / file, tmp_path / "new/spec" / file)
    assert run(Request((specs[0], str(tmp_path / "new")), today=TODAY)).status == 0
    none = tmp_path / "none.yaml"
    none.write_text("approvals: []\n")
    assert run(Request((specs[0], str(tmp_path / "new")), approvals=none, today=TODAY)).status == 1
    later = datetime.date(2027, 1, 1)
    assert run(Request((specs[0], str(tmp_path / "new")), today=later)).status == 1


def test_the_terminal_groups_by_operation_and_gives_both_places(specs: tuple[str, str]) -> None:
    text = outcome(specs).text
    lines = text.splitlines()
    place = lines.index("POST /v1/models  registerModel")
    assert lines[place + 1] == "  breaking  request-enum-value-removed  request.body.model_type"
    assert (
        lines[place + 2]
        == '      "rerank" is no longer admitted: callers that send these values are refused.'
    )
    assert (
        lines[place + 3].strip().startswith("spec/openapi/models.yaml:") and " -> spec/" in lines[place + 3]
    )
    assert "approved until 2026-12-31: The word was wrong" in text
    assert "3 breaking, 1 source-breaking, 1 risky" in text and "1 approved" in text
    assert "1 changes of documentation" not in text and "documentation-changed" not in text
    assert "1 change of documentation is not listed; --all lists it" in text
    assert "documentation-changed" in outcome(specs, everything=True).text
    assert "\x1b[" not in text and "\x1b[31" in outcome(specs, color=True).text


def test_json_is_complete(specs: tuple[str, str]) -> None:
    made = json.loads(outcome(specs, "json").text)
    assert made["fails"] is True and made["tally"]["breaking"] == 3
    by_rule = {one["rule"]: one for one in made["findings"]}
    removed = by_rule["request-enum-value-removed"]
    assert removed["class"] == "breaking" and removed["counts"] is True
    assert removed["places"][0]["where"] == "registerModel"
    assert removed["places"][0]["path"] == "request.body.model_type"
    assert removed["old"]["file"] == removed["new"]["file"] == "spec/openapi/models.yaml"
    approved = by_rule["error-code-changed"]
    assert approved["counts"] is False and approved["approval"]["expires"] == "2026-12-31"
    assert set(by_rule) >= {
        "operation-id-changed",
        "response-bound-loosened",
        "alias-added",
        "documentation-changed",
    }


def test_markdown_shows_what_fails_and_folds_the_rest(specs: tuple[str, str]) -> None:
    text = outcome(specs, "markdown").text
    loud, quiet = text.split("<details>")
    assert text.startswith("## Spec review\n\n**3 findings") or text.startswith(
        "## Spec review\n\n**2 findings"
    )
    assert "- **breaking** `request-enum-value-removed` at `request.body.model_type`" in loud
    assert "### POST /v1/models" in loud and "alias-added" not in loud
    assert "alias-added" in quiet and "approved until 2026-12-31" in quiet and "</details>" in quiet
    assert "\\<since\\>" in quiet, "text of the spec must not become markup"


class Page(html.parser.HTMLParser):
    """Notes what a page holds."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "input", "br", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_stands_alone_and_shows_both_sides(specs: tuple[str, str]) -> None:
    page = Page()
    page.feed(outcome(specs, "html").text)
    assert page.open == []
    names = [tag for tag, _ in page.tags]
    assert not {"link", "img", "iframe", "object"} & set(names)
    assert all("src" not in attributes for _, attributes in page.tags)
    assert dict(page.tags)["html"] == {"lang": "en"} and "title" in names and names.count("h1") == 1
    text = "".join(page.words)
    assert "enum: [llm, embedding, rerank]" in text and "enum: [llm, embedding]" in text
    assert "summary: List <b>all</b> `models`" in text, "text of the spec must not become markup"
    assert "Approved until 2026-12-31: The word was wrong" in text, "reasons are shown as they were written"
    levels = {attributes.get("data-level") for tag, attributes in page.tags if tag == "article"}
    assert levels == {"breaking", "source-breaking", "risky", "compatible", "documentation"}


def test_names_neither_break_lines_nor_steer_a_terminal(tmp_path: Path) -> None:
    name = "a\x1b[31m\n\n::error::b\u202e"
    for side, properties in (("old", {}), ("new", {name: {"type": "string"}})):
        schema = {"type": "object", "properties": properties}
        operation = {"requestBody": {"content": {"application/json": {"schema": schema}}}, "responses": {}}
        document = {
            "openapi": "3.1.0",
            "info": {"title": "t", "version": "1"},
            "paths": {"/a": {"post": operation}},
        }
        (tmp_path / f"{side}.json").write_text(json.dumps(document))
    for form in ("terminal", "markdown", "html", "json"):
        text = run(Request((str(tmp_path / "old.json"), str(tmp_path / "new.json")), form)).text
        found = [line for line in text.splitlines() if "31m" in line and "new" in line]
        assert found and all("::error::b" in line and line.isprintable() for line in found), (form, found)
