"""What hooks may add to a reply, and what observers see of a call."""

import logging

import pytest

from core.http.kit import ERRORS, app_with, asking, call_raw, client_of, echo, piece, streaming
from specstack.http import Observer
from specstack_wire import Stream


class Seen(Observer):
    """Writes down all that it is told."""

    wants_events = True

    def __init__(self, call, log):
        self.call, self.log = call, log
        log.append("begin")

    def replied(self, reply):
        self.log.append(("replied", reply.raw, self.call.request.body.subject))

    def event(self, event):
        self.log.append(("event", event.raw))

    def ended(self):
        error = None if self.call.error is None else self.call.error.message
        self.log.append(("ended", self.call.status, self.call.whole, error))


def watching(log):
    def observer_for(op):
        log.append(("bound", None if op is None else op.id))
        return lambda call: Seen(call, log)

    return (observer_for,)


async def test_an_observer_is_bound_once_and_sees_request_reply_and_end():
    log = []
    app = app_with(asking(), echo, observers=watching(log))
    async with client_of(app) as client:
        for _ in range(2):
            reply = await client.post("/v1/asks", json={"subject": "a"}, headers={"x-request-id": "one"})
    assert log[:2] == [("bound", "ask"), ("bound", None)]
    assert log[2:] == 2 * ["begin", ("replied", reply.content, "a"), ("ended", 200, True, None)]


async def test_it_sees_refusals_of_hooks_and_of_validation():
    log = []

    async def no(call):
        if b"x-no" in dict(call.scope["headers"]):
            raise ERRORS.error("invalid", "not you")

    app = app_with(asking(), echo, hooks=(no,), observers=watching(log))
    async with client_of(app) as client:
        await client.post("/v1/asks", json={"subject": "a"}, headers={"x-no": "1"})
        await client.post("/v1/asks", json={})
    ends = [one for one in log if one[0] == "ended"]
    assert ends[0] == ("ended", 400, False, "not you")
    assert ends[1][:3] == ("ended", 400, False)
    assert "subject" in ends[1][3]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v1/none", 404), ("DELETE", "/v1/asks", 405)]
)
async def test_it_sees_what_no_operation_answers(method, path, status):
    log = []
    async with client_of(app_with(asking(), echo, observers=watching(log))) as client:
        assert (await client.request(method, path)).status_code == status
    assert log[-1][:3] == ("ended", status, False)


async def test_it_sees_events_and_a_stream_that_breaks():
    log = []

    async def handler(ctx, request):
        async def items():
            yield {"text": "one"}
            raise ERRORS.error("invalid", "broken")

        return Stream.of(items())

    async with client_of(app_with(streaming(), handler, observers=watching(log))) as client:
        await client.post("/v1/asks", json={"subject": "a"})
    assert [one[0] for one in log if isinstance(one, tuple)][2:] == ["event", "ended"]
    assert log[-1] == ("ended", 200, False, "broken")


async def test_a_client_that_leaves_is_no_reply():
    log = []
    app = app_with(asking(), echo, observers=watching(log))
    with pytest.raises(IndexError):  # nothing was sent
        await call_raw(app, [piece(b"{", more=True), {"type": "http.disconnect"}], {})
    assert log[-1] == ("ended", 0, False, None)


async def test_an_observer_that_fails_changes_nothing(caplog):
    class Broken(Observer):
        wants_events = True

        def replied(self, reply):
            raise ValueError("mine")

        event = ended = replied

    app = app_with(asking(), echo, observers=(lambda op: lambda call: Broken(),))
    with caplog.at_level(logging.ERROR):
        async with client_of(app) as client:
            assert (await client.post("/v1/asks", json={"subject": "a"})).status_code == 200
    assert "an observer failed" in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/asks", {"subject": "a"}),
        ("POST", "/v1/asks", {}),
        ("GET", "/v1/none", None),
        ("PUT", "/v1/asks", None),
    ],
)
async def test_a_hook_adds_headers_to_every_reply(method, path, body):
    async def add(call):
        call.headers.append((b"x-left", b"7"))

    async with client_of(app_with(asking(), echo, hooks=(add,))) as client:
        reply = await client.request(method, path, json=body)
    assert reply.headers["x-left"] == "7"
    assert len(reply.headers.get_list("x-request-id")) == 1
