"""The mock server: replies that fit their schemas, requests that are checked, errors on request."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from importlib import import_module, resources
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import openai
import pytest

from specstack.cli.mock_server import mock_app
from specstack.descriptors import GeneratedServer
from specstack_codegen.examples import Examples
from specstack_server import SERVER
from support.serving import serving

ROOT = Path(__file__).parents[2]
FIXTURE = ROOT / "tests/fixture/generated"
METHODS = {"get", "post", "put", "patch", "delete"}
MESSAGES: Any = [{"role": "user", "content": "Why is the sky blue?"}]


def server_of(name: str) -> GeneratedServer:
    return SERVER if name == "specstack" else import_module("fixture_server").SERVER


@pytest.fixture(scope="module", params=["specstack", "fixture"])
def mocked(request: pytest.FixtureRequest) -> Iterator[tuple[Any, dict[str, Any]]]:
    """A mock app and the document of what it serves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FIXTURE))
        server = server_of(request.param)
        text = (resources.files(server.openapi) / "openapi.json").read_text()
        yield mock_app(server), json.loads(text)


@pytest.fixture
async def caller(mocked: tuple[Any, dict[str, Any]]) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(mocked[0])
    async with httpx.AsyncClient(transport=transport, base_url="http://mock") as client:
        yield client


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS & item.keys():
            parameters = [*item.get("parameters", ()), *item[method].get("parameters", ())]
            yield (
                method,
                path,
                {**item[method], "parameters": [resolved(one, document) for one in parameters]},
            )


