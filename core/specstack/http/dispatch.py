"""The ASGI app of a server: the trie in front, a FastAPI app for everything that is not in the spec."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from fastapi import FastAPI
from starlette.routing import BaseRoute, Match

from specstack.http.call import Call, observing, show_end
from specstack.http.context import request_id_of
from specstack.http.endpoint import Endpoint, in_place, refuse_method
from specstack.http.errors import error_reply
from specstack.http.reply import Send, send_error
from specstack.http.settings import HttpSettings
from specstack.http.trie import Leaf, Trie
from specstack.http.websocket import reject
from specstack.underway import note_call
from specstack_wire import ApiError, RequestContext

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class SpecApp:
    """Serves the spec's operations by the trie and leaves other paths to `inner`, a FastAPI app.

    `documents` are fixed replies by path. Lifespan events go to `inner`.
    """

    def __init__(
        self,
        endpoints: Iterable[Endpoint],
        settings: HttpSettings,
        inner: FastAPI,
        documents: Mapping[str, AsgiApp],
    ) -> None:
        self.endpoints = tuple(endpoints)
        for endpoint in self.endpoints:
            endpoint.bind(settings)
        self.settings = settings
        self.inner = inner
        self._trie = Trie(self.endpoints)
        self._fixed = self._trie.fixed
        self._documents = dict(documents)
        self._observe = observing(settings.observers, None)

    def openapi(self) -> dict[str, Any]:
        """The bundled spec."""
        return self.inner.openapi()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection."""
        kind = scope["type"]
        if kind == "lifespan":
            await self.inner(scope, receive, send)
            return
        path: str = scope["path"]
        leaf = self._fixed.get(path)
        if leaf is None:
            raw_path: bytes | None = scope.get("raw_path")
            if root := scope.get("root_path"):
                path = path.removeprefix(root) or "/"
                raw_path = None if raw_path is None else raw_path.removeprefix(root.encode()) or b"/"
            leaf, scope["path_params"] = self._trie.find(path, raw_path)
        found: Endpoint | None = None
        if leaf is not None:
            found = leaf.methods.get(scope["method"]) if kind == "http" else leaf.socket
            if found is None and kind == "http":
                found = in_place(leaf.methods, scope["method"])
        if found is not None:
            await found(scope, receive, send)
            return
        await self._without_operation(path, leaf, scope, receive, send)

    async def _without_operation(
        self, path: str, leaf: Leaf | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answers what no operation does, with hooks and observers as if it were one."""
        ctx = RequestContext(request_id_of(dict(scope["headers"])))
        note_call(ctx)
        # Whoever answers finds the same id.
        headers = [*scope["headers"], (b"x-request-id", ctx.request_id.encode())]
        call = Call(None, {**scope, "headers": headers}, ctx)
        seen = None if self._observe is None else self._observe(call)
        if seen is not None or self.settings.hooks:
            send = _noting(call, send)
        try:
            await self._hooked(call, path, leaf, receive, send)
        finally:
            if seen is not None:
                show_end(seen)

    async def _hooked(self, call: Call, path: str, leaf: Leaf | None, receive: Receive, send: Send) -> None:
        known = [] if leaf is None else list(leaf.methods.values())
        # Whoever may use a path may be told which methods it takes.
        call.op = next((one.op for one in known if one.op.public), None)
        try:
            for hook in self.settings.hooks:
                await hook(call)
        except Exception as exc:
            call.error = self.settings.errors.explain(exc, call.ctx.request_id, "a hook")
            await self._refuse(call.error, path, call.scope, receive, send)
            return
        finally:
            call.op = None
        if leaf is None:
            await self._elsewhere(path, call.scope, receive, send)
        elif call.scope["type"] == "http":
            await refuse_method(known, self.settings, call.scope, send)
        else:
            await self._unknown(path, call.scope, receive, send)

    async def _elsewhere(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """What a plug-in router serves, a document, or an unknown path."""
        if any(_serves(route, scope) for route in self.inner.routes):
            await self.inner(scope, receive, _with_request_id(scope, send))
        elif path in self._documents and scope["type"] == "http":
            await self._documents[path](scope, receive, send)
        else:
            await self._unknown(path, scope, receive, send)

    async def _unknown(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        close = " or ".join(dict.fromkeys(self._trie.close_to(path)))
        hint = f"did you mean {close}?" if close else "GET /openapi.json lists what it serves."
        message = f"This server has nothing at {path}; {hint}"
        await self._refuse(self.settings.errors.error("not_found", message), path, scope, receive, send)

    async def _refuse(self, error: ApiError, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        errors = self.settings.errors
        request_id = request_id_of(dict(scope["headers"]))
        envelope = errors.envelope(self._trie.envelope_near(path) or errors.default_envelope)
        reply = error_reply(error, envelope, request_id)
        if scope["type"] == "websocket":
            await receive()
            await reject(scope, send, reply, request_id)
            return
        await send_error(send, reply, request_id)


def _noting(call: Call, send: Send) -> Send:
    """Notes the reply's status in the call, and adds the headers of hooks to it."""

    async def noting(message: MutableMapping[str, Any]) -> None:
        kind: str = message["type"]
        if kind in ("http.response.start", "websocket.http.response.start"):
            call.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), *call.headers]}
        elif kind == "websocket.accept":
            call.status = 101
        await send(message)
        call.whole = 0 < call.status < 400 and not message.get("more_body", False)

    return noting


def _serves(route: BaseRoute, scope: Scope) -> bool:
    return route.matches(scope)[0] is not Match.NONE


def _with_request_id(scope: Scope, send: Send) -> Send:
    """Adds the request id to the reply of a route that does not know of it."""
    request_id = request_id_of(dict(scope["headers"])).encode()

    async def tagged(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            if all(name != b"x-request-id" for name, _ in headers):
                message = {**message, "headers": [*headers, (b"x-request-id", request_id)]}
        await send(message)

    return tagged
