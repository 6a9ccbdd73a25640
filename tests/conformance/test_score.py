"""The scorer: what means the same is the same, every change is found and named, deviations are set apart."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from specstack_codegen.bundle import read_spec
from specstack_codegen.score import ratchet, report
from specstack_codegen.score.comparison import KINDS, Fact
from specstack_codegen.score.deviations import of_reference
from specstack_codegen.score.document import Document, comparable, of_spec, read_document
from specstack_codegen.score.score import Score, score
from specstack_codegen.source import SpecErrors, load_yaml, plain, positionless

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OURS = HERE / "reference/ours.yaml"
THEIRS = HERE / "reference/theirs.yaml"


def scored(ours: Path = OURS, theirs: Path = THEIRS, deviations: Path | None = None) -> Score:
    meant = load_yaml(deviations, deviations.parent) if deviations else None
    document = read_document(theirs)
    return score(read_document(ours), document, of_reference(meant, document.name))


def differences(found: Score) -> set[tuple[str, str]]:
    return {(fact.kind, fact.where) for fact in found.differing}


def test_what_is_said_differently_and_means_the_same_is_the_same() -> None:
    found = scored()
    assert differences(found) == set()
    orders = {one.name: one for one in found.categories}["Orders"]
    assert (len(orders.served), orders.percent, orders.strict_percent) == (3, 100, 100)
    assert orders.compared == orders.same > 70


def test_operations_that_we_do_not_have_are_listed_and_not_counted() -> None:
    carts = {one.name: one for one in scored().categories}["Carts"]
    assert [str(one) for one in carts.missing] == ["GET /{api_version}/carts"]
    assert (carts.compared, carts.percent) == (0, None)


class Mutation(NamedTuple):
    """`old` becomes `new` in their document; a difference of `kind` shows `where`."""

    old: str
    new: str
    kind: str
    where: str


MUTATIONS = [Mutation(**one) for one in yaml.safe_load((HERE / "mutations.yaml").read_text())]


@pytest.mark.parametrize("change", MUTATIONS, ids=lambda one: f"{one.kind}-{one.where}-{one.new[:24]}")
def test_a_change_lowers_the_score_and_is_named(change: Mutation, tmp_path: Path) -> None:
    text = THEIRS.read_text()
    assert change.old in text
    path = tmp_path / "theirs.yaml"
    path.write_text(text.replace(change.old, change.new, 1))
    found = scored(theirs=path)
    assert (change.kind, change.where) in differences(found)
    orders = {one.name: one for one in found.categories}["Orders"]
    assert orders.percent is not None and orders.percent < 100
    [fact] = [one for one in found.differing if (one.kind, one.where) == (change.kind, change.where)][:1]
    assert fact.ours != fact.theirs
    assert str(fact.pos).startswith("reference/ours.yaml:")


def test_every_kind_of_fact_is_mutated() -> None:
    assert {one.kind for one in MUTATIONS} == set(KINDS)


def test_the_kinds_are_those_that_deviations_may_name() -> None:
    schema = json.loads((ROOT / "spec/meta/deviations.json").read_text())
    entry = schema["properties"]["deviations"]["items"]["properties"]
    assert entry["facts"]["items"]["enum"] == list(KINDS)


@pytest.mark.parametrize(
    ("path", "same"),
    [
        ("/v1/models/{model}", "/models/{}"),
        ("/models/{id}", "/models/{}"),
        ("/{api_version}/interactions?agent", "/interactions"),
        ("/v1beta/files", "/files"),
        ("/volumes/{id}", "/volumes/{}"),
        ("/v1", "/v1"),
    ],
)
def test_paths_are_compared_without_version_and_names(path: str, same: str) -> None:
    assert comparable(path) == same


DEVIATIONS = """
reference: theirs
deviations:
  - {where: "Order.state", facts: [enum], change: more states, reason: We send things.}
  - {where: "Record.tracks[]", facts: [nullable], change: null is admitted, reason: Some have no name.}
  - {reference: others, where: Order.state, change: nothing, reason: Of another document.}
