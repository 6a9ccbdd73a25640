"""Generated models accept what their schemas allow, refuse what they forbid, keep what they do not name."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import MISSING, BaseModel, SecretStr, ValidationError

from specstack_codegen.models import GeneratorError, Models, emit_models
from specstack_codegen.split import split_models
from specstack_wire import ClosedModel, Upload
from support.codegen import REPOSITORY, emitted, ref

CONSTRUCTS = REPOSITORY / "tests/codegen/golden/constructs/spec"


def module_of(text: str, name: str) -> ModuleType:
    """A module of that source, known by its name so that forward references resolve."""
    module = ModuleType(name)
    sys.modules[name] = module
    exec(compile(text, name, "exec"), vars(module))
    return module


@pytest.fixture(scope="module")
def m() -> ModuleType:
    files = emitted(CONSTRUCTS, "constructs", ["models"])
    return module_of(files["constructs_api/models/things.py"], "constructs_models")


def models_of(components: Mapping[str, Any], **profile: Any) -> ModuleType:
    """The module of components, all in one."""
    models = emit_models(components, **profile)
    parts = split_models(models, dict.fromkeys(components, "all"), {}, "toy")
    part = parts["all"]
    return module_of("\n".join([*part.import_lines, *(one.source for one in part.definitions)]), "toy_models")


def thing(**more: Any) -> dict[str, Any]:
    item = {"type": "call", "name": "x"}
    return {"id": "a", "object": "thing", "owner": None, "class": "c", "item": item, **more}


def refused(model: type[BaseModel], value: Any) -> list[str]:
    """Where the value is at fault."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate_json(json.dumps(value))
    return [".".join(str(part) for part in error["loc"]) for error in caught.value.errors()]


def test_a_minimal_thing_has_its_defaults_and_leaves_out_the_rest(m: ModuleType) -> None:
    found = m.Thing.model_validate_json(json.dumps(thing()))
    assert (found.weight, found.size, found.count) == (1, "small", MISSING)
    assert set(json.loads(found.model_dump_json())) == {*thing(), "weight", "size"}


def test_unknown_fields_travel_on(m: ModuleType) -> None:
    found = m.Thing.model_validate_json(json.dumps(thing(vendor={"x": [1]})))
    assert json.loads(found.model_dump_json())["vendor"] == {"x": [1]}


def test_a_closed_model_refuses_unknown_fields(m: ModuleType) -> None:
    assert issubclass(m.Sealed, ClosedModel)
    assert refused(m.Thing, thing(sealed={"note": "a", "more": 1})) == ["sealed.more"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("count", "5"),
        ("count", True),
        ("count", 1.5),
        ("count", -1),
        ("count", None),
        ("weight", 0),
        ("weight", "1"),
        ("object", "other"),
        ("size", "huge"),
        ("id", ""),
        ("words", ["12345678901"]),
        ("mood", "glad"),
        ("copy", 1),
    ],
)
def test_what_the_schema_forbids_is_refused(m: ModuleType, field: str, value: Any) -> None:
    assert {place.split(".")[0] for place in refused(m.Thing, thing(**{field: value}))} == {field}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("count", 5.0),
        ("weight", 2),
        ("mood", None),
        ("colour", "mauve"),
        ("input", "x"),
        ("corners", {"a": [1, 2.5]}),
    ],
)
def test_what_the_schema_allows_is_taken(m: ModuleType, field: str, value: Any) -> None:
    found = m.Thing.model_validate_json(json.dumps(thing(**{field: value})))
    assert json.loads(found.model_dump_json())[field] == value


def test_a_required_field_may_be_null_but_not_absent(m: ModuleType) -> None:
    assert refused(m.Thing, {name: value for name, value in thing().items() if name != "owner"}) == ["owner"]


def test_taken_names_are_spelt_with_an_underscore_and_keep_their_wire_names(m: ModuleType) -> None:
    found = m.Thing.model_validate_json(json.dumps(thing(copy=True)))
    assert (found.class_, found.copy_) == ("c", True)
    assert {"class", "copy"} <= set(json.loads(found.model_dump_json()))


def test_union_branches_that_share_a_tag_are_told_apart(m: ModuleType) -> None:
    item = {"type": "message", "role": "robot", "id": "m1"}
    assert type(m.Thing.model_validate_json(json.dumps(thing(item=item))).item).__name__ == "RobotMessage"
    faults = refused(m.Thing, thing(item={"type": "call"}))
    assert faults == ["item.call.name"], "only the branch of the tag is tried"


def test_a_tag_with_two_values_leads_to_one_branch(m: ModuleType) -> None:
    part = {"type": "image_preview", "url": "u"}
    assert type(m.Thing.model_validate_json(json.dumps(thing(part=part))).part).__name__ == "ImagePart"


def test_a_model_may_hold_itself(m: ModuleType) -> None:
    found = m.Thing.model_validate_json(json.dumps(thing(parts=[thing(id="b")])))
    assert found.parts[0].id == "b"


def test_urls_stay_as_they_are(m: ModuleType) -> None:
    assert m.Thing.model_validate_json(json.dumps(thing(link="http://x"))).link == "http://x"


