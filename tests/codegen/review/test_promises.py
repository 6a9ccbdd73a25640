"""What the real spec has no example of: stability of fields, and operations with every kind of promise."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from specstack_codegen.bundle import Spec, read_spec
from specstack_codegen.lint import lint
from specstack_codegen.review.kinds import Level
from specstack_codegen.review.review import Review, review
from specstack_codegen.review.sides import Side
from specstack_codegen.source import positionless
from support.codegen import REPOSITORY
from support.mutations import seen

HERE = Path(__file__).parent
TEXT = {"type": "string"}
JSON = "application/json"


def document(operation: dict[str, Any], **schemas: Any) -> Side:
    """A document with one operation, POST /v1/things."""
    whole = {
        "openapi": "3.2.0",
        "paths": {"/v1/things": {"post": {"operationId": "things", **operation}}},
        "components": {"schemas": schemas},
    }
    spec = Spec(root=REPOSITORY / "spec", openapi=positionless(whole))
    return Side("it", spec, frozenset({"openapi"}))


def compare(old: dict[str, Any], new: dict[str, Any], before: Any = None, after: Any = None) -> list[str]:
    """What is found between two operations; `before` and `after` are their components."""
    return list(seen(found(old, new, before, after).findings))


def found(old: dict[str, Any], new: dict[str, Any], before: Any = None, after: Any = None) -> Review:
    return review(document(old, **(before or {})), document(new, **(after or before or {})))


def body(schema: Any, **more: Any) -> dict[str, Any]:
    return {"requestBody": {"content": {JSON: {"schema": schema}}, **more}}


def reply(schema: Any, status: str = "200", **more: Any) -> dict[str, Any]:
    return {"responses": {status: {"content": {JSON: {"schema": schema}}, **more}}}


def thing(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


OPERATIONS = yaml.safe_load((HERE / "operations.yaml").read_text())
KEYWORDS = yaml.safe_load((HERE / "keywords.yaml").read_text())
REQUESTS = yaml.safe_load((HERE / "requests.yaml").read_text())


@pytest.mark.parametrize("row", OPERATIONS, ids=[row["name"] for row in OPERATIONS])
def test_a_promise_of_an_operation(row: dict[str, Any]) -> None:
    assert compare(row["old"], row["new"], {"A": TEXT}) == row["finds"]


def test_components_that_extensions_name_are_compared() -> None:
    operation = {
        "x-websocket": {"receive": "In", "send": "Out"},
        "x-variant": [{"name": "v", "header": "a", "reply": "Out"}],
    }
    before = {"In": thing(a=TEXT), "Out": thing(a=TEXT)}
    after = {"In": {**thing(a=TEXT), "required": ["a"]}, "Out": thing()}
    assert compare(operation, operation, before, after) == [
        "breaking request-property-required things websocket.receive.a",
        "breaking response-property-removed things websocket.send.a",
    ]


def test_an_operation_that_is_experimental_may_break() -> None:
    old = {**body(thing(a=TEXT)), "x-stability": "experimental"}
    result = found(old, {**body(thing()), "x-stability": "experimental"})
    assert [one.excuse for one in result.findings] == ["experimental"]
    assert result.counted(Level.BREAKING) == []


def test_calling_something_experimental_in_the_same_change_excuses_nothing() -> None:
    result = found(body(thing(a=TEXT)), {**body(thing()), "x-stability": "experimental"})
    assert [one.rule for one in result.counted(Level.BREAKING)] == [
        "stability-lowered",
        "request-property-removed",
    ]


@pytest.mark.parametrize(
    ("marks", "excuse"),
    [
        ({}, ""),
        ({"x-stability": "experimental"}, "experimental"),
        ({"deprecated": True}, "deprecated before"),
    ],
)
def test_a_property_may_go_when_it_was_experimental_or_deprecated(marks: dict[str, Any], excuse: str) -> None:
    result = found(reply(thing(a={**TEXT, **marks})), reply(thing()))
    assert [one.excuse for one in result.findings] == [excuse]
    assert bool(result.counted(Level.BREAKING)) == (not excuse)


def test_what_is_deprecated_may_go_and_not_narrow() -> None:
    old, new = thing(a={**TEXT, "deprecated": True}), thing(a={"type": "integer", "deprecated": True})
    assert len(found(body(old), body(new)).counted(Level.BREAKING)) == 1


def test_everything_in_an_experimental_property_is_experimental() -> None:
    old = thing(a={**thing(b=thing(c=TEXT)), "x-stability": "experimental"})
    new = thing(a={**thing(b=thing(c={"type": "integer"})), "x-stability": "experimental"})
    assert compare(body(old), body(new)) == [
        "breaking request-type-changed things request.body.a.b.c (experimental)"
    ]


def test_a_component_may_be_experimental_wherever_it_is_used() -> None:
    part = {**thing(b=TEXT), "x-stability": "experimental"}
    operation = reply(thing(a={"$ref": "#/components/schemas/Part"}))
    result = found(operation, operation, {"Part": part}, {"Part": {**part, "properties": {}}})
    assert [one.excuse for one in result.findings] == ["experimental"]


@pytest.mark.parametrize(
    ("before", "counts"), [("stable", True), ("deprecated", False), ("experimental", False)]
)
def test_an_operation_is_deprecated_before_it_goes(before: str, counts: bool) -> None:
    old = document({"x-stability": before})
    new = document({})
    new.spec.openapi["paths"].clear()
    assert bool(review(old, new).counted(Level.BREAKING)) == counts


def test_one_edit_that_is_felt_in_two_places_is_one_finding() -> None:
    operation = {**body({"$ref": "#/components/schemas/A"}), **reply({"$ref": "#/components/schemas/A"})}
    result = found(operation, operation, {"A": thing(a=TEXT, b=TEXT)}, {"A": thing(a=TEXT)})
    rules = [(one.rule, len(one.places)) for one in result.findings]
    assert rules == [("request-property-removed", 1), ("response-property-removed", 1)]


def test_schemas_that_hold_themselves_are_compared() -> None:
    tree = {
        "Tree": thing(name=TEXT, children={"type": "array", "items": {"$ref": "#/components/schemas/Tree"}})
    }
    bare = {"Tree": thing(children={"type": "array", "items": {"$ref": "#/components/schemas/Tree"}})}
    operation = reply({"$ref": "#/components/schemas/Tree"})
    assert compare(operation, operation, tree, bare) == [
        "breaking response-property-removed things response.200.body.name"
    ]


@pytest.mark.parametrize("row", KEYWORDS, ids=[row["rule"] for row in KEYWORDS])
def test_keywords_that_the_spec_does_not_use_yet(row: dict[str, Any]) -> None:
    found = compare(body(row["old"]), body(row["new"]))
    assert f"request-{row['rule']}" in [line.split()[1] for line in found]


@pytest.mark.parametrize("row", REQUESTS, ids=[row["name"] for row in REQUESTS])
def test_a_schema_of_a_request(row: dict[str, Any]) -> None:
    assert sorted(compare(body(row["old"]), body(row["new"]))) == row["finds"]


def test_what_a_text_holds_is_a_promise_to_those_who_read_it() -> None:
    """Events of a stream are described in this way."""
    held, less = ({"type": "string", "contentSchema": thing(**one)} for one in ({"a": TEXT}, {}))
    assert compare(reply(held), reply(less)) == [
        "breaking response-property-removed things response.200.body(json).a"
    ]


def test_a_security_scheme_may_have_another_name() -> None:
    def side(name: str, header: str) -> Side:
        made = document({"security": [{name: []}]})
        scheme = {"type": "apiKey", "in": "header", "name": header, "description": name}
        made.spec.openapi["components"]["securitySchemes"] = positionless({name: scheme})
        return made

    renamed = review(side("Key", "x-key"), side("Token", "x-key"))
    assert list(seen(renamed.findings)) == ["compatible security-scheme-renamed document securitySchemes.Key"]
    other = review(side("Key", "x-key"), side("Token", "x-token"))
    assert "breaking security-tightened things security" in seen(other.findings)


def test_a_stream_told_as_in_openapi_3_1_is_the_same_stream() -> None:
    """3.1 gives the schema of an event's data, 3.2 that of the whole event."""
    data = {"$ref": "#/components/schemas/Piece"}
    event = thing(data={"type": "string", "contentMediaType": JSON, "contentSchema": data})
    before = {"responses": {"200": {"content": {"text/event-stream": {"schema": data}}}}}
    after = {"responses": {"200": {"content": {"text/event-stream": {"itemSchema": event}}}}}
    assert compare(before, after, {"Piece": thing(a=TEXT)}) == []
    assert compare(before, after, {"Piece": thing(a=TEXT)}, {"Piece": thing()}) == [
        "breaking response-property-removed things response.200.body.a"
    ]


