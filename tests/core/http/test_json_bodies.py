"""JSON in, JSON out: what is accepted, what is refused and how the refusal names its reason."""

import json

import pytest

from core.http.kit import ERRORS, Ask, app_with, asking, call_raw, client_of, echo, piece
from specstack.descriptors import Body
from specstack_wire import Payload

JSON = {"content-type": "application/json"}


async def post(content, headers=JSON, op=None, handler=echo, **settings):
    async with client_of(app_with(op or asking(), handler, **settings)) as client:
        return await client.post("/v1/asks", content=content, headers=headers)


async def test_a_valid_body_reaches_the_handler_as_model_and_bytes():
    seen = []

    async def handler(ctx, request):
        seen.append(request)
        return await echo(ctx, request)

    raw = b'{"subject": "tea", "new_field": [1]}'
    reply = await post(raw, handler=handler)
    assert reply.status_code == 200
    assert reply.json() == {"id": reply.headers["x-request-id"], "text": "tea"}
    assert reply.headers["content-type"] == "application/json"
    assert seen[0].raw == raw
    assert seen[0].body.new_field == [1]


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON ;charset=UTF-8"]
)
async def test_json_content_types(content_type):
    assert (await post(b'{"subject":"a"}', {"content-type": content_type})).status_code == 200


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "nonsense", None]
)
async def test_another_content_type_is_415_and_says_what_is_taken(content_type):
    headers = {} if content_type is None else {"content-type": content_type}
    reply = await post(b'{"subject":"a"}', headers)
    assert reply.status_code == 415
    assert "application/json" in reply.json()["error"]["message"]


@pytest.mark.parametrize("headers", [JSON, {}])
async def test_a_missing_required_body_is_400(headers):
    reply = await post(b"", headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid")
    assert "body" in reply.json()["error"]["message"]


@pytest.mark.parametrize("headers", [JSON, {}])
async def test_a_missing_optional_body_is_none(headers):
    async def handler(ctx, request):
        assert request.body is None
        return None

    op = asking(body=Body(model=Ask, media=("application/json",), required=False))
    assert (await post(b"", headers, op, handler)).status_code == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b'{"subject":}',
        b"\xff\xfe{}",
        b'{"subject":"\xff"}',
        b'{"subject":"\\ud800"}',
        b'{"subject":"a","heat":NaN}',
        b'{"subject":"a","heat":-Infinity}',
        b'{"subject":"a","unknown":[NaN]}',
        b'{"subject":"a","unknown":Infinity,"long":"' + b"x" * 40_000 + b'"}',
        b'{"subject":"a","unknown":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"subject":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}",
        b'{"subject":"a","unknown":' + b"9" * 10_000 + b"}",
        b"{'subject':'a'}",
        b'{"subject":"a"} trailing',
    ],
    ids=lambda raw: repr(raw[:40]),
)
async def test_broken_json_is_400_malformed(raw):
    reply = await post(raw)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "malformed")


@pytest.mark.parametrize("text", ["NaN", "Infinity is far", "-Infinity", "INI file, Nan"])
async def test_words_like_constants_inside_strings_are_fine(text):
    assert (await post(json.dumps({"subject": text, "pad": "N" * 50_000}).encode())).json()["text"] == text
    assert (await post(json.dumps({"subject": text}).encode())).json()["text"] == text


async def test_of_duplicate_keys_the_last_wins():
    assert (await post(b'{"subject":"first","subject":"last"}')).json()["text"] == "last"


async def test_a_wrong_field_is_named():
    reply = await post(
        b'{"subject":"a","messages":[{"role":"user","content":"x"},{"role":"owner","content":"y"}]}'
    )
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (400, "invalid", "messages[1].role")
    assert "'user' or 'system'" in error["message"]


async def test_the_limit_holds_at_once_by_content_length():
    headers = {**JSON, "content-length": "101"}
    status, body, left = await call_raw(
        app_with(asking(), echo, body_limit=100), [piece(b"x" * 101)], headers
    )
    assert status == 413
    assert "100 bytes" in json.loads(body)["error"]["message"]
    assert left, "the body was read although its length was known"


async def test_the_limit_holds_while_reading_when_no_length_was_announced():
    messages = [piece(b"x" * 60, more=True), piece(b"x" * 60, more=True), piece(b"x" * 60)]
    status, _, left = await call_raw(app_with(asking(), echo, body_limit=100), messages, JSON)
    assert status == 413
    assert len(left) == 1


async def test_the_limit_holds_against_a_lying_content_length():
    messages = [piece(b'{"subject":"' + b"x" * 200 + b'"}')]
    status, _, _ = await call_raw(
        app_with(asking(), echo, body_limit=100), messages, {**JSON, "content-length": "10"}
    )
    assert status == 413


async def test_a_body_of_exactly_the_limit_is_read():
    raw = b'{"subject":"abc"}'
    assert (await post(raw, body_limit=len(raw))).status_code == 200


async def test_an_operation_has_its_own_limit():
    op = asking(body=Body(model=Ask, media=("application/json",), limit=30))
    assert (await post(b'{"subject":"' + b"x" * 30 + b'"}', op=op)).status_code == 413
    assert (await post(b'{"subject":"a"}', op=op, body_limit=5)).status_code == 200


async def test_a_body_in_many_pieces_is_put_together():
    raw = b'{"subject":"green tea"}'
    messages = [piece(bytes([byte]), more=True) for byte in raw] + [piece(b"")]
    status, body, _ = await call_raw(app_with(asking(), echo), messages, JSON)
    assert (status, json.loads(body)["text"]) == (200, "green tea")


async def test_a_client_that_leaves_while_sending_gets_no_handler_and_no_reply():
    called = []

    async def handler(ctx, request):
        called.append(request)

    with pytest.raises(IndexError):  # nothing was sent
        await call_raw(
            app_with(asking(), handler), [piece(b"{", more=True), {"type": "http.disconnect"}], JSON
        )
    assert not called


async def test_bytes_of_a_reply_pass_through_untouched():
    async def handler(ctx, request):
        return Payload.from_raw(b'{"id" : "1",  "text":"x"}', None)

    assert (await post(b'{"subject":"a"}', handler=handler)).content == b'{"id" : "1",  "text":"x"}'


def test_roles_that_errors_yaml_forgot_are_named():
    from specstack.http import ErrorTable

    with pytest.raises(ValueError, match=r"not_found.*malformed"):
        ErrorTable({"invalid": ERRORS.error("invalid", "x").__class__}, {})