def test_files_are_uploads_even_beside_a_component_of_that_name(m: ModuleType, tmp_path: Path) -> None:
    upload = Upload("a.txt", "text/plain", 1, tmp_path / "a")
    found = m.Thing.model_validate({**thing(), "file": upload, "files": [upload]})
    assert found.file is upload
    assert found.files == [upload]
    assert m.Upload.model_validate_json('{"bytes": 3}').bytes == 3


def test_parameter_models_carry_wire_names_as_aliases(m: ModuleType) -> None:
    found = m.ListThingsParams.model_validate({"include[]": ["size"], "Thing-Colour": "red", "limit": 5})
    assert (found.include, found.thing_colour, found.limit) == (["size"], "red", 5)
    assert m.ListThingsParams(thing_colour="red").thing_colour == "red"


def test_descriptions_become_docstrings(m: ModuleType) -> None:
    text = emitted(CONSTRUCTS, "constructs", ["models"])["constructs_api/models/things.py"]
    assert "count: Annotated[" in text
    assert '    """How many."""' in text
    assert m.Sealed.__doc__ == "Nothing else is allowed."


def test_nothing_is_built_at_import(m: ModuleType) -> None:
    fresh = module_of(
        emitted(CONSTRUCTS, "constructs", ["models"])["constructs_api/models/things.py"], "fresh_models"
    )
    assert not fresh.Thing.__pydantic_complete__


def test_branches_that_are_unions_are_told_apart_by_their_own_branches() -> None:
    components = {
        "A": tagged("a"),
        "B": tagged("b"),
        "C": tagged("c"),
        "Inner": {"oneOf": [ref("A"), ref("B")]},
        "Outer": {"oneOf": [ref("Inner"), ref("C")], "discriminator": {"propertyName": "type"}},
        "Holder": {"type": "object", "required": ["value"], "properties": {"value": ref("Outer")}},
    }
    found = models_of(components)
    assert type(found.Holder.model_validate_json('{"value": {"type": "b"}}').value).__name__ == "B"
    assert refused(found.Holder, {"value": {"type": "d"}}) == ["value"]


def test_an_optional_tag_has_a_default() -> None:
    loose = {**tagged("a"), "required": []}
    components = {
        "A": loose,
        "B": tagged("b"),
        "Either": {"anyOf": [ref("B"), ref("A")], "discriminator": {"propertyName": "type"}},
        "Holder": {"type": "object", "required": ["value"], "properties": {"value": ref("Either")}},
    }
    found = models_of(components)
    assert type(found.Holder.model_validate_json('{"value": {}}').value).__name__ == "A"


def test_inline_objects_get_names_from_where_they_stand() -> None:
    inner = {"type": "object", "properties": {"n": {"type": "integer"}}}
    components = {
        "Outer": {"type": "object", "properties": {"part": inner, "parts": {"type": "array", "items": inner}}}
    }
    found = models_of(components)
    assert {"OuterPart", "OuterPartsItem"} <= set(vars(found))


def test_a_definition_with_another_name_than_its_component_is_refused() -> None:
    models = Models("class Other:\n    pass\n", {})
    with pytest.raises(
        GeneratorError, match=r"without a class are \['Wanted'\], without a component \['Other'\]"
    ):
        split_models(models, {"Wanted": "all"}, {}, "toy")


def test_modules_that_need_each_other_are_refused() -> None:
    components: dict[str, Any] = {
        "A": {"type": "object", "properties": {"b": ref("B")}},
        "B": {"type": "object", "properties": {"c": ref("C")}},
        "C": {"type": "object", "properties": {"n": {"type": "string"}}},
    }
    homes = {"A": "one", "B": "two", "C": "one"}
    with pytest.raises(GeneratorError, match=r"one, two refer to each other in a ring.*common\.yaml"):
        split_models(emit_models(components), homes, {}, "toy")


def test_each_module_imports_exactly_what_it_uses() -> None:
    components: dict[str, Any] = {
        "A": {"type": "object", "properties": {"b": ref("B"), "n": {"type": "integer"}}},
        "B": {
            "type": "object",
            "required": ["model"],
            "properties": {"model": {"type": "string", "enum": ["A"]}},
        },
    }
    parts = split_models(emit_models(components), {"A": "one", "B": "two"}, {}, "toy")
    assert parts["one"].imports == {
        "pydantic": {"MISSING"},
        "specstack_wire": {"ApiModel", "JsonInt"},
        "toy.two": {"B"},
    }
    assert "toy.one" not in parts["two"].imports, "a literal is no reference"


def test_config_models_read_the_strings_of_the_environment() -> None:
    config = {
        "type": "object",
        "required": ["url"],
        "additionalProperties": False,
        "properties": {
            "url": {"type": "string"},
            "port": {"type": "integer", "default": 80},
            "key": {"type": "string", "format": "password"},
            "tls": ref("Tls"),
            "extra": {"type": "object", "additionalProperties": True},
        },
    }
    tls = {"type": "object", "properties": {"verify": {"type": "boolean", "default": True}}}
    found = models_of({"Config": config, "Tls": tls}, profile="config")
    made = found.Config.model_validate({"url": "u", "port": "8080", "key": "k", "extra": {"a": 1}})
    assert (made.port, made.tls.verify, made.extra) == (8080, True, {"a": 1})
    assert isinstance(made.key, SecretStr)
    assert "k" not in repr(made.key)
    assert refused(found.Config, {"url": "u", "prot": 1}) == ["prot"]


def tagged(value: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"type": "string", "const": value}},
    }
