"""The client emitter: signatures from schemas, names that must not collide, strict types for users."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from specstack_codegen.emit import EMITTERS
from specstack_codegen.emit.client_methods import arguments_of, methods_of
from specstack_codegen.emit.client_types import Types
from specstack_codegen.ir import Ir, Operation
from support.codegen import REPOSITORY, ROOTS, ir_of, json_body, operation, ref, write_tree

THING = {"type": "object", "properties": {"id": {"type": "string"}}}
SCHEMAS: dict[str, Any] = {
    "Thing": THING,
    "Colour": {"type": "string", "enum": ["red", "blue"]},
    "Either": {"oneOf": [ref("Thing"), {"type": "string"}]},
    "Many": {"type": "array", "items": ref("Thing")},
    "CreateThing": {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "description": "Its name."},
            "thing_id": {"type": "string"},
            "timeout": {"type": "number"},
            "self": {"type": "boolean"},
            "stream": {"type": ["boolean", "null"]},
        },
    },
}


def one(tmp_path: Path, method: str, path: str, value: dict[str, Any]) -> tuple[Ir, Operation]:
    ir = ir_of(tmp_path, {path: {method: value}}, SCHEMAS)
    return ir, ir.apis[0].operations[0]


@pytest.mark.parametrize(
    ("schema", "annotation"),
    [
        ({"type": "string"}, "str"),
        ({"type": ["integer", "null"]}, "int | None"),
        ({"const": "x"}, "Literal['x']"),
        ({"enum": ["a", "b", None]}, "Literal['a', 'b'] | None"),
        ({"type": "string", "format": "binary"}, "FileTypes"),
        ({"type": "array", "items": {"type": "number"}}, "Sequence[float]"),
        ({"type": "object", "additionalProperties": {"type": "boolean"}}, "Mapping[str, bool]"),
        ({"type": "object"}, "Mapping[str, Any]"),
        ({}, "Any"),
        (ref("Colour"), "things_models.Colour"),
        (ref("Thing"), "things_models.Thing | Mapping[str, Any]"),
        (ref("Either"), "things_models.Either | Mapping[str, Any]"),
        (ref("Many"), "things_models.Many | Sequence[Any]"),
        ({"anyOf": [ref("Thing"), {"type": "null"}]}, "things_models.Thing | Mapping[str, Any] | None"),
        (
            {"type": "array", "items": ref("Thing")},
            "Sequence[things_models.Thing | Mapping[str, Any]]",
        ),
    ],
)
def test_argument_types(tmp_path: Path, schema: dict[str, Any], annotation: str) -> None:
    ir, _ = one(tmp_path, "get", "/v1/things", operation("listThings"))
    assert Types(ir).argument(schema) == annotation


def test_arguments_keep_their_wire_names_and_never_collide(tmp_path: Path) -> None:
    body = operation("changeThing", requestBody=json_body("CreateThing"))
    body["parameters"] = [
        {"name": "thing_id", "in": "path", "required": True, "schema": {"type": "string"}},
        {"name": "include[]", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
        {"name": "x-shift", "in": "header", "schema": {"type": "string"}},
    ]
    ir, op = one(tmp_path, "post", "/v1/things/{thing_id}", body)
    found = {(one.place, one.wire): one.python for one in arguments_of(op, Types(ir))}
    assert found == {
        ("path", "thing_id"): "thing_id",
        ("query", "include[]"): "include",
        ("header", "x-shift"): "x_shift",
        ("body", "name"): "name",
        ("body", "thing_id"): "thing_id_",
        ("body", "timeout"): "timeout_",
        ("body", "self"): "self_",
        ("body", "stream"): "stream",
    }


def test_a_body_that_is_no_object_is_one_argument(tmp_path: Path) -> None:
    ir, op = one(tmp_path, "post", "/v1/things", operation("sendThings", requestBody=json_body("Many")))
    method = methods_of(op, Types(ir), is_async=False)[0]
    assert method.signature.arguments[:2] == ("self", "body: things_models.Many | Sequence[Any]")
    assert "arguments: dict[str, Any] = {'body': body}" in method.statements


def test_a_stream_switch_makes_overloads(tmp_path: Path) -> None:
    value = operation("createThing", requestBody=json_body("CreateThing"))
    value["x-stream"] = {"when": "body.stream", "item": "Thing"}
    value["responses"]["200"]["content"]["text/event-stream"] = {"itemSchema": {"type": "object"}}
    ir, op = one(tmp_path, "post", "/v1/things", value)
    for is_async, prefix in ((False, ""), (True, "Async")):
        method = methods_of(op, Types(ir), is_async=is_async)[0]
        plain, streaming, either = method.overloads
        assert "stream: Literal[False] | None | NotGiven = NOT_GIVEN" in plain.arguments
        assert plain.returns == "things_models.Thing"
        assert "stream: Literal[True]" in streaming.arguments
        assert streaming.returns == f"{prefix}Stream[things_models.Thing]"
        assert either.returns == f"things_models.Thing | {prefix}Stream[things_models.Thing]"
        assert method.signature.returns == either.returns


@pytest.mark.parametrize(
    ("pattern", "value"), [("^short$", "short"), ("short", "short"), (None, "brief"), ("^(a|b)$", None)]
)
def test_a_variant_can_be_asked_for_when_its_pattern_is_plain(
    tmp_path: Path, pattern: str | None, value: str | None
) -> None:
    variant = {"name": "brief", "header": "accept-detail", "reply": "Thing"}
    variant |= {"value": pattern} if pattern else {}
    ir, op = one(tmp_path, "get", "/v1/things", operation("readThing", x_variant=[variant]))
    method = methods_of(op, Types(ir), is_async=False)[0]
    text = "\n".join(method.statements)
    if value is None:
        assert "variant" not in text and not method.overloads
    else:
        assert f"'accept-detail': '{value}'" in text
        assert any("variant: Literal['brief']" in one.arguments for one in method.overloads)


def test_error_classes_one_per_code(tmp_path: Path) -> None:
    def kind(status: int, code: str | None) -> dict[str, Any]:
        return {"status": status, "type": "t", "code": code, "description": "So it is."}

    errors = {
        "envelopes": {"odd": {"fault": {"text": "$message", "id": "$request_id"}, "kind": "error"}},
        "errors": {
            "ThingGone": kind(404, "thing_gone"),
            "ThingLost": kind(404, "thing_gone"),
            "TooOdd": kind(418, "too_odd"),
            "Broken": kind(502, "broken"),
            "Silent": kind(400, None),
        },
    }
    ir = ir_of(tmp_path, {"/v1/things": {"get": operation("listThings")}}, SCHEMAS, errors=errors)
    text = EMITTERS["client"](ir)["toy_client/errors.py"]
    classes = {
        node.name: ast.unparse(node.bases[0])
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef)
    }
    assert classes == {
        "ThingGone": "NotFoundError",
        "TooOdd": "APIStatusError",
        "Broken": "InternalServerError",
    }
    assert "\"message\": ('fault', 'text')" in text and "\"request_id\": ('fault', 'id')" in text
    assert "('error', 'message')" in text, "the default envelope is always known"


def test_the_committed_client_is_strictly_typed_for_its_users(tmp_path: Path) -> None:
    """Right calls of the fixture's client pass the type checker, wrong ones do not."""
    right = """\
from fixture_api import EasyMessage, Job, JobChunk, JobOrTicket, JobTicket, Item
from fixture_client import AsyncFixture, Fixture, Stream

client = Fixture()
job: JobOrTicket = client.workshop.create_job(machine="m", input="x")
ticket: JobTicket = client.workshop.create_job(machine="m", input="x", variant="ticket")
stream: Stream[JobChunk] = client.workshop.create_job(machine="m", input="x", stream=True)
mixed = client.workshop.create_job(
    machine="m",
    input=[EasyMessage(type="message", role="customer", content="c"), {"type": "job_reference", "id": "1"}],
    timeout=3,
)
item: Item = next(iter(client.crates.list_items("c", order="asc")))
data: bytes = client.crates.download_item("c", "i").read()


async def go(client: AsyncFixture) -> None:
    async with await client.workshop.create_job(machine="m", input="x", stream=True) as chunks:
        async for chunk in chunks:
            done: bool = chunk.done
    async for item in client.crates.list_items("c"):
        label: str = item.label
    async with client.workshop.create_session_websocket() as socket:
        answer: str = (await socket.receive()).text
"""
    wrong = [
        'client.workshop.create_job(input="x")',
        'client.workshop.create_job(machine=1, input="x")',
        'client.workshop.create_job(machine="m", input="x", unit="inch")',
        'client.workshop.create_job(machine="m", input="x", variant="brief")',
        'client.workshop.create_job(machine="m", input="x", timeouts=3)',
        'client.crates.list_items("c", order="up")',
    ]
    lines = ["from fixture_client import Fixture", "client = Fixture()", *wrong]
    write_tree(tmp_path, {"right.py": right, "wrong.py": "\n".join(lines) + "\n"})
    roots = [*ROOTS, str(REPOSITORY / "tests/fixture/generated")]
    settings = {"typeCheckingMode": "standard", "pythonVersion": "3.11", "extraPaths": roots}
    write_tree(tmp_path, {"pyrightconfig.json": json.dumps(settings)})
    command = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "--outputjson", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    found = [
        (Path(one["file"]).name, one["range"]["start"]["line"] + 1, one["message"])
        for one in json.loads(done.stdout)["generalDiagnostics"]
        if one["severity"] == "error"
    ]
    assert [one for one in found if one[0] == "right.py"] == []
    faults = {line for name, line, _ in found if name == "wrong.py"}
    assert faults == set(range(3, 3 + len(wrong))), found
