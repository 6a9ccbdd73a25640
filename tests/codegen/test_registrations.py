"""The run config names resources in the words of their register operation."""

import json
from pathlib import Path
from typing import Any

import pytest

from specstack_codegen.build import build_ir
from specstack_codegen.bundle import load_spec
from specstack_codegen.emit import EMITTERS
from specstack_codegen.source import SpecErrors
from support.codegen import ir_of, json_body, operation, ref

REPOSITORY = Path(__file__).parents[2]
CONFIG = {
    "root": "Config",
    "registrations": "Known",
    "components": {
        "schemas": {
            "Config": {"type": "object", "description": "All.", "properties": {"known": ref("Known")}},
            "Known": {"type": "object", "description": "Known.", "additionalProperties": False},
        }
    },
}
SCHEMAS = {
    "Thing": {"type": "object", "description": "A thing.", "properties": {"id": {"type": "string"}}},
    "AddThing": {
        "type": "object",
        "description": "A thing to add.",
        "required": ["thing_id"],
        "properties": {
            "thing_id": {"type": "string"},
            "example": ref("AddThingParts"),
            "like": ref("Thing"),
        },
    },
    "AddThingParts": {"type": "array", "description": "Parts.", "items": ref("AddThing")},
}
PATHS = {
    "/v1/things": {
        "post": operation(
            "addThing",
            x_serve={"mode": "table", "resource": "thing", "action": "register"},
            requestBody=json_body("AddThing"),
        )
    }
}
RESOURCE = {
    "plural": "odd_things",
    "description": "A thing.",
    "manages": "things",
    "routes": "things",
    "not_found": "NoThing",
    "conflict": "NoThing",
    "wrong_attribute": "NoThing",
    "id": "plain",
    "registration": {"identifier": "thing_id"},
}


def components(folder: Path, resource: dict[str, Any], config: dict[str, Any] = CONFIG) -> dict[str, Any]:
    ir = ir_of(folder, PATHS, SCHEMAS, resources={"resources": {"thing": resource}}, config=config)
    assert ir.config is not None
    return ir.config["components"]["schemas"]


def test_a_resource_that_can_be_registered_gets_a_list_of_closed_items(tmp_path: Path) -> None:
    found = components(tmp_path, RESOURCE)
    assert found["Known"]["properties"] == {
        "odd_things": {
            "type": "array",
            "description": "Odd things that are there from the start.",
            "items": ref("ThingRegistration"),
        }
    }
    item = found["ThingRegistration"]
    assert (item["additionalProperties"], item["required"]) == (False, ["thing_id"])
    assert item["properties"]["thing_id"] == {"type": "string"}


def test_what_the_body_refers_to_comes_along_and_its_own_parts_are_renamed(tmp_path: Path) -> None:
    found = components(tmp_path, RESOURCE)
    assert found["ThingRegistration"]["properties"]["example"] == ref("ThingRegistrationParts")
    assert found["ThingRegistrationParts"]["items"] == ref("ThingRegistration")
    assert found["Thing"]["properties"] == {"id": {"type": "string"}}


def test_a_resource_without_registration_gets_no_list(tmp_path: Path) -> None:
    found = components(tmp_path, {key: one for key, one in RESOURCE.items() if key != "registration"})
    assert found["Known"]["properties"] == {}
    assert found.keys() == CONFIG["components"]["schemas"].keys()


def test_a_holder_that_does_not_exist_is_a_fault_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(
        SpecErrors, match=r"spec/config.yaml:3:2: .*: there is no component 'Unknown'\n  hint"
    ):
        components(tmp_path, RESOURCE, {**CONFIG, "registrations": "Unknown"})


def test_editors_check_registered_models_as_the_server_does() -> None:
    ir = build_ir(load_spec(REPOSITORY / "spec"), "specstack")
    schema = json.loads(EMITTERS["config"](ir)["specstack_api/run-config.schema.json"])
    item = schema["$defs"]["ModelRegistration"]
    assert item["additionalProperties"] is False
    kind = item["properties"]["model_type"]["anyOf"][0]
    assert kind["enum"] == list(ir.resource("model").attributes[0].values)
