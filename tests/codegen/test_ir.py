"""The IR says what the spec says, with names for Python, and refuses what cannot be generated."""

from pathlib import Path
from typing import Any

import pytest

from specstack_codegen import naming, schemas
from specstack_codegen.build import build_ir
from specstack_codegen.bundle import load_spec
from specstack_codegen.ir import Ir, Operation
from specstack_codegen.source import SpecErrors
from support.codegen import REPOSITORY, ir_of, json_body, operation, ref

THING: dict[str, Any] = {
    "type": "object",
    "description": "A thing.",
    "required": ["id"],
    "properties": {
        "id": {"type": "string", "x-resource": "thing"},
        "inner": {"$ref": "#/components/schemas/Thing"},
    },
}
REQUEST: dict[str, Any] = {
    "type": "object",
    "description": "A request.",
    "required": ["thing"],
    "properties": {"thing": {"type": "string", "x-resource": "thing"}, "owner": {"type": "string"}},
}
SCHEMAS = {"Thing": THING, "AskThing": REQUEST}
RESOURCES = {
    "resources": {
        "thing": {
            "plural": "things",
            "manages": "things",
            "routes": "things",
            "not_found": "ThingNotFound",
            "conflict": "ThingConflict",
            "id": "plain",
        }
    }
}


@pytest.fixture(scope="module")
def tiny() -> Ir:
    return build_ir(load_spec(REPOSITORY / "tests/codegen/golden/tiny/spec"), "tiny")


def one(ir: Ir, name: str) -> Operation:
    return next(op for api in ir.apis for op in api.operations if op.name == name)


@pytest.mark.parametrize(
    ("name", "snake", "constant"),
    [
        ("createChatCompletion", "create_chat_completion", "CREATE_CHAT_COMPLETION"),
        ("listMCPTools", "list_mcp_tools", "LIST_MCP_TOOLS"),
        ("createOpenAIThing", "create_openai_thing", "CREATE_OPENAI_THING"),
        ("OpenAI-Beta", "openai_beta", "OPENAI_BETA"),
        ("include[]", "include", "INCLUDE"),
        ("class", "class_", "CLASS"),
        ("2fast", "n2fast", "N2FAST"),
    ],
)
def test_names_follow_from_the_spec(name: str, snake: str, constant: str) -> None:
    assert (naming.snake(name), naming.constant(name)) == (snake, constant)


@pytest.mark.parametrize(
    ("wire", "attribute"),
    [
        ("model", "model"),
        ("maxTokens", "maxTokens"),
        ("class", "class_"),
        ("copy", "copy_"),
        ("X-Id", "x_id"),
    ],
)
def test_models_keep_wire_names_where_python_lets_them(wire: str, attribute: str) -> None:
    assert naming.attribute(wire) == attribute


def test_a_docstring_survives_quotes_backslashes_and_lists() -> None:
    text = naming.docstring('Says """hi""" and a\\b.\n\n- one\n- two "', 4)
    scope: dict[str, Any] = {}
    exec(f"class A:\n    {text}", scope)
    assert scope["A"].__doc__ is not None
    assert 'Says """hi""" and a\\b.' in scope["A"].__doc__
    assert "\n    - one\n    - two" in scope["A"].__doc__


def test_docstrings_are_wrapped_to_the_line_length() -> None:
    text = naming.docstring("word " * 60, 8)
    assert max(len(line) + 8 for line in text.splitlines()[:1]) <= naming.WIDTH
    assert all(len(line) <= naming.WIDTH for line in text.splitlines()[1:])


@pytest.mark.parametrize("text", ["", 'Ends with a quote"', "Ends with a backslash\\", "x" * 104 + '"'])
def test_every_docstring_is_a_string_of_its_text(text: str) -> None:
    assert eval(naming.docstring(text)).strip() == (text or "Not described.")


def test_serving_names_the_key_and_what_it_needs(tiny: Ir) -> None:
    serve = one(tiny, "create_order").serve
    assert serve.key is not None
    assert (serve.mode, serve.key.location, serve.key.name, serve.key.required) == (
        "routed",
        "body",
        "shop",
        True,
    )
    assert serve.requires == (("kind", ("bakery",)),)


def test_the_place_of_an_operation_is_known(tiny: Ir) -> None:
    pos = one(tiny, "create_order").pos
    line = (
        (REPOSITORY / "tests/codegen/golden/tiny/spec/openapi/shops.yaml")
        .read_text()
        .splitlines()[pos.line - 1]
    )
    assert pos.file == "spec/openapi/shops.yaml"
    assert line.strip() == "post:"


