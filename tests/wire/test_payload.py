"""Payloads hold bytes, model or both, and make the other on first use."""

import json

import pytest
from pydantic import MISSING, Field, ValidationError

from specstack_wire import ApiModel, ClosedModel, JsonInt, NoParams, Payload, Request, given, is_given, tag_of
from specstack_wire.codec import codec_of
from specstack_wire.errors import UpstreamBroken


class Chat(ApiModel):
    model: str
    n: JsonInt | MISSING = MISSING  # pyright: ignore[reportInvalidTypeForm]


class Aliased(ApiModel):
    schema_: str = Field(alias="schema")


class Closed(ClosedModel):
    model: str


def test_bytes_pass_through_unread_and_unknown_fields_survive() -> None:
    raw = b'{ "model":"a",  "extra": [1.0] }'
    payload = Payload[Chat].from_raw(raw, Chat)
    assert payload.raw is raw
    assert "unread" in repr(payload)
    assert payload.body.model == "a"
    assert Payload.of(payload.body).raw == b'{"model":"a","extra":[1.0]}'


def test_an_omitted_field_stays_omitted() -> None:
    assert Payload.of(Chat(model="a")).raw == b'{"model":"a"}'
    assert not is_given(Chat(model="a").n)
    assert given(Chat(model="a").n, 3) == 3
    assert given(Chat(model="a", n=1).n, 3) == 1


def test_a_default_that_was_not_sent_is_not_written() -> None:
    class Sampled(ApiModel):
        model: str
        temperature: float = 1.0
        inner: Chat = Chat(model="x")

    sent = Payload[Sampled].from_raw(b'{"model":"a","model":"b","more":{"k":null}}', Sampled)
    assert json.loads(sent.replacing("model", "c").raw) == {"model": "c", "more": {"k": None}}


def test_replacing_splices_bytes_without_reading_them() -> None:
    payload = Payload[Chat].from_raw(b'{"model":"a", "n":1}', Chat).replacing("model", "b")
    assert "unread" in repr(payload)
    assert payload.raw == b'{"model":"b", "n":1}'
    assert payload.body.model == "b"


def test_replacing_changes_model_and_bytes_alike_when_both_exist() -> None:
    payload = Payload[Chat].from_raw(b'{"model":"a"}', Chat)
    assert payload.body.model == "a"
    changed = payload.replacing("model", "b")
    assert (changed.body.model, changed.raw) == ("b", b'{"model":"b"}')
    assert (payload.body.model, payload.raw) == ("a", b'{"model":"a"}')


def test_of_duplicate_keys_the_last_wins_for_every_reader() -> None:
    payload = Payload[Chat].from_raw(b'{"model":"first","model":"last"}', Chat)
    assert payload.body.model == "last"
    expected = b'{"model":"mine","model":"mine"}'
    assert payload.replacing("model", "mine").raw == expected
    unread = Payload[Chat].from_raw(b'{"model":"first","model":"last"}', Chat).replacing("model", "mine")
    assert (unread.raw, unread.body.model) == (expected, "mine")


MANY = ",".join(['{"model":"q","f":1.50,"e":1e400,"d":1,"d":2}'] * 17)


@pytest.mark.parametrize(
    "form",
    [
        f'{{"model":%s,"x":[{MANY}]}}',
        f'{{"x":[{MANY}], "model" : %s }}',
        '{"model":"other","f":1.50,"e":1e400,"model":%s}',
        f'{{"model":"other","x":[{MANY}],"mod\\u0065l":%s}}',
    ],
)
@pytest.mark.parametrize("is_read", [True, False])
def test_nothing_but_the_field_changes(form: str, is_read: bool) -> None:
    payload = Payload[Chat].from_raw((form % '"a"').encode(), Chat)
    if is_read:
        assert payload.body.model == "a"
    changed = payload.replacing("model", "b")
    assert changed.raw == (form % '"b"').replace('"other"', '"b"').encode()
    assert changed.body.model == "b"


def test_a_field_that_is_no_string_is_replaced_unread() -> None:
    payload = Payload[Chat].from_raw(b'{"model":null,"e":1e400}', Chat).replacing("model", "b")
    assert payload.raw == b'{"model":"b","e":1e400}'


@pytest.mark.parametrize("raw", [b'{"model":"a","model":"b"', b'{"model":"a","model":"b","x":NaN}', b"{"])
def test_broken_json_with_nothing_to_splice_is_the_upstreams_fault(raw: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        Payload[Chat].from_raw(raw, Chat).replacing("model", "c")


def test_replacing_an_absent_field_changes_nothing() -> None:
    payload = Payload[Chat].of(Chat(model="a"))
    assert payload.replacing("other", "x") is payload


def test_replacing_knows_wire_names_dicts_and_extra_fields() -> None:
    assert Payload.of(Aliased(schema="a")).replacing("schema", "b").raw == b'{"schema":"b"}'
    assert Payload.of({"id": "a"}).replacing("id", "b").body == {"id": "b"}
    extra = Payload[Chat].from_raw(b'{"model":"m","id":"a","id":"b"}', Chat).replacing("id", "c")
    assert json.loads(extra.raw)["id"] == "c"


def test_a_request_keeps_its_parameters_through_every_change() -> None:
    class Params(NoParams):
        thing_id: str

    request = Request[Chat, Params].received(
        b'{"model":"a"}', Chat(model="a"), Chat, Params(thing_id="x"), "rich"
    )
    changed = request.replacing("model", "b").replacing_param("thing_id", "y")
    assert (changed.raw, changed.params.thing_id, changed.variant) == (b'{"model":"b"}', "y", "rich")
    assert request.params.thing_id == "x"
    assert changed.replacing_body(Chat(model="c")).raw == b'{"model":"c"}'


@pytest.mark.parametrize(
    "raw", [b"[]", b"{", b'{"model":1}', b"\xff", b'{"model":"a","n":"5"}', b'{"model":"a","n":true}']
)
def test_wrong_bytes_are_a_validation_error_when_read(raw: bytes) -> None:
    with pytest.raises(ValidationError):
        _ = Payload[Chat].from_raw(raw, Chat).body


def test_an_integer_is_what_json_schema_says() -> None:
    assert codec_of(Chat).decode(b'{"model":"a","n":5.0}').n == 5
    with pytest.raises(ValidationError):
        codec_of(Chat).decode(b'{"model":"a","n":1.5}')


def test_a_number_too_large_for_a_float_is_refused() -> None:
    class Sampled(ApiModel):
        temperature: float

    with pytest.raises(ValidationError):
        codec_of(Sampled).decode(b'{"temperature":1e400}')


def test_closed_models_refuse_unknown_fields() -> None:
    with pytest.raises(ValidationError):
        codec_of(Closed).decode(b'{"model":"a","x":1}')


def test_tag_of_reads_dicts_and_models_and_has_a_default() -> None:
    tag = tag_of("model", "message")
    assert (tag({"model": "x"}), tag({}), tag(Chat(model="y")), tag(3)) == ("x", "message", "y", "message")
