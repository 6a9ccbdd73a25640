"""Examples: the spec's own first, else made; they fit, and are the same every time."""

import json
from typing import Any

import jsonschema
import pytest

from specstack_codegen.build import build_ir
from specstack_codegen.bundle import load_spec
from specstack_codegen.examples import Examples, NoExample
from support.codegen import SPECS


@pytest.mark.parametrize("spec", sorted(SPECS))
def test_every_component_has_an_example_that_fits(spec: str) -> None:
    root, package = SPECS[spec]
    ir = build_ir(load_spec(root), package)
    examples, document = Examples(ir.schemas), {"components": {"schemas": dict(ir.schemas)}}
    for name in ir.schemas:
        schema = {"$ref": f"#/components/schemas/{name}"}
        for everything in (False, True):
            value = examples.of(schema, everything=everything)
            jsonschema.Draft202012Validator({**schema, **document}).validate(value)
            assert json.dumps(value) == json.dumps(Examples(ir.schemas).of(schema, everything=everything))


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "…"),
        ({"type": "string", "examples": ["a", "b"]}, "a"),
        ({"type": "string", "enum": ["x", "y"]}, "x"),
        ({"const": 7}, 7),
        ({"type": "integer", "default": 20}, 20),
        ({"type": "integer", "minimum": 3}, 3),
        ({"type": "integer", "exclusiveMinimum": 3}, 4),
        ({"type": "number", "maximum": 0.25}, 0.25),
        ({"type": "integer", "multipleOf": 5}, 5),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["string", "null"], "minLength": 3}, "………"),
        ({"type": "string", "format": "date-time"}, "2026-01-02T03:04:05Z"),
        ({"type": "string", "pattern": "^note_[a-z0-9]+$"}, "note_a"),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 1),
        ({"type": "object", "additionalProperties": {"type": "boolean"}}, {"key": True}),
    ],
)
def test_what_is_made_of_a_schema(schema: dict[str, Any], value: Any) -> None:
    assert Examples({}).of(schema) == value


def test_optional_fields_come_on_request() -> None:
    schema = {
        "type": "object",
        "required": ["a"],
        "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
    }
    assert Examples({}).of(schema) == {"a": "…"}
    assert Examples({}).of(schema, everything=True) == {"a": "…", "b": 1}


def test_the_examples_of_a_component_count_where_it_is_referred_to() -> None:
    components = {"A": {"type": "integer", "examples": [4, 5]}}
    examples = Examples(components)
    assert examples.stated({"$ref": "#/components/schemas/A"}) == [4, 5]
    assert examples.of({"$ref": "#/components/schemas/A"}) == 4


def test_what_cannot_be_made_says_so() -> None:
    components = {"Code": {"type": "string", "pattern": "^[0-9]{3}-[A-Z]{9}$"}}
    with pytest.raises(NoExample, match=r"no example of Code could be made .* give it one under `examples`"):
        Examples(components).of({"$ref": "#/components/schemas/Code"})


def test_a_fault_names_its_place() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}}
    assert Examples({}).fault({"a": [1]}, schema) == ""
    assert Examples({}).fault({"a": [1, "x"]}, schema) == "['a'][1]: 'x' is not of type 'integer'"
