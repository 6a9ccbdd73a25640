"""One operation of the spec as an ASGI callable: bytes in, handler, bytes out."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, cast

from fastapi import APIRouter
from starlette.routing import BaseRoute, Route, WebSocketRoute

from specstack.descriptors import Operation
from specstack.foreign import is_failure
from specstack.http.binding import Binding
from specstack.http.call import Call, Observer, listener, show_end, show_reply
from specstack.http.context import context_of, read_provider_data, request_id_of
from specstack.http.errors import ClientGone, ErrorReply, error_reply
from specstack.http.multipart import Uploads
from specstack.http.reply import (
    JSON_TYPE,
    Header,
    Send,
    send_binary,
    send_empty,
    send_error,
    send_stream,
    send_whole,
)
from specstack.http.settings import HttpSettings, default_settings
from specstack.http.watch import Receive, Watch
from specstack.http.websocket import SocketHandler, serve_socket
from specstack_wire import NO_PARAMS, Binary, Payload, Request, Stream

Scope = MutableMapping[str, Any]
Handler = Callable[..., Awaitable[Any]]
"""An operation's implementation: `(ctx, request) -> Payload | Stream | Binary | None`."""


class Endpoint:
    """An operation and its implementation, servable by any ASGI framework.

    `build_app` binds its settings; in any other app the API package's errors and the default
    limits hold. The request path is made from the operation once, at binding.
    """

    __slots__ = ("_binding", "_handler", "_socket", "op")

    def __init__(self, op: Operation, handler: Handler, socket: SocketHandler | None = None) -> None:
        self.op = op
        self._handler = handler
        self._socket = socket
        self._binding: Binding | None = None

    def bind(self, settings: HttpSettings) -> None:
        """Uses these settings from now on. Raises `ValueError` for an envelope that errors.yaml lacks."""
        self._binding = Binding(self.op, settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request or WebSocket."""
        bound = self._binding
        if bound is None:
            bound = self._binding = Binding(self.op, default_settings())
        if scope["type"] == "websocket":
            await serve_socket(self.op, bound, self._socket, scope, receive, send)
            return
        known: Any = scope
        headers: dict[bytes, bytes] = dict(known["headers"])
        ctx = context_of(headers, request_id_of(headers), self.op.id, bound.timeout)
        call = Call(self.op, known, ctx, [])
        seen = None if bound.observe is None else bound.observe(call)
        if seen is None:
            await self._serve(call, bound, headers, receive, send, None)
            return
        try:
            await self._serve(call, bound, headers, receive, send, seen)
        finally:
            show_end(seen)

    async def _serve(
        self,
        call: Call,
        bound: Binding,
        headers: dict[bytes, bytes],
        receive: Receive,
        send: Send,
        seen: Observer | None,
    ) -> None:
        ctx, scope = call.ctx, call.scope
        uploads = Uploads() if bound.has_files else None
        watch: Watch | None = None
        try:
            for hook in bound.hooks:
                await hook(call)
            read_provider_data(ctx, headers, bound.errors)
            params = NO_PARAMS if bound.params is None else bound.params.read(scope, headers)
            variant = "" if bound.variants is None else bound.variants.of(headers)
            raw: bytes | None = None
            body: Any = None
            if bound.body is not None:
                raw, body = await bound.body(receive, headers, uploads)
            request: Request[Any, Any] = Request(body, raw or None, bound.model, params, variant)
            call.request = request
            watch = Watch(receive, ctx.cancellation, bound.timeout)
            reply: Any = await self._handler(ctx, request)
            if isinstance(reply, Payload):
                payload = cast("Payload[Any]", reply)
                data = payload.raw
                if seen is not None:
                    show_reply(seen, payload)
                watch.began = True
                call.status = bound.status
                head: list[Header] = [JSON_TYPE, (b"x-request-id", ctx.request_id.encode()), *call.headers]
                await send_whole(send, bound.status, head, data)
                call.whole = True
            else:
                await self._send(call, bound, reply, send, watch, seen)
        except ClientGone:
            return
        except asyncio.CancelledError as error:
            if watch is None or watch.reason is None:
                if not is_failure(error):
                    raise
                await self._fail(error, call, bound, send, watch)
        except Exception as exc:
            await self._fail(exc, call, bound, send, watch)
        finally:
            if watch is not None:
                watch.stop()
            if uploads is not None:
                uploads.remove()
        if watch is not None and watch.reason is not None:
            await watch.settle()
            if watch.reason == "timeout" and not watch.began:
                await send_failure(send, bound.failure(bound.errors.timed_out(), call), call)

    async def _fail(
        self, exc: BaseException, call: Call, bound: Binding, send: Send, watch: Watch | None
    ) -> None:
        if watch is not None and watch.reason is not None:
            return
        reply = bound.failure(exc, call)
        if watch is not None and watch.began:
            # Half a reply is out: breaking off the connection is all that tells the client.
            raise exc
        await send_failure(send, reply, call)

    async def _send(
        self, call: Call, bound: Binding, reply: Any, send: Send, watch: Watch, seen: Observer | None
    ) -> None:
        head: list[Header] = [(b"x-request-id", call.ctx.request_id.encode()), *call.headers]

        def began() -> None:
            call.status = bound.status
            watch.reply_began()

        if isinstance(reply, Stream):
            stream = cast("Stream[Any]", reply)
            if bound.framer is None:
                await stream.aclose()
                raise TypeError(f"{self.op.id} returned a stream, but its spec has no x-stream")

            def failed(exc: BaseException) -> ErrorReply:
                return bound.failure(exc, call)

            on_events = None if seen is None else listener(seen)
            await send_stream(send, stream, bound.framer, head, began, failed, on_events)
        elif isinstance(reply, Binary):
            await send_binary(send, reply, bound.status, head, began)
        elif reply is None:
            began()
            await send_empty(send, bound.status, head)
        else:
            kind = type(reply).__name__
            raise TypeError(f"{self.op.id} returned {kind}, not a Payload, Stream, Binary or None")
        call.whole = call.error is None


async def send_failure(send: Send, reply: ErrorReply, call: Call) -> None:
    """An error reply to a call, with the headers that hooks have added."""
    call.status = reply.status
    await send_error(send, reply, call.ctx.request_id, call.headers)


def endpoint(op: Operation, handler: Handler, socket: SocketHandler | None = None) -> Endpoint:
    """The ASGI callable of an operation. `socket` serves its WebSocket, if it has one."""
    return Endpoint(op, handler, socket)


class _PathEndpoint:
    """All methods of one path, so that a 405 names exactly these in any app."""

    __slots__ = ("_by_method", "endpoints")

    def __init__(self, endpoints: list[Endpoint]) -> None:
        self.endpoints = endpoints
        self._by_method = {found.op.method: found for found in endpoints}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method: str = scope["method"]
        found = self._by_method.get(method) or in_place(self._by_method, method)
        if found is None:
            await refuse_method(self.endpoints, default_settings(), scope, send)
            return
        await found(scope, receive, send)


def in_place(methods: Mapping[str, Endpoint], method: str) -> Endpoint | None:
    """What answers a method that the spec does not have for a path: GET a HEAD, of which the server sends no
    body. None for every other.
    """
    return methods.get("GET") if method == "HEAD" else None


async def refuse_method(endpoints: list[Endpoint], settings: HttpSettings, scope: Scope, send: Send) -> None:
    """Answers 405 with the methods that the spec documents for the path."""
    allow = ", ".join(sorted(found.op.method for found in endpoints))
    errors = settings.errors
    message = f"{scope['method']} is not allowed here; this path takes {allow}."
    error = errors.error("method_not_allowed", message, headers={"allow": allow})
    request_id = request_id_of(dict(scope["headers"]))
    reply = error_reply(error, errors.envelope(endpoints[0].op.envelope), request_id)
    await send_error(send, reply, request_id)


def api_router(*endpoints: Endpoint) -> APIRouter:
    """A FastAPI router of the endpoints, their older paths included. It works in any FastAPI app."""
    by_path: defaultdict[str, list[Endpoint]] = defaultdict(list)
    for found in endpoints:
        for path in (found.op.path, *found.op.aliases):
            by_path[_route_path(path, found.op)].append(found)
    routes: list[BaseRoute] = []
    for path, group in sorted(by_path.items(), key=_specificity):
        routes.append(Route(path, _PathEndpoint(group), name=group[0].op.name))
        sockets = [found for found in group if found.op.websocket is not None]
        routes.extend(WebSocketRoute(path, found, name=f"{found.op.name}_websocket") for found in sockets)
    return APIRouter(routes=routes)


def endpoints_of(router: APIRouter) -> list[Endpoint]:
    """The endpoints that `api_router` put into a router."""
    found: dict[int, Endpoint] = {}
    for route in router.routes:
        if isinstance(route, Route) and isinstance(route.endpoint, _PathEndpoint):
            found.update((id(item), item) for item in route.endpoint.endpoints)
    return list(found.values())


def _route_path(path: str, op: Operation) -> str:
    for param in op.params:
        if param.greedy:
            path = path.replace("{" + param.name + "}", "{" + param.name + ":path}")
    return path


def _specificity(item: tuple[str, list[Endpoint]]) -> list[int]:
    """Fixed segments before parameters, parameters before ids with slashes, longer paths first."""
    ranks = [2 if part.endswith(":path}") else int(part.startswith("{")) for part in item[0].split("/")]
    return [*ranks, 3]
