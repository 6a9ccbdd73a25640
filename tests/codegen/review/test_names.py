"""Names that run configs take from elsewhere in the spec, where an edit of one place does not show it."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from specstack_codegen.bundle import Spec
from specstack_codegen.ir import PROVIDER_MODES
from specstack_codegen.review.review import review
from specstack_codegen.review.sides import Side, read_path
from specstack_codegen.source import Map, Position, positionless
from support.codegen import REPOSITORY
from support.mutations import Mutation, edited, places, seen

NOTHING = Mutation("", "schemas", {}, ())


@pytest.fixture(scope="module")
def base() -> Side:
    return read_path(REPOSITORY / "spec", "base")


def served_by(side: Side, api: str, serve: dict[str, Any]) -> Side:
    """The side with all provider operations of an API served otherwise, and nothing announced for it."""
    changed = edited(side, NOTHING)
    for node in changed.spec.operations():
        home = node.value.pos.file.endswith(f"/{api}.yaml")
        if home and node.value.map("x-serve").text("mode") in PROVIDER_MODES:
            node.value["x-serve"] = positionless(serve)
    for resource in changed.spec.resources["resources"].values():
        if resource["routes"] == api:
            del resource["discover"]
    return changed


def test_an_api_that_has_no_providers_any_more_is_no_key_of_providers(base: Side) -> None:
    result = review(base, served_by(base, "inference", {"mode": "service", "service": "inspect"}))
    (named,) = [one for one in result.findings if one.rule == "config-name-removed"]
    assert places(named) == ["breaking config-name-removed config config.providers.*"]
    assert "has no providers any more" in named.text


def test_an_api_that_providers_serve_otherwise_is_named_as_before(base: Side) -> None:
    result = review(base, served_by(base, "inference", {"mode": "provider"}))
    assert {one.rule for one in result.findings if one.rule.startswith("config-")} == set()


def test_one_name_in_several_places_is_one_finding(base: Side) -> None:
    changed = edited(base, Mutation("", "api/inference/x-api", {"set": {"name": "generation"}}, ()))
    (named,) = review(base, changed).findings
    assert [one.path for one in named.places] == [
        "config.apis[*]",
        "config.server.quota.operations[*]",
        "config.providers.*",
    ]
    assert str(named.old).startswith("spec/openapi/inference.yaml:") and named.new == named.old
    assert named.text == "the API `inference` is called `generation`"


def test_an_api_in_a_file_of_another_name_is_found_by_its_operations(base: Side, tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "spec", tmp_path / "spec")
    file = tmp_path / "spec/openapi/providers.yaml"
    text = file.read_text().replace("  name: providers\n", "  name: backends\n")
    file.rename(file.with_name("backends.yaml")).write_text(text)
    found = [one for one in review(base, read_path(tmp_path, "new")).findings if one.level]
    assert [one.text for one in found] == ["the API `providers` is called `backends`"]
    assert str(found[0].new).startswith("spec/openapi/backends.yaml:")


@pytest.mark.parametrize(("stability", "excuse"), [("experimental", "experimental"), ("deprecated", "")])
def test_the_name_of_what_may_break_may_go(base: Side, stability: str, excuse: str) -> None:
    start = edited(base, Mutation("", "operation/rerank", {"set": {"x-stability": stability}}, ()))
    changed = edited(start, Mutation("", "operation/rerank", {"set": {"operationId": "reorder"}}, ()))
    found = {one.rule: one.excuse for one in review(start, changed).findings}
    expected = excuse or "deprecated before"
    assert found["config-name-removed"] == expected


def test_an_operation_that_moves_to_another_api_moves_for_those_who_write_providers(base: Side) -> None:
    changed = edited(base, NOTHING)
    item = changed.spec.openapi["paths"]["/v1/rerank"]
    item.key_pos["post"] = Position("spec/openapi/models.yaml", 9, 1)
    assert list(seen(review(base, changed).findings)) == [
        # the one that it moved to did not need a provider
        "breaking config-provider-needed config config.apis[*]",
        "source-breaking operation-api-changed rerank",
    ]


def test_without_marks_on_the_old_side_those_of_the_new_one_count(base: Side) -> None:
    """A spec of before there were such marks is compared all the same."""
    unmarked = edited(base, NOTHING)
    for schema in unmarked.spec.config["components"]["schemas"].values():
        schema.pop("x-names", None)
        for value in schema.get("properties", {}).values():
            value.get("items", {}).pop("x-names", None)
    changed = edited(base, Mutation("", "api/models/x-api", {"set": {"name": "catalog"}}, ()))
    assert "config-name-removed" in [one.rule for one in review(unmarked, changed).findings]
    assert {one.rule for one in review(unmarked, edited(base, NOTHING)).findings} == {"config-names-changed"}


def test_settings_that_only_providers_of_others_take_are_compared() -> None:
    def side(limit: int) -> Side:
        group = {"description": "d", "properties": {"n": {"type": "integer", "maximum": limit}}}
        spec = Spec(root=Path("spec"), settings=positionless({"settings": {"locks": group}}))
        return Side("it", spec, frozenset({"providers"}))

    assert list(seen(review(side(3), side(2)).findings)) == [
        "breaking provider-config-bound-tightened locks settings.n"
    ]
    assert list(seen(review(side(2), side(3)).findings)) == [
        "compatible provider-config-bound-loosened locks settings.n"
    ]
    assert isinstance(side(1).spec.settings, Map)
