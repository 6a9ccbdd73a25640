"""The published documents: what clients may see, valid as 3.2 and as 3.1."""

import json
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, OpenAPIV32SpecValidator

from specstack_codegen.build import build_ir
from specstack_codegen.bundle import load_spec
from specstack_codegen.emit.openapi import as_31, emit, published
from specstack_codegen.source import plain

REPOSITORY = Path(__file__).parents[2]
SPECS = {
    "main": REPOSITORY / "spec",
    "fixture": REPOSITORY / "tests" / "fixture" / "spec",
    "toys": Path(__file__).parent / "spec",
}


def document(name: str) -> dict[str, Any]:
    return published(plain(load_spec(SPECS[name]).openapi))


@pytest.fixture(scope="module")
def toys() -> dict[str, Any]:
    return document("toys")


@pytest.mark.parametrize("name", SPECS)
def test_both_documents_are_valid(name: str) -> None:
    first = document(name)
    assert [str(error) for error in OpenAPIV32SpecValidator(first).iter_errors()] == []
    second = as_31(first)
    assert second["openapi"].startswith("3.1.")
    assert [str(error) for error in OpenAPIV31SpecValidator(second).iter_errors()] == []
    assert "itemSchema" not in json.dumps(second)


def test_what_only_the_server_needs_is_not_published(toys: dict[str, Any]) -> None:
    text = json.dumps(toys)
    for key in ("x-serve", "x-aliases", "x-access", "x-api", "x-envelope", "/v1/old/"):
        assert key not in text
    operation = toys["paths"]["/v1/toys"]["post"]
    assert operation["x-stability"] == "stable"
    assert operation["x-refusals"] == ["toy_broken"]
    assert operation["x-body-limit"] == 4096
    assert toys["paths"]["/v1/toys"]["get"]["x-pagination"] == {"style": "none", "items": "data"}


def test_a_stream_has_its_event_as_schema_in_31(toys: dict[str, Any]) -> None:
    media = as_31(toys)["paths"]["/v1/games"]["post"]["responses"]["200"]["content"]["text/event-stream"]
    assert media == {"schema": {"$ref": "#/components/schemas/Move"}}


def test_lines_of_json_have_their_item_as_schema_in_31() -> None:
    item = {"$ref": "#/components/schemas/A"}
    content = {"application/x-jsonl": {"itemSchema": item}}
    copy = as_31(_with_response({"description": "Lines.", "content": content}))
    assert copy["paths"]["/x"]["get"]["responses"]["200"]["content"]["application/x-jsonl"] == {
        "schema": item
    }


def test_what_32_added_is_gone_from_31() -> None:
    source = _with_response({"summary": "All well."})
    source |= {
        "$self": "/openapi.json",
        "tags": [{"name": "a", "summary": "About a", "kind": "nav", "parent": "b"}],
    }
    source["paths"]["/x"]["query"] = {"responses": {}}
    copy = as_31(source)
    assert "$self" not in copy and "query" not in copy["paths"]["/x"]
    assert copy["tags"] == [{"name": "a", "description": "About a"}]
    assert copy["paths"]["/x"]["get"]["responses"]["200"] == {"description": "All well."}
    assert source["paths"]["/x"]["query"] == {"responses": {}}


def test_a_discriminator_is_published_only_when_it_is_complete() -> None:
    def union(mapping: dict[str, str]) -> dict[str, Any]:
        branches = [{"$ref": "#/components/schemas/A"}, {"$ref": "#/components/schemas/B"}]
        return {"oneOf": branches, "discriminator": {"propertyName": "type", "mapping": mapping}}

    full = union({"a": "#/components/schemas/A", "b": "#/components/schemas/B"})
    schemas = published(
        {"components": {"schemas": {"Full": full, "Part": union({"b": "#/components/schemas/B"})}}}
    )
    assert schemas["components"]["schemas"]["Full"] == full
    assert "discriminator" not in schemas["components"]["schemas"]["Part"]


def test_a_property_may_be_called_like_an_extension() -> None:
    schema = {"type": "object", "properties": {"x-serve": {"type": "string"}}, "example": {"x-serve": "a"}}
    assert published({"components": {"schemas": {"A": schema}}})["components"]["schemas"]["A"] == schema


def test_the_emitter_writes_both_into_the_api_package() -> None:
    ir = build_ir(load_spec(SPECS["toys"]), "toybox")
    files = emit(ir)
    assert list(files) == ["toybox_api/openapi.json", "toybox_api/openapi-3.1.json"]
    assert all(text.endswith("}\n") for text in files.values())
    assert json.loads(files["toybox_api/openapi.json"]) == document("toys")
    assert emit(ir) == files


def _with_response(response: dict[str, Any]) -> dict[str, Any]:
    info = {"title": "T", "version": "1"}
    return {"openapi": "3.2.0", "info": info, "paths": {"/x": {"get": {"responses": {"200": response}}}}}