def test_forms_sort_their_fields(tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "text": {"type": "string"},
        "either": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        "count": {"type": "integer"},
        "words": {"type": "array", "items": {"type": "string"}},
        "numbers": {"type": "array", "items": {"type": "integer"}},
        "file": {"type": "string", "format": "binary"},
        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
    }
    form = {"type": "object", "description": "A form.", "properties": fields}
    body = {"required": True, "content": {"multipart/form-data": {"schema": ref("Form")}}}
    paths = {"/v1/forms": {"post": operation("sendForm", requestBody=body, x_serve={"mode": "provider"})}}
    found = one(ir_of(tmp_path, paths, {**SCHEMAS, "Form": form}), "send_form").body
    assert found is not None
    assert found.json_fields == ("count", "numbers")
    assert found.list_fields == ("files", "numbers", "words")
    assert found.file_fields == ("file", "files")


def test_parameters_have_style_and_type(tmp_path: Path) -> None:
    params = [
        {"name": "include[]", "in": "query", "schema": {"type": "array", "items": {"enum": ["a", "b"]}}},
        {"name": "filter", "in": "query", "style": "deepObject", "schema": {"type": "object"}},
        {"name": "X-Shift", "in": "header", "schema": {"type": ["string", "null"]}},
        {"name": "id", "in": "path", "required": True, "x-greedy": True, "schema": {"type": "string"}},
        {"name": "session", "in": "cookie", "schema": {"type": "string"}},
    ]
    paths = {
        "/v1/things/{id}": {"get": operation("getThing", parameters=params, x_serve={"mode": "provider"})}
    }
    ir = ir_of(tmp_path, paths, SCHEMAS)
    found = {
        param.name: (param.python, param.style, param.annotation) for param in one(ir, "get_thing").params
    }
    assert found == {
        "include[]": ("include", "list", "list[Literal['a', 'b']]"),
        "filter": ("filter", "deep", "dict[str, Any]"),
        "X-Shift": ("x_shift", "value", "str | None"),
        "id": ("id", "value", "str"),
    }
    assert ir.component_api["GetThingParams"] == "things"


def test_an_operations_own_parameter_wins_over_the_paths(tmp_path: Path) -> None:
    item = {
        "parameters": [{"name": "n", "in": "query", "schema": {"type": "string"}}],
        "get": operation(
            "getThing",
            parameters=[{"name": "n", "in": "query", "schema": {"type": "integer"}}],
            x_serve={"mode": "provider"},
        ),
    }
    params = one(ir_of(tmp_path, {"/v1/things": item}, SCHEMAS), "get_thing").params
    assert [param.annotation for param in params] == ["int"]


def test_ids_in_replies_are_found_at_every_depth_and_recursion_ends(tmp_path: Path) -> None:
    listing = {
        "type": "object",
        "description": "A list.",
        "properties": {
            "data": {"type": "array", "items": ref("Thing")},
            "id": {"type": "string", "x-resource": "thing"},
        },
    }
    serve = {"mode": "routed", "resource": "thing", "key": "body.thing"}
    paths = {
        "/v1/things": {
            "post": operation("askThings", "List", requestBody=json_body("AskThing"), x_serve=serve)
        }
    }
    found = one(ir_of(tmp_path, paths, {**SCHEMAS, "List": listing}, resources=RESOURCES), "ask_things")
    assert found.reply_ids == ("id",)
    assert found.nested_ids == ("data.[].id",)


def test_the_default_reply_of_variants_is_the_component_of_the_200(tmp_path: Path) -> None:
    variants = [{"name": "short", "header": "Accept-Detail", "value": "^short$", "reply": "AskThing"}]
    paths = {"/v1/things": {"get": operation("getThing", x_variant=variants, x_serve={"mode": "provider"})}}
    found = one(ir_of(tmp_path, paths, SCHEMAS), "get_thing")
    assert found.reply.model == "Thing"
    assert [(one.name, one.header, one.model) for one in found.variants] == [
        ("short", "accept-detail", "AskThing")
    ]


