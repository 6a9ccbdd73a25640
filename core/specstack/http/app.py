"""Makes the server's ASGI app from routers, settings and the bundled spec."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI

from specstack.http.context import request_id_of
from specstack.http.dispatch import Receive, Scope, SpecApp
from specstack.http.endpoint import endpoints_of
from specstack.http.errors import error_reply
from specstack.http.reply import JSON_TYPE, Send, send_error, send_whole
from specstack.http.settings import HttpSettings

Callback = Callable[[], Awaitable[None]]

BUNDLE_PATH = "/openapi.json"


def build_app(
    routers: Iterable[APIRouter],
    *,
    settings: HttpSettings,
    documents: Mapping[str, bytes],
    startup: Callback,
    shutdown: Callback,
) -> SpecApp:
    """The app that serves what the routers hold.

    `documents` are JSON documents by path; the one at `/openapi.json` is the bundled spec that
    `app.openapi()` returns. `startup` runs before the first request and `shutdown` after the last;
    an error in `startup` stops the server. Raises `ValueError` when two operations claim one path.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        await startup()
        try:
            yield
        finally:
            await shutdown()

    # The documentation pages that FastAPI has load their scripts from a public network; we have none of it.
    inner = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    inner.openapi = _bundle_reader(documents.get(BUNDLE_PATH))
    endpoints = [found for router in routers for found in endpoints_of(router)]
    apps = {path: Document(body, settings) for path, body in documents.items()}
    return SpecApp(endpoints, settings, inner, apps)


def _bundle_reader(bundle: bytes | None) -> Callable[[], dict[str, Any]]:
    parsed: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not parsed and bundle is not None:
            parsed.update(json.loads(bundle))
        return parsed

    return openapi


class Document:
    """A prebuilt JSON document, for GET and HEAD."""

    __slots__ = ("_body", "_settings")

    def __init__(self, body: bytes, settings: HttpSettings) -> None:
        self._body = body
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the document."""
        request_id = request_id_of(dict(scope["headers"]))
        if scope["method"] in ("GET", "HEAD"):
            await send_whole(send, 200, [JSON_TYPE, (b"x-request-id", request_id.encode())], self._body)
            return
        errors = self._settings.errors
        message = f"{scope['method']} is not allowed here; this path takes GET."
        error = errors.error("method_not_allowed", message, headers={"allow": "GET"})
        reply = error_reply(error, errors.envelope(errors.default_envelope), request_id)
        await send_error(send, reply, request_id)