def test_what_a_union_says_of_itself_is_said_once() -> None:
    branches = [thing(k={"const": "a"}), thing(k={"const": "b"})]
    before, after = {"oneOf": branches}, {"oneOf": branches, "discriminator": {"propertyName": "k"}}
    assert compare(body(before), body(after)) == [
        "source-breaking request-discriminator-changed things request.body"
    ]
    assert compare(body({"anyOf": branches}), body({"anyOf": branches, "default": {}})) == [
        "compatible request-default-added things request.body"
    ]
    marked = [branches[0], {**branches[1], "deprecated": True}]
    assert compare(body({"oneOf": branches}), body({"oneOf": marked})) == [
        "compatible request-deprecated things request.body"
    ]


def test_lint_admits_stability_on_properties_and_parameters(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "spec", tmp_path / "spec")
    for file, key in (("inference", "        max_num_results:\n"), ("models", "    ModelId:\n")):
        path = tmp_path / f"spec/openapi/{file}.yaml"
        indent = " " * (len(key) - len(key.lstrip()) + 2)
        path.write_text(path.read_text().replace(key, f"{key}{indent}x-stability: experimental\n", 1))
    assert lint(read_spec(tmp_path / "spec")) == []
    path.write_text(path.read_text().replace("x-stability: experimental", "x-stability: maybe"))
    assert [one.rule for one in lint(read_spec(tmp_path / "spec"))] == ["extension-schema"]
