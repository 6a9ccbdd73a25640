"""The ASGI app of a server: the trie in front, a FastAPI app for everything that is not in the spec."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from fastapi import FastAPI
from starlette.routing import BaseRoute, Match

from specstack.descriptors import Operation
from specstack.http.context import ask_hooks, request_id_of
from specstack.http.endpoint import Endpoint, refuse_method
from specstack.http.errors import error_reply
from specstack.http.reply import Send, send_error
from specstack.http.settings import HttpSettings
from specstack.http.trie import Trie
from specstack.http.websocket import reject
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
        if leaf is None:
            await self._elsewhere(path, scope, receive, send)
            return
        found = leaf.methods.get(scope["method"]) if kind == "http" else leaf.socket
        if found is not None:
            await found(scope, receive, send)
            return
        known = list(leaf.methods.values())
        public = next((one.op for one in known if one.op.public), None)
        if not await self._admits(public, path, scope, receive, send):
            return
        if kind == "http":
            await refuse_method(known, self.settings, scope, send)
        else:
            await self._unknown(path, scope, receive, send)

    async def _admits(
        self, op: Operation | None, path: str, scope: Scope, receive: Receive, send: Send
    ) -> bool:
        """Whether the hooks let a request to no operation through; it is answered if they do not."""
        if not self.settings.hooks:
            return True
        ctx = RequestContext(request_id_of(dict(scope["headers"])))
        errors = self.settings.errors
        try:
            await ask_hooks(self.settings.hooks, op, scope, ctx)
        except Exception as exc:
            await self._refuse(errors.explain(exc, ctx.request_id, "a hook"), path, scope, receive, send)
            return False
        return True

    async def _elsewhere(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """What a plug-in router serves, a document, or an unknown path."""
        if not await self._admits(None, path, scope, receive, send):
            return
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