def resolved(value: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in value:
        return value
    for part in value["$ref"].removeprefix("#/").split("/"):
        document = document[part]
    return document


def example_request(
    method: str, path: str, operation: dict[str, Any], document: dict[str, Any]
) -> dict[str, Any]:
    """A request that fits the operation, as httpx takes it."""
    examples = Examples(document["components"]["schemas"])
    query: dict[str, Any] = {}
    headers: dict[str, str] = {}
    for one in operation["parameters"]:
        value = one.get("example", examples.of(one["schema"]))
        if one["in"] == "path":
            path = path.replace("{" + one["name"] + "}", str(value))
        elif one.get("required"):
            (query if one["in"] == "query" else headers)[one["name"]] = value
    made: dict[str, Any] = {"method": method, "url": path, "params": query, "headers": headers}
    content = resolved(operation.get("requestBody", {}), document).get("content", {})
    if content:
        media, described = next(iter(content.items()))
        value = examples.of(described["schema"])
        made.update(body_of(media, value, described["schema"], document))
    return made


def body_of(media: str, value: Any, schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    if media == "application/json":
        return {"json": value}
    fields = {key: one if isinstance(one, str) else json.dumps(one) for key, one in value.items()}
    if media == "application/x-www-form-urlencoded":
        return {"data": fields}
    properties = resolved(schema, document)["properties"]
    files = {key for key in fields if resolved(properties[key], document).get("format") == "binary"}
    return {
        "data": {key: one for key, one in fields.items() if key not in files},
        "files": {key: ("file.bin", b"bytes") for key in files},
    }


def fits(value: Any, schema: dict[str, Any], document: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(value)


async def test_every_operation_answers_with_what_it_documents(
    mocked: tuple[Any, dict[str, Any]], caller: httpx.AsyncClient
) -> None:
    document, answered = mocked[1], 0
    for method, path, operation in operations(document):
        request = example_request(method, path, operation, document)
        reply = await caller.request(**request)
        documented = operation["responses"].get(str(reply.status_code))
        assert documented is not None and reply.status_code < 300, f"{operation['operationId']}: {reply.text}"
        content = documented.get("content", {})
        media = reply.headers.get("content-type", "").split(";")[0]
        if not content:
            assert reply.content == b""
        elif "itemSchema" in content[media]:
            assert list(items_of(reply.text, media, operation, document))
        elif media == "application/json":
            fits(reply.json(), content[media]["schema"], document)
        else:
            assert reply.content
        answered += 1
    assert answered == len(list(operations(document))) > 10


def items_of(text: str, media: str, operation: dict[str, Any], document: dict[str, Any]) -> Iterator[Any]:
    """The items of a stream, each checked; the closing sentinel must be the last."""
    lines = [
        line.removeprefix("data: ") for line in text.splitlines() if line and not line.startswith("event: ")
    ]
    if end := operation["x-stream"].get("end"):
        assert lines.pop() == end
    for line in lines:
        item = json.loads(line)
        fits(item, {"$ref": f"#/components/schemas/{operation['x-stream']['item']}"}, document)
        yield item


async def test_streams_on_request_are_valid(
    mocked: tuple[Any, dict[str, Any]], caller: httpx.AsyncClient
) -> None:
    document, streamed = mocked[1], 0
    for method, path, operation in operations(document):
        when = operation.get("x-stream", {}).get("when", "")
        if not when.startswith("body."):
            continue
        request = example_request(method, path, operation, document)
        request["json"] = {**request["json"], when.removeprefix("body."): True}
        reply = await caller.request(**request)
        media = reply.headers["content-type"].split(";")[0]
        assert reply.status_code == 200 and media in operation["responses"]["200"]["content"]
        assert list(items_of(reply.text, media, operation, document))
        streamed += 1
    assert streamed > 0


async def test_requests_are_checked(mocked: tuple[Any, dict[str, Any]], caller: httpx.AsyncClient) -> None:
    document = mocked[1]
    for method, path, operation in operations(document):
        request = example_request(method, path, operation, document)
        if "json" not in request or not isinstance(request["json"], dict):
            continue
        reply = await caller.request(**{**request, "json": [1]})
        assert reply.status_code == 400, operation["operationId"]
        failure = operation["responses"].get("400", operation["responses"].get("default"))
        schema = resolved(failure, document)["content"]["application/json"]["schema"]
        fits(reply.json(), schema, document)
    assert (await caller.get("/nothing/here")).status_code == 404
    assert (await caller.get("/openapi.json")).json() == document


async def test_ids_in_paths_stand_in_the_replies(
    mocked: tuple[Any, dict[str, Any]], caller: httpx.AsyncClient
) -> None:
    document = mocked[1]
    echoed: set[tuple[str, str]] = set()
    for method, path, operation in operations(document):
        examples = Examples(document["components"]["schemas"])
        ids = {
            # Where there is a pattern, what fits with another letter behind it.
            one["name"]: examples.of(one["schema"]) + "z" if "pattern" in one["schema"] else f"an-{number}-id"
            for number, one in enumerate(operation["parameters"])
            if one["in"] == "path"
        }
        request = example_request(method, path, operation, document)
        reply = await caller.request(**{**request, "url": path.format(**ids)})
        assert reply.status_code < 300, reply.text
        if not ids or reply.headers.get("content-type") != "application/json":
            continue
        told, last = reply.json(), path.rpartition("/")[2].strip("{}")
        documented = operation["responses"][str(reply.status_code)]["content"]["application/json"]
        fits(told, documented["schema"], document)
        for name, value in told.items():
            if name in ids:
                assert value == ids[name], f"{operation['operationId']}: {name}"
                echoed.add((operation["operationId"], name))
            elif name == "id" and last in ids:
                assert value == ids[last], operation["operationId"]
                echoed.add((operation["operationId"], name))
            else:
                assert value not in ids.values(), f"{operation['operationId']}: {name}"
    at_least = {("deleteModel", "id"), ("getChatCompletion", "id"), ("inspectProvider", "provider_id")}
    crates = {
        ("addItem", "crate_id"),
        ("retrieveItem", "id"),
        ("unregisterMachine", "id"),
        ("updateCrate", "id"),
    }
    assert echoed >= (crates if "/v1/crates" in document["paths"] else at_least)


async def test_ids_with_slashes_and_signs_stand_in_the_replies_too() -> None:
    transport = httpx.ASGITransport(mock_app(SERVER))
    async with httpx.AsyncClient(transport=transport, base_url="http://mock") as client:
        for path, wanted in (
            ("/v1/models/some/id", "some/id"),
            ("/v1/models/some%2Fid%20%C3%A9%22", 'some/id é"'),
            ("/v1/openai/v1/models/old", "old"),
        ):
            for method in ("GET", "DELETE"):
                assert (await client.request(method, path)).json()["id"] == wanted
        assert (await client.get("/v1/chat/completions/abc")).json()["id"] == "abc"
        made = await client.post("/v1/chat/completions", json={"model": "m", "messages": MESSAGES})
        assert made.json()["id"] not in ("", "abc") and made.json()["model"] == "m"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(mock_app(SERVER), log_config=None) as running:
        yield running


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as found:
        yield found


def test_the_official_client_chats(client: openai.OpenAI) -> None:
    chat = client.chat.completions.create(model="any/model", messages=MESSAGES)
    assert chat.model == "any/model"
    assert chat.choices[0].message.content == "Air scatters blue light more than red."
    assert chat.usage is not None and chat.usage.total_tokens == 33


def test_the_official_client_streams(client: openai.OpenAI) -> None:
    pieces = list(client.chat.completions.create(model="m", messages=MESSAGES, stream=True))
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
    assert text == "Air scatters blue light more than red."
    assert (pieces[-1].choices[0].finish_reason, {piece.model for piece in pieces}) == ("stop", {"m"})
    words = list(client.completions.create(model="m", prompt="Once upon a time", stream=True))
    assert "".join(piece.choices[0].text for piece in words) == " there was a small house."


def test_the_official_client_embeds_and_lists(client: openai.OpenAI) -> None:
    found = client.embeddings.create(model="m", input="The sky is blue.")
    assert found.data[0].embedding == [0.12, -0.03, 0.07]
    assert [model.object for model in client.models.list()] == ["model"]
    assert client.models.retrieve("some/model").id == "some/model"
    gone = client.models.delete("some/model")
    assert (gone.id, gone.deleted) == ("some/model", True)


@pytest.mark.parametrize(
    ("code", "kind", "name"),
    [
        ("400", openai.BadRequestError, "invalid_request"),
        ("401", openai.AuthenticationError, "invalid_api_key"),
        ("404", openai.NotFoundError, "model_not_found"),
        ("429", openai.RateLimitError, "rate_limit_exceeded"),
        ("502", openai.InternalServerError, "upstream_authentication_failed"),
        ("invalid_tool_choice", openai.BadRequestError, "invalid_tool_choice"),
    ],
)
def test_errors_on_request(
    client: openai.OpenAI, code: str, kind: type[openai.APIStatusError], name: str
) -> None:
    for stream in (False, True):
        with pytest.raises(kind) as refused:
            client.chat.completions.create(
                model="m", messages=MESSAGES, stream=stream, extra_headers={"prefer": f"code={code}"}
            )
        assert refused.value.code == name
        assert "asked for by prefer" in str(refused.value)


def test_an_error_within_a_stream(url: str, client: openai.OpenAI) -> None:
    prefer = {"prefer": "code=502, after=1"}
    heard: list[str] = []
    with pytest.raises(openai.APIError, match="asked for by prefer"):
        for chunk in client.chat.completions.create(
            model="m", messages=MESSAGES, stream=True, extra_headers=prefer
        ):
            heard.append(chunk.id)
    assert len(heard) == 1
    body = {"model": "m", "messages": MESSAGES}
    reply = httpx.post(f"{url}/v1/chat/completions", json={**body, "stream": True}, headers=prefer)
    assert reply.status_code == 200 and reply.text.count("data: ") == 2 and "[DONE]" not in reply.text
    assert httpx.post(f"{url}/v1/chat/completions", json=body, headers=prefer).status_code == 502
    for wrong, words in (("code=502, after=x", "after is a number"), ("code=zzz, after=1", "No error has")):
        reply = httpx.post(f"{url}/v1/chat/completions", json=body, headers={"prefer": wrong})
        assert reply.status_code == 400 and words in reply.text


def test_a_request_that_does_not_fit_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="m", messages=[])
    assert refused.value.param == "messages"


def test_other_examples_and_preferences_that_make_no_sense(url: str) -> None:
    body = {"model": "m", "input": "x"}
    for prefer, status in (("example=1", 200), ("code=200, example=1", 200), ("wait=5", 200)):
        reply = httpx.post(f"{url}/v1/embeddings", json=body, headers={"prefer": prefer})
        assert reply.status_code == status, prefer
    for prefer, words in (
        ("code=418", "No error has the code 418"),
        ("example=2", "has one example; prefer example=1."),
        ("example=x", "prefer example=1"),
        ("example=0", "prefer example=1"),
    ):
        reply = httpx.post(f"{url}/v1/embeddings", json=body, headers={"prefer": prefer})
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "prefer")
        assert words in reply.json()["error"]["message"]


def test_a_spec_folder_is_served_by_the_command(tmp_path: Path) -> None:
    spec = ROOT / "tests/codegen/golden/tiny/spec"
    command = [sys.executable, "-c", "from specstack.cli.main import main; main()"]
    with subprocess.Popen(
        [*command, "spec", "mock", str(spec), "--port", "0"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            address = re.search(r"http://127\.0\.0\.1:\d+", line)
            assert address is not None, line + process.stdout.read()
            document = httpx.get(f"{address[0]}/openapi.json").json()
            assert "/v1/shops" in document["paths"]
            assert httpx.get(f"{address[0]}/v1/shops").status_code == 200
        finally:
            process.send_signal(signal.SIGINT)
    assert process.returncode == 0


def test_a_port_that_is_taken_is_said(url: str) -> None:
    port = url.rsplit(":", 1)[1]
    command = [sys.executable, "-c", "from specstack.cli.main import main; main()", "spec", "mock"]
    done = subprocess.run([*command, "--port", port], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert f"error: cannot listen on 127.0.0.1:{port} (" in done.stderr
    assert "Traceback" not in done.stderr