def test_empty_binary_and_stream_replies_differ(tmp_path: Path) -> None:
    binary = operation("readFile", x_serve={"mode": "provider"})
    binary["responses"]["200"]["content"] = {"application/octet-stream": {}}
    lines = operation("readLines", x_serve={"mode": "provider"}, x_stream={"item": "Thing"})
    lines["responses"]["200"]["content"] = {"application/jsonl": {"itemSchema": ref("Thing")}}
    paths = {
        "/v1/a": {"get": binary},
        "/v1/b": {"get": lines},
        "/v1/c": {"delete": operation("dropThing", None, x_serve={"mode": "provider"})},
    }
    ir = ir_of(tmp_path, paths, SCHEMAS)
    assert one(ir, "read_file").is_binary
    assert one(ir, "read_lines").always_streams
    assert not one(ir, "read_lines").is_binary
    stream = one(ir, "read_lines").stream
    assert stream is not None and stream.media == "application/jsonl"
    assert (one(ir, "drop_thing").reply.media, one(ir, "drop_thing").reply.status) == (None, 204)


def test_a_discovery_hook_joins_the_api_that_the_resource_routes(tiny: Ir) -> None:
    assert [(hook.name, hook.resource) for hook in tiny.api("shops").hooks] == [("list_shops", "shop")]


def test_a_provider_operation_serves_as_the_hook_of_its_name(tmp_path: Path) -> None:
    hook = {"discover": {"method": "list_things", "reply": "Thing", "items": "data", "identifier": "id"}}
    resources = {"resources": {"thing": {**RESOURCES["resources"]["thing"], **hook}}}
    paths = {"/v1/things": {"get": operation("listThings", x_serve={"mode": "fan-out", "merge": "data"})}}
    assert ir_of(tmp_path, paths, SCHEMAS, resources=resources).api("things").hooks == ()


def fault(folder: Path, paths: dict[str, Any], components: dict[str, Any], **files: Any) -> str:
    with pytest.raises(SpecErrors) as caught:
        ir_of(folder, paths, components, **files)
    return str(caught.value)


def test_a_key_that_names_nothing_is_refused_with_its_place(tmp_path: Path) -> None:
    serve = {"mode": "routed", "resource": "thing", "key": "body.shop"}
    paths = {"/v1/things": {"post": operation("askThing", requestBody=json_body("AskThing"), x_serve=serve)}}
    text = fault(tmp_path, paths, SCHEMAS, resources=RESOURCES)
    assert "spec/openapi/things.yaml:" in text
    assert "'body.shop' names nothing in the request" in text


@pytest.mark.parametrize("name", ["Payload", "Stream", "Things"])
def test_components_may_not_hide_what_generated_code_uses(tmp_path: Path, name: str) -> None:
    paths = {"/v1/things": {"get": operation("getThing", x_serve={"mode": "provider"})}}
    text = fault(tmp_path, paths, {**SCHEMAS, name: {"type": "object", "description": "x"}})
    assert f"a component may not be called '{name}'" in text


def test_a_provider_operation_may_not_hide_the_lifecycle(tmp_path: Path) -> None:
    paths = {"/v1/health": {"get": operation("health", x_serve={"mode": "provider"})}}
    assert "health would hide the method health()" in fault(tmp_path, paths, SCHEMAS)


def test_the_parameter_models_name_must_be_free(tmp_path: Path) -> None:
    params = [{"name": "n", "in": "query", "schema": {"type": "string"}}]
    paths = {"/v1/things": {"get": operation("getThing", parameters=params, x_serve={"mode": "provider"})}}
    text = fault(tmp_path, paths, {**SCHEMAS, "GetThingParams": {"type": "object", "description": "x"}})
    assert "the component 'GetThingParams' has the name of getThing's parameters" in text


def test_a_websocket_cannot_be_routed(tmp_path: Path) -> None:
    serve = {"mode": "routed", "resource": "thing", "key": "body.thing"}
    socket = {"receive": "AskThing", "send": "Thing"}
    post = operation("talk", requestBody=json_body("AskThing"), x_serve=serve, x_websocket=socket)
    text = fault(tmp_path, {"/v1/talks": {"post": post}}, SCHEMAS, resources=RESOURCES)
    assert "a WebSocket cannot be served in mode 'routed'" in text


def test_schema_types_see_through_references_and_unions() -> None:
    components: dict[str, Any] = {"A": {"type": ["string", "null"]}, "B": {"enum": [1, True]}}
    schema = {"anyOf": [{"$ref": "#/components/schemas/A"}, {"$ref": "#/components/schemas/B"}]}
    assert schemas.types(schema, components) == {"string", "null", "integer", "boolean"}