"""


def test_deviations_excuse_their_kind_at_their_place_alone(tmp_path: Path) -> None:
    path, meant = tmp_path / "theirs.yaml", tmp_path / "deviations.yaml"
    meant.write_text(DEVIATIONS)
    text = THEIRS.read_text().replace("            - {type: string, enum: [sent]}\n", "")
    path.write_text(text)
    excused = scored(theirs=path, deviations=meant)
    assert differences(excused) == set()
    assert [(one.where, len(one.excused)) for one in excused.deviations] == [
        ("Order.state", 1),
        ("Record.tracks[]", 0),
    ]
    assert excused.stale is not None and [one.where for one in excused.stale] == ["Record.tracks[]"]
    orders = {one.name: one for one in excused.categories}["Orders"]
    kept = {"theirs": ratchet.entry(excused)}
    assert [line.partition(": ")[2] for line in ratchet.worse(kept, excused)] == [
        "stale deviation Record.tracks[]: null is admitted"
    ]
    kept["theirs"]["categories"]["Orders"]["excused"] = 0
    assert "Orders: 1 facts deviate on purpose, 0 did" in ratchet.worse(kept, excused)
    assert orders.percent == 100
    assert orders.strict_percent is not None and orders.strict_percent < 100
    path.write_text(text.replace("required: [id, state]", "required: [id]"))
    assert differences(scored(theirs=path, deviations=meant)) == {("required", "Order.state")}


def test_what_is_another_operation_on_the_same_path_is_not_compared(tmp_path: Path) -> None:
    path, meant = tmp_path / "theirs.yaml", tmp_path / "deviations.yaml"
    path.write_text(THEIRS.read_text().replace("data: {type: array", "rows: {type: array"))
    assert differences(scored(theirs=path)) == {("property", "OrderList.rows"), ("extra", "OrderList.data")}
    entry = "{reference: theirs, where: listOrders, facts: [operation], change: another, reason: Ours.}"
    meant.write_text(f"deviations:\n  - {entry}")
    found = scored(theirs=path, deviations=meant)
    orders = {one.name: one for one in found.categories}["Orders"]
    assert (differences(found), found.stale) == (set(), [])
    assert [str(one) for one in orders.missing] == ["GET /{api_version}/orders"]


def test_a_bound_that_a_path_keeps_anyhow_is_no_difference(tmp_path: Path) -> None:
    path = tmp_path / "theirs.yaml"
    bounded = THEIRS.read_text().replace(
        "required: true, schema: {type: string}}", "required: true, schema: {type: string, minLength: 1}}"
    )
    path.write_text(bounded)
    assert differences(scored(theirs=path)) == set()
    path.write_text(bounded.replace("minLength: 1", "minLength: 2"))
    assert differences(scored(theirs=path)) == {("limit", "getOrder.order")}


def test_categories_can_be_chosen_and_unknown_ones_are_refused() -> None:
    documents = read_document(OURS), read_document(THEIRS)
    found = score(*documents, [], ["orders"])
    assert ([one.name for one in found.categories], found.stale) == (["Orders"], None)
    with pytest.raises(ValueError, match="no category ships; it has Carts, Orders"):
        score(*documents, [], ["ships"])


def test_what_is_no_openapi_document_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "swagger.yaml"
    path.write_text("swagger: '2.0'\npaths: {}\n")
    with pytest.raises(SpecErrors, match="no OpenAPI 3 document"):
        read_document(path)


def test_references_that_lead_nowhere_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "theirs.yaml"
    path.write_text(THEIRS.read_text().replace('schemas/Labels"', 'schemas/Lables"'))
    with pytest.raises(SpecErrors, match=r"theirs\.yaml:\d+:\d+: unresolved-ref: .*Lables"):
        read_document(path)


def test_the_report_says_place_and_both_sides(tmp_path: Path) -> None:
    path = tmp_path / "theirs.yaml"
    path.write_text(THEIRS.read_text().replace("gift: {type: boolean,", "gift: {type: string,"))
    found = scored(theirs=path)
    text = "\n".join(report.as_text(found))
    assert "CreateOrderRequest.gift: type: ours boolean; reference string" in text
    assert "reference/ours.yaml:48:15" in text and "theirs.yaml:" in text
    assert "99." in text and "100.0 %" not in text
    listed = report.as_json(found)["categories"]["Orders"]
    assert listed["differing"] == 1
    assert listed["differences"][0]["where"] == "CreateOrderRequest.gift"
    assert listed["percent"] < 100


def test_the_ratchet_holds_what_was_reached(tmp_path: Path) -> None:
    file, path = tmp_path / "ratchet.json", tmp_path / "theirs.yaml"
    path.write_text(THEIRS.read_text())
    best = scored(theirs=path)
    ratchet.write(file, best)
    kept = ratchet.read(file)
    assert list(ratchet.worse(kept, best)) == []
    assert not ratchet.is_better(kept, best)
    assert "enum" not in file.read_text() and "Order" not in file.read_text().replace("Orders", "")
    path.write_text(THEIRS.read_text().replace("operationId: carts", "operationId: all_carts"))
    assert ["of another theirs" in line for line in ratchet.worse(kept, scored(theirs=path))] == [True]
    path.write_text(THEIRS.read_text().replace("maxLength: 200", "maxLength: 9"))
    fallen = scored(theirs=path)
    kept["theirs"]["sha256"] = fallen.reference.sha256
    assert list(ratchet.worse(kept, fallen)) == ["Orders: 1 facts differ, 0 did"]
    ours = tmp_path / "ours.yaml"
    ours.write_text(OURS.read_text().replace("/v1/orders/{order}", "/v1/parcels/{order}"))
    fewer = scored(ours=ours)
    kept["theirs"]["sha256"] = fewer.reference.sha256
    assert list(ratchet.worse(kept, fewer)) == ["Orders: 2 operations are served, 3 were"]
    assert list(ratchet.worse({}, best)) == ["the ratchet file has nothing of theirs"]


def test_a_broken_ratchet_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ratchet.json"
    for text in ("[1]", "{", '{"a": 1}'):
        file.write_text(text)
        with pytest.raises(ratchet.RatchetError, match=r"ratchet\.json"):
            ratchet.read(file)


# -- the project's own spec, against changed copies of itself --------------------------------------


def own() -> Document:
    return of_spec(read_spec(ROOT / "spec"))


def changed_copies(bundle: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(kind, where, changed document): a property gone, null admitted, a type or default changed."""
    used = json.dumps(bundle["paths"]) + json.dumps(bundle["components"])
    for name, schema in bundle["components"]["schemas"].items():
        if f'schemas/{name}"' not in used:
            continue
        for field, value in schema.get("properties", {}).items():
            place = f"{name}.{field}"
            yield "extra", place, edited(bundle, name, field, None)
            if isinstance(value.get("type"), str) and "enum" not in value:
                other = "boolean" if value["type"] != "boolean" else "string"
                yield "type", place, edited(bundle, name, field, {"type": other})
                both = {**value, "type": [value["type"], "null"]}
                yield "nullable", place, edited(bundle, name, field, both)
                yield "default", place, edited(bundle, name, field, {**value, "default": "another"})
            if "enum" in value:
                yield (
                    "enum",
                    place,
                    edited(bundle, name, field, {**value, "enum": [*value["enum"], "another"]}),
                )


