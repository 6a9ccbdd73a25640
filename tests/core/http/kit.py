"""A hand-made little API to serve: operations, models, errors and ways to call them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import httpx
import uvicorn
from fastapi import APIRouter

from specstack.descriptors import Body, Operation, Param, Reply, StreamSpec
from specstack.http import ErrorTable, HttpSettings, SpecApp, api_router, build_app, endpoint
from specstack.http.server import ServerProtocol
from specstack_wire import MISSING, ApiError, ApiModel, JsonInt, Payload


def error_class(name: str, status: int) -> type[ApiError]:
    return type(name, (ApiError,), {"status": status, "type": "invalid_request_error", "code": name})


ROLES = {
    name: error_class(name, status)
    for name, status in {
        "not_found": 404,
        "method_not_allowed": 405,
        "too_large": 413,
        "unsupported_media": 415,
        "invalid": 400,
        "malformed": 400,
        "timeout": 504,
        "internal": 500,
    }.items()
}


def plain_envelope(error: ApiError, request_id: str | None) -> bytes:
    detail = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return json.dumps({"error": detail, "request_id": request_id}).encode()


def other_envelope(error: ApiError, request_id: str | None) -> bytes:
    return json.dumps({"fault": error.message, "request_id": request_id}).encode()


ERRORS = ErrorTable(ROLES, {"plain": plain_envelope, "other": other_envelope})


class Message(ApiModel):
    role: Literal["user", "system"]
    content: "str | list[Part]"


class Part(ApiModel):
    type: Literal["text"]
    text: str


class Ask(ApiModel):
    subject: str
    messages: list[Message] | MISSING = MISSING
    times: JsonInt | MISSING = MISSING
    heat: float | MISSING = MISSING
    stream: bool | MISSING = MISSING


class Answer(ApiModel):
    id: str
    text: str


def operation(id: str = "ask", method: str = "POST", path: str = "/v1/asks", **more: Any) -> Operation:
    fields: dict[str, Any] = {
        "name": id.lower(),
        "api": "things",
        "stability": "stable",
        "envelope": "plain",
        "reply": Reply(status=200, media="application/json", model=Answer),
    }
    return Operation(id=id, method=method, path=path, **{**fields, **more})


def asking(**more: Any) -> Operation:
    """An operation with a JSON body."""
    return operation(**{"body": Body(model=Ask, media=("application/json",)), **more})


def streaming(**more: Any) -> Operation:
    """An operation that streams server-sent events."""
    return asking(
        stream=StreamSpec(**{"media": "text/event-stream", "item": Answer, "end": "[DONE]", **more})
    )


def path_param(name: str, *, greedy: bool = False) -> Param:
    return Param(name=name, location="path", greedy=greedy)


async def nothing() -> None:
    pass


async def echo(ctx: Any, request: Any) -> Payload[Answer]:
    return Payload.of(Answer(id=ctx.request_id, text=request.body.subject))


def app_of(*routers: APIRouter, **settings: Any) -> SpecApp:
    return build_app(
        routers,
        settings=HttpSettings(**{"errors": ERRORS, **settings}),
        documents={"/openapi.json": b'{"openapi":"3.2.0"}'},
        startup=nothing,
        shutdown=nothing,
    )


def app_with(op: Operation, handler: Callable[..., Any], **settings: Any) -> SpecApp:
    """An app of one operation."""
    return app_of(api_router(endpoint(op, handler)), **settings)


def client_of(app: Any) -> httpx.AsyncClient:
    """A client that calls an app in the process."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@asynccontextmanager
async def live(app: Any, **more: Any) -> AsyncIterator[int]:
    """Serves an app on a loopback port with uvicorn as in production; gives the port."""
    settings: dict[str, Any] = {
        "http": ServerProtocol,
        "log_level": "critical",
        "timeout_graceful_shutdown": 1,
    }
    config = uvicorn.Config(app, host="127.0.0.1", port=0, **{**settings, **more})
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


async def call_raw(
    app: Any,
    messages: list[dict[str, Any]],
    headers: dict[str, str],
    path: str = "/v1/asks",
    method: str = "POST",
) -> tuple[int, bytes, list[dict[str, Any]]]:
    """Calls an app with these ASGI messages. Gives status, body and the messages that were left unread."""
    sent: list[dict[str, Any]] = []
    left = list(messages)

    async def receive() -> dict[str, Any]:
        if left:
            return left.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], body, left


def piece(body: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def http_head(*headers: str) -> bytes:
    """The start of a POST of JSON as bytes for a bare connection."""
    lines = ["POST /v1/asks HTTP/1.1", "host: x", "content-type: application/json", *headers, "", ""]
    return "\r\n".join(lines).encode()


def http_post(value: Any) -> bytes:
    """A JSON request as bytes for a bare connection."""
    body = json.dumps(value).encode()
    return http_head(f"content-length: {len(body)}") + body
