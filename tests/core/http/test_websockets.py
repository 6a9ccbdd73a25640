"""The WebSocket of an operation, over uvicorn and the websockets client."""

import asyncio
import json

import pytest
import websockets
from fastapi import FastAPI

from core.http.kit import ERRORS, Answer, Ask, app_of, app_with, asking, client_of, echo, live
from specstack.descriptors import WebSocketSpec
from specstack.http import HttpSettings, api_router, endpoint
from specstack_wire import Stream

SOCKET = asking(websocket=WebSocketSpec(receive=Ask, send=Answer))


async def talk(ctx, incoming):
    """Answers each frame with its subject."""

    async def answers():
        async for event in incoming:
            if event.body.subject == "boom":
                raise RuntimeError("the secret")
            if event.body.subject == "refuse":
                raise ERRORS.error("invalid", "not this", param="subject")
            if event.body.subject == "bye":
                return
            yield Answer(id=ctx.request_id, text=event.body.subject)

    return Stream.of(answers())


def app(socket=talk, **settings):
    return app_of(api_router(endpoint(SOCKET, echo, socket)), **settings)


def open_socket(port, path="/v1/asks", **more):
    return websockets.connect(f"ws://127.0.0.1:{port}{path}", **more)


async def ask(socket, value):
    await socket.send(value if isinstance(value, str | bytes) else json.dumps(value))
    return json.loads(await asyncio.wait_for(socket.recv(), 2))


async def test_frames_become_models_and_answers_frames():
    async with live(app()) as port, open_socket(port) as socket:
        first = await ask(socket, {"subject": "tea"})
        assert first["text"] == "tea"
        assert first["id"] == socket.response.headers["x-request-id"]
        assert (await ask(socket, {"subject": "milk"}))["text"] == "milk"


async def test_the_post_on_the_same_path_still_works():
    async with client_of(app()) as client:
        assert (await client.post("/v1/asks", json={"subject": "a"})).json()["text"] == "a"


@pytest.mark.parametrize(
    ("frame", "code", "param"),
    [
        ("{", "malformed", None),
        ('{"subject":5}', "invalid", "subject"),
        ('{"times":1}', "invalid", "subject"),
        (b'{"subject":"a"}', "malformed", None),
        ('{"subject":"' + "x" * 2000 + '"}', "too_large", None),
        ('{"subject":"a","heat":NaN}', "malformed", None),
    ],
)
async def test_a_bad_frame_is_told_and_the_connection_lives(frame, code, param):
    async with live(app(body_limit=1000)) as port, open_socket(port) as socket:
        error = await ask(socket, frame)
        assert (error["type"], error["error"]["code"], error["error"]["param"]) == ("error", code, param)
        assert error["status"] in (400, 413)
        assert (await ask(socket, {"subject": "tea"}))["text"] == "tea"


@pytest.mark.parametrize(
    ("subject", "status", "close"), [("refuse", 400, 1008), ("boom", 500, 1011)]
)  # fmt: skip
async def test_a_failing_handler_ends_with_an_error_frame_and_a_close_code(subject, status, close):
    async with live(app()) as port, open_socket(port) as socket:
        error = await ask(socket, {"subject": subject})
        assert (error["type"], error["status"]) == ("error", status)
        assert "secret" not in json.dumps(error)
        with pytest.raises(websockets.ConnectionClosed):
            await asyncio.wait_for(socket.recv(), 2)
        assert socket.close_code == close


async def test_a_handler_that_ends_closes_normally():
    async with live(app()) as port, open_socket(port) as socket:
        await socket.send('{"subject":"bye"}')
        await asyncio.wait_for(socket.wait_closed(), 2)
        assert socket.close_code == 1000


@pytest.mark.parametrize("reads", [True, False])
async def test_a_client_that_leaves_ends_the_handler_within_a_second(reads):
    ended = asyncio.Event()
    contexts = []

    async def handler(ctx, incoming):
        contexts.append(ctx)

        async def source():
            try:
                yield Answer(id="1", text="hello")
                if reads:
                    async for _ in incoming:
                        pass
                else:
                    await asyncio.sleep(60)
            finally:
                ended.set()

        return Stream.of(source())

    async with live(app(handler)) as port:
        async with open_socket(port) as socket:
            await socket.recv()
        await asyncio.wait_for(ended.wait(), 1)
        assert contexts[0].cancellation.requested


async def test_hooks_refuse_a_socket_before_it_opens():
    async def no(call):
        raise ERRORS.error("invalid", "not you")

    async with live(app(hooks=(no,))) as port:
        with pytest.raises(websockets.InvalidStatus) as refused:
            await open_socket(port)
    assert refused.value.response.status_code == 400
    assert json.loads(refused.value.response.body)["error"]["message"] == "not you"


@pytest.mark.parametrize("path", ["/v1/none", "/v1/asks"])
async def test_no_socket_here_is_404(path):
    async with live(app_with(asking(), echo)) as port:
        with pytest.raises(websockets.InvalidStatus) as refused:
            await open_socket(port, path)
    assert refused.value.response.status_code == 404
    assert json.loads(refused.value.response.body)["error"]["code"] == "not_found"


async def test_a_socket_in_a_bare_fastapi_app():
    bare = FastAPI()
    found = endpoint(SOCKET, echo, talk)
    found.bind(HttpSettings(ERRORS))
    bare.include_router(api_router(found))
    async with live(bare) as port, open_socket(port) as socket:
        assert (await ask(socket, {"subject": "tea"}))["text"] == "tea"


async def test_a_client_that_breaks_off_under_a_flood_ends_the_handler(caplog):
    ended = asyncio.Event()

    async def handler(ctx, incoming):
        async def source():
            try:
                while True:
                    yield Answer(id="1", text="x" * 10_000)
                    await asyncio.sleep(0)
            finally:
                ended.set()

        return Stream.of(source())

    async with live(app(handler)) as port:
        socket = await open_socket(port)
        await socket.recv()
        socket.transport.abort()
        await asyncio.wait_for(ended.wait(), 1.5)
    assert not [record for record in caplog.records if record.name == "specstack.http"]
