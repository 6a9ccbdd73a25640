"""What a call's headers mean, hooks, reply variants and time limits."""

import asyncio
import json
import time

import pytest

from core.http.kit import (
    ERRORS,
    Answer,
    app_with,
    asking,
    call_raw,
    client_of,
    echo,
    operation,
    piece,
    streaming,
)
from specstack.descriptors import Variant
from specstack_wire import Payload, Principal, RequestContext, Stream


async def context_from(headers, **settings) -> RequestContext:
    seen = []

    async def handler(ctx, request):
        seen.append(ctx)
        return await echo(ctx, request)

    async with client_of(app_with(asking(), handler, **settings)) as client:
        reply = await client.post("/v1/asks", json={"subject": "a"}, headers=headers)
    assert reply.headers["x-request-id"] == seen[0].request_id
    return seen[0]


async def test_a_request_gets_an_id_of_its_own():
    first, second = await context_from({}), await context_from({})
    assert first.request_id != second.request_id
    assert first.request_id.startswith("req_")
    assert first.operation == "ask"


async def test_a_sane_id_of_the_client_is_kept():
    assert (await context_from({"X-Request-Id": "my-1.b:2_c"})).request_id == "my-1.b:2_c"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, 'a"b', "ä"])
async def test_another_id_is_replaced(given):
    assert (await context_from({"x-request-id": given.encode()})).request_id.startswith("req_")


async def test_trace_and_idempotency_key():
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"traceparent": parent, "tracestate": "a=b", "baggage": "c=d", "Idempotency-Key": "k1"}
    ctx = await context_from(headers)
    assert (ctx.trace, ctx.idempotency_key) == (parent, "k1")
    assert ctx.headers == {"tracestate": "a=b"}
    assert (await context_from({})).idempotency_key is None


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-09-new", True),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-new", False),
        ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", False),
        ("00-00000000000000000000000000000000-b7ad6b7169203331-01", False),
        ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", False),
        ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", False),
        ("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x", False),
        ("00-abc-def-01", False),
        ("", False),
    ],
)
async def test_a_trace_is_one_by_the_rules_of_w3c_or_none(given, taken):
    ctx = await context_from({"traceparent": given, "tracestate": "a=b"})
    assert ctx.trace == (given[:55] if taken else None)
    assert ctx.headers == ({"tracestate": "a=b"} if taken else {})


@pytest.mark.parametrize("state", ["", "ä=b", "a=" + "b" * 600])
async def test_a_state_that_is_none_does_not_travel(state):
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    ctx = await context_from({"traceparent": parent, "tracestate": state.encode()})
    assert (ctx.trace, ctx.headers) == (parent, {})


async def test_the_deadline_is_the_request_timeout_from_now():
    ctx = await context_from({}, request_timeout=30.0)
    assert ctx.deadline == pytest.approx(time.time() + 30, abs=5)
    assert (await context_from({}, request_timeout=None)).deadline is None


@pytest.mark.parametrize(
    "name", ["X-Stack-Provider-Data", "X-LlamaStack-Provider-Data", "X-OGX-Provider-Data"]
)
async def test_provider_data(name):
    assert (await context_from({name: '{"api_key": "k"}'})).provider_data == {"api_key": "k"}


async def test_of_several_headers_with_provider_data_ours_counts():
    names = ("X-OGX-Provider-Data", "X-Stack-Provider-Data", "X-LlamaStack-Provider-Data")
    given = {name: json.dumps({"of": name}) for name in names}
    assert (await context_from(given)).provider_data == {"of": "X-Stack-Provider-Data"}


@pytest.mark.parametrize("value", ["{", "[1]", "k", "", "[" * 100_000])
async def test_bad_provider_data_is_400_and_not_repeated(value):
    async with client_of(app_with(asking(), echo)) as client:
        headers = {"X-Stack-Provider-Data": value}
        reply = await client.post("/v1/asks", json={"subject": "a"}, headers=headers)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "x-stack-provider-data")


async def test_hooks_run_before_the_body_is_read_and_fill_in_the_context():
    order = []

    async def who(call):
        order.append(("hook", call.op.id, call.scope["path"]))
        call.ctx.principal = Principal("ann")

    async def handler(ctx, request):
        order.append(("handler", ctx.principal.id))
        return await echo(ctx, request)

    app = app_with(asking(), handler, hooks=(who,))
    async with client_of(app) as client:
        assert (await client.post("/v1/asks", json={"subject": "a"})).status_code == 200
    assert order == [("hook", "ask", "/v1/asks"), ("handler", "ann")]


async def test_a_hook_refuses_without_reading_the_body():
    async def no(call):
        raise ERRORS.error("invalid", "not you")

    status, body, left = await call_raw(app_with(asking(), echo, hooks=(no,)), [piece(b"{}")], {})
    assert (status, json.loads(body)["error"]["message"]) == (400, "not you")
    assert left


