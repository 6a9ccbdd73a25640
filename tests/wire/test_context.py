"""A context survives storage, so that a job runs as its owner."""

import json

from specstack_wire import Cancellation, Principal, RequestContext


def test_dump_and_load_are_inverse_through_json() -> None:
    ctx = RequestContext(
        request_id="r",
        operation="op",
        principal=Principal("me", {"teams": ("a", "b")}),
        tenant="t",
        provider_data={"api_key": "k"},
        headers={"x": "y"},
        deadline=12.5,
        trace="00-x",
        idempotency_key="i",
    )
    assert RequestContext.load(json.loads(json.dumps(ctx.dump()))) == ctx
    anonymous = RequestContext(request_id="r")
    assert RequestContext.load(anonymous.dump()) == anonymous


def test_cancellation_runs_each_callback_once_even_when_late() -> None:
    cancellation, calls = Cancellation(), list[str]()
    cancellation.on_request(lambda: calls.append("early"))
    cancellation.request()
    cancellation.request()
    cancellation.on_request(lambda: calls.append("late"))
    assert cancellation.requested and calls == ["early", "late"]
