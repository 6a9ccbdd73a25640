"""The check of every reply against the spec: it lets sound ones through and no other."""

import json
import os
import subprocess
import sys
from typing import Any

import httpx
import pytest

from core.http.kit import ERRORS, Answer, app_with, asking, client_of, streaming
from specstack.testing import validator
from specstack.testing.validator import Validated, noting
from specstack_wire import Payload, Stream

ERROR = {"$ref": "#/components/responses/Error"}
BUNDLE: dict[str, Any] = {
    "openapi": "3.2.0",
    "paths": {
        "/v1/asks": {
            "post": {
                "operationId": "ask",
                "responses": {
                    "200": {
                        "headers": {"x-request-id": {"required": True}},
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Answer"}},
                            "text/event-stream": {
                                "itemSchema": {
                                    "properties": {
                                        "data": {"contentSchema": {"$ref": "#/components/schemas/Answer"}}
                                    }
                                }
                            },
                        },
                    },
                    "default": ERROR,
                },
            }
        }
    },
    "components": {
        "schemas": {
            "Answer": {
                "type": "object",
                "required": ["id", "text"],
                "properties": {"id": {"type": "string"}, "text": {"$ref": "#/components/schemas/Text"}},
            },
            "Text": {"type": "string", "maxLength": 5},
            "Error": {"type": "object", "required": ["error"]},
        },
        "responses": {
            "Error": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
        },
    },
}


@pytest.fixture(autouse=True, params=["with jsonschema_rs", "without"])
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validator, "_rules_of", validator.ReplyRules)
    if request.param == "without":
        monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    else:
        pytest.importorskip("jsonschema_rs")


def client(op: Any, handler: Any, bundle: dict[str, Any] = BUNDLE) -> httpx.AsyncClient:
    return client_of(Validated(app_with(op, handler, observers=(noting,)), json.dumps(bundle).encode()))


async def ask(op: Any, handler: Any, bundle: dict[str, Any] = BUNDLE, **body: Any) -> tuple[int, str]:
    async with client(op, handler, bundle) as found:
        reply = await found.post("/v1/asks", json=body or {"subject": "a"})
        return reply.status_code, reply.text


def answers(value: Any) -> Any:
    async def handler(ctx: Any, request: Any) -> Any:
        return Payload.from_raw(json.dumps(value).encode(), Answer)

    return handler


def streams(*values: Any, error: str = "") -> Any:
    async def handler(ctx: Any, request: Any) -> Any:
        async def items() -> Any:
            for value in values:
                yield value
            if error:
                raise ERRORS.error("invalid", error)

        return Stream.of(items())

    return handler


async def test_sound_replies_pass() -> None:
    assert await ask(asking(), answers({"id": "1", "text": "short"})) == (200, '{"id": "1", "text": "short"}')
    status, text = await ask(asking(), answers({}), subject=7)
    assert (status, "does not fit the spec" in text) == (400, False)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"id": "1"}, "'text' is a required property"),
        ({"id": 1, "text": "a"}, "id: 1 is not of type 'string'"),
        ({"id": "1", "text": "too long"}, "text: 'too long' is too long"),
    ],
)
async def test_a_reply_that_does_not_fit_becomes_an_error(value: Any, fault: str) -> None:
    status, text = await ask(asking(), answers(value))
    assert status == 500
    assert f"the reply of ask does not fit the spec: {fault}" in json.loads(text)["error"]["message"].replace(
        "the body: ", ""
    )


async def test_status_media_type_and_headers_must_be_documented() -> None:
    def without(way: str, key: str) -> dict[str, Any]:
        copy = json.loads(json.dumps(BUNDLE))
        node = copy["paths"]["/v1/asks"]["post"]["responses"]
        for step in way.split("/") if way else ():
            node = node[step]
        del node[key]
        return copy

    good = answers({"id": "1", "text": "a"})
    undocumented = await ask(asking(), good, without("", "default"), subject=7)
    assert "status 400 is not documented" in undocumented[1]
    assert (
        "content-type application/json is none of text/event-stream"
        in (await ask(asking(), good, without("200/content", "application/json")))[1]
    )
    copy = json.loads(json.dumps(BUNDLE))
    copy["paths"]["/v1/asks"]["post"]["responses"]["200"]["headers"]["x-more"] = {"required": True}
    assert "the header x-more is missing" in (await ask(asking(), good, copy))[1]


async def test_streams_pass_event_by_event_and_end_at_the_first_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    good = {"id": "1", "text": "a"}
    status, text = await ask(streaming(), streams(good, good))
    assert (status, text.count("data: "), "[DONE]" in text) == (200, 3, True)
    status, text = await ask(streaming(), streams(good, {"id": 1, "text": "a"}, good))
    assert "[DONE]" not in text and "internal" in text
    assert text.count('"id":"1"') == 1
    assert "the reply of ask does not fit the spec: id: 1 is not of type 'string'" in caplog.text
    status, text = await ask(streaming(), streams(good, error="broken"))
    assert "broken" in text and "does not fit" not in text


@pytest.mark.parametrize(
    ("value", "on"), [("1", True), ("true", True), ("0", False), ("off", False), ("", False)]
)
def test_what_the_environment_says(value: str, on: bool) -> None:
    """What is not plainly off is on: a check that somebody wants must not be left out in silence."""
    code = "import specstack.assembly as found; print(found.VALIDATING)"
    environment = {**os.environ, "SPECSTACK_VALIDATE_REPLIES": value, "PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == str(on)