VARIANTS = (
    Variant(name="short", header="X-Form", value="^short$", model=Answer),
    Variant(name="any", header="X-Other", value=None, model=Answer),
)


@pytest.mark.parametrize(
    ("headers", "variant"),
    [
        ({}, ""),
        ({"x-form": "short"}, "short"),
        ({"x-form": "shorter"}, ""),
        ({"x-other": "whatever"}, "any"),
        ({"x-form": "short", "x-other": "1"}, "short"),
    ],
)
async def test_the_first_variant_whose_header_matches_is_chosen(headers, variant):
    async def handler(ctx, request):
        return Payload.of(Answer(id="1", text=request.variant))

    async with client_of(app_with(operation(method="GET", variants=VARIANTS), handler)) as client:
        assert (await client.get("/v1/asks", headers=headers)).json()["text"] == variant


async def test_an_error_is_in_the_envelope_of_the_operation():
    async with client_of(app_with(asking(envelope="other"), echo)) as client:
        reply = await client.post("/v1/asks", json={})
    assert reply.json() == {
        "fault": "Missing required field 'subject'.",
        "request_id": reply.headers["x-request-id"],
    }


def test_an_unknown_envelope_is_a_start_up_error():
    with pytest.raises(ValueError, match=r"unknown error envelope 'none'; errors\.yaml has plain, other"):
        app_with(asking(envelope="none"), echo)


async def test_a_call_that_takes_too_long_is_cancelled_and_504():
    ended = []

    async def handler(ctx, request):
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(ctx.cancellation.requested)

    async with client_of(app_with(asking(), handler, request_timeout=0.1)) as client:
        began = time.monotonic()
        reply = await client.post("/v1/asks", json={"subject": "a"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (504, "timeout")
    assert time.monotonic() - began < 2
    assert ended == [True]
    assert not asyncio.current_task().cancelling()


async def test_a_handler_that_turns_its_cancellation_into_an_error_is_still_504():
    async def handler(ctx, request):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise OSError("connection lost") from None

    async with client_of(app_with(asking(), handler, request_timeout=0.1)) as client:
        assert (await client.post("/v1/asks", json={"subject": "a"})).status_code == 504
    assert not asyncio.current_task().cancelling()


async def test_a_handler_that_answers_in_spite_of_its_cancellation_answers_once():
    async def handler(ctx, request):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return await echo(ctx, request)

    async with client_of(app_with(asking(), handler, request_timeout=0.1)) as client:
        assert (await client.post("/v1/asks", json={"subject": "a"})).status_code == 200


async def test_a_long_stream_is_not_cut_by_the_request_timeout():
    async def source():
        for number in range(5):
            yield Answer(id=str(number), text="x")
            await asyncio.sleep(0.12)

    async def handler(ctx, request):
        return Stream.of(source())

    async with client_of(app_with(streaming(), handler, request_timeout=0.2)) as client:
        assert (await client.post("/v1/asks", json={"subject": "a"})).text.endswith("[DONE]\n\n")


async def test_a_stream_that_does_not_begin_in_time_is_504():
    async def source():
        await asyncio.sleep(60)
        yield Answer(id="1", text="x")

    async def handler(ctx, request):
        return Stream.of(source())

    async with client_of(app_with(streaming(), handler, request_timeout=0.1)) as client:
        assert (await client.post("/v1/asks", json={"subject": "a"})).status_code == 504


async def test_a_cancellation_from_outside_goes_through():
    async def handler(ctx, request):
        await asyncio.sleep(60)

    async with client_of(app_with(asking(), handler)) as client:
        call = asyncio.create_task(client.post("/v1/asks", json={"subject": "a"}))
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def cancelled_itself() -> None:
    task = asyncio.create_task(asyncio.sleep(60))
    await asyncio.sleep(0)
    task.cancel()
    await task


async def test_a_handler_that_lets_a_cancellation_of_its_own_out_is_500_in_the_envelope():
    async def handler(ctx, request):
        await cancelled_itself()

    async with client_of(app_with(asking(), handler)) as client:
        reply = await client.post("/v1/asks", json={"subject": "a"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (500, "internal")


async def test_a_stream_that_lets_a_cancellation_of_its_own_out_ends_with_an_error_event():
    async def source():
        yield Answer(id="1", text="x")
        await cancelled_itself()

    async def handler(ctx, request):
        return Stream.of(source())

    async with client_of(app_with(streaming(), handler)) as client:
        reply = await client.post("/v1/asks", json={"subject": "a"})
    first, last = reply.text.strip().split("\n\n")
    assert '"id":"1"' in first and "error" in last and "[DONE]" not in reply.text
