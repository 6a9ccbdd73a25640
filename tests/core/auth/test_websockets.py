"""WebSockets of a server with keys: 401 at the handshake, before anything is accepted."""

import json
from typing import Any

import pytest
import websockets

from core.http.kit import Answer, Ask, app_of, asking, echo, live
from specstack.auth.api_keys import ApiKeys
from specstack.auth.hook import authentication
from specstack.auth.interface import Identity
from specstack.auth.keys import digest_of
from specstack.descriptors import WebSocketSpec
from specstack.http import ErrorTable, api_router, endpoint
from specstack_api import errors
from specstack_wire import Principal, RequestContext, Stream

KEY = "sk-the-key-of-ann-0001"
TABLE = ErrorTable.from_module(errors)
SOCKET = asking(websocket=WebSocketSpec(receive=Ask, send=Answer), envelope="openai")


async def say_who(ctx: RequestContext, incoming: Stream[Any]) -> Stream[Any]:
    async def answers() -> Any:
        async for _ in incoming:
            assert ctx.principal is not None
            yield Answer(id=ctx.principal.id, text=str(ctx.tenant))

    return Stream[Any].of(answers())


def guarded() -> Any:
    known = [(digest_of(KEY), Identity(Principal("ann"), "red"))]
    router = api_router(endpoint(SOCKET, echo, say_who))
    return app_of(router, errors=TABLE, hooks=(authentication(ApiKeys(known), TABLE),))


@pytest.mark.parametrize("path", ["/v1/asks", "/v1/none"])
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"x-api-key": KEY[:-1]}])
async def test_no_socket_without_a_key(path: str, headers: dict[str, str]) -> None:
    async with live(guarded()) as port:
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(f"ws://127.0.0.1:{port}{path}", additional_headers=headers)
    reply = refused.value.response
    assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert json.loads(reply.body)["error"]["code"] == "invalid_api_key"


async def test_a_socket_knows_its_caller() -> None:
    async with live(guarded()) as port:
        headers = {"authorization": f"Bearer {KEY}"}
        async with websockets.connect(f"ws://127.0.0.1:{port}/v1/asks", additional_headers=headers) as socket:
            await socket.send('{"subject": "tea"}')
            assert json.loads(await socket.recv()) == {"id": "ann", "text": "red"}