def edited(bundle: dict[str, Any], name: str, field: str, value: Any) -> dict[str, Any]:
    schemas = bundle["components"]["schemas"]
    properties = {key: one for key, one in schemas[name]["properties"].items() if key != field}
    if value is not None:
        properties[field] = value
    schema = {**schemas[name], "properties": properties}
    return {**bundle, "components": {**bundle["components"], "schemas": {**schemas, name: schema}}}


def test_changes_all_over_the_projects_own_spec_are_found() -> None:
    ours = own()
    bundle = plain(ours.root)
    assert score(ours, Document(positionless(bundle)), []).differing == []
    copies = list(changed_copies(bundle))[::13]
    assert len(copies) > 50
    missed = [
        (kind, where)
        for kind, where, copy in copies
        if not any(
            is_at(fact, kind, where) for fact in score(ours, Document(positionless(copy)), []).differing
        )
    ]
    assert missed == []


def is_at(fact: Fact, kind: str, where: str) -> bool:
    return where in fact.names and fact.kind == kind


# -- the reference documents themselves, where they are -----------------------------------------------

REFERENCES = os.environ.get("SPECSTACK_REFERENCE_DIR", "")
RATCHET = HERE / "ratchet.json"


@pytest.mark.parametrize("name", sorted(ratchet.read(RATCHET)))
def test_the_score_is_no_worse_than_it_was(name: str) -> None:
    path = Path(REFERENCES) / f"{name}.yaml"
    if not REFERENCES or not path.exists():
        pytest.skip(
            f"SPECSTACK_REFERENCE_DIR names no folder with {name}.yaml; the documents are not ours to ship"
        )
    spec = read_spec(ROOT / "spec")
    found = score(of_spec(spec), read_document(path), of_reference(spec.deviations, name))
    assert list(ratchet.worse(ratchet.read(RATCHET), found)) == []


@pytest.mark.parametrize("name", sorted(ratchet.read(RATCHET)))
def test_nothing_differs_where_the_ratchet_was_set(name: str) -> None:
    """What is committed: operations are served, and no fact of them differs but on purpose."""
    for category, numbers in ratchet.read(RATCHET)[name]["categories"].items():
        assert numbers["served"] > 0, category
        assert numbers["differing"] == 0, category
        assert numbers["same"] + numbers["excused"] == numbers["compared"], category
