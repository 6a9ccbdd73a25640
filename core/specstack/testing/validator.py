"""Checks every reply of a running server against the spec: on with SPECSTACK_VALIDATE_REPLIES=1, for tests.

A reply that does not fit does not go out. An error takes its place that says what is wrong, so that whatever
test made the call fails, and the log says it as well. It needs the package jsonschema, which the extra
`codegen` brings. Where jsonschema_rs is installed as well, as it is with schemathesis, that looks first, in a
fraction of the time, and jsonschema only says what is wrong with a reply that does not fit.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from functools import lru_cache
from importlib import import_module
from typing import Any, cast

from specstack.http import Call, Observe, Observer

_OPERATION = "specstack.validated"
_DOCUMENT = "urn:specstack:bundle"

_log = logging.getLogger("specstack.testing")

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


class ReplyRules:
    """What the spec says of replies. `bundle` is the published OpenAPI document as JSON."""

    def __init__(self, bundle: bytes) -> None:
        self._document = cast("dict[str, Any]", json.loads(bundle))
        paths = cast("dict[str, dict[str, dict[str, Any]]]", self._document["paths"])
        self._operations = {
            operation["operationId"]: operation
            for item in paths.values()
            for operation in item.values()
            if "operationId" in operation
        }
        self._checkers: dict[int, tuple[object, Callable[[object], Iterator[str]]]] = {}

    def response(self, operation: str, status: int) -> dict[str, Any] | None:
        """What the spec says of a status of an operation; None if nothing."""
        responses = self._operations[operation]["responses"]
        found = responses.get(str(status)) or responses.get("default")
        return None if found is None else self._resolved(found)

    def faults(self, operation: str, status: int, headers: Mapping[str, str], body: bytes) -> Iterator[str]:
        """What is wrong with a whole reply."""
        response = self.response(operation, status)
        if response is None:
            yield f"status {status} is not documented"
            return
        yield from self._missing_headers(response, headers)
        content = response.get("content")
        if not content:
            if body:
                yield f"status {status} is documented without a body, and there are {len(body)} bytes"
            return
        media = _media(headers)
        if media not in content:
            yield f"content-type {media or 'none'} is none of {', '.join(content)}"
        elif _is_json(media):
            yield from self._json_faults(content[media].get("schema"), body)

    def stream_faults(self, operation: str, status: int, headers: Mapping[str, str]) -> Iterator[str]:
        """What is wrong with the head of a stream."""
        response = self.response(operation, status)
        media = _media(headers)
        if response is None or media not in response.get("content", {}):
            yield f"a stream of {media} is not documented for status {status}"
            return
        yield from self._missing_headers(response, headers)

    def event_faults(self, operation: str, status: int, media: str, data: bytes) -> Iterator[str]:
        """What is wrong with an event of a stream. An event that tells of an error has its own form."""
        response = self.response(operation, status) or {}
        item = self._resolved(response["content"][media].get("itemSchema", {}))
        schemas = list(self._data_schemas(item)) or [item]
        # An event of an error may be described as the error reply alone.
        error = (self.response(operation, 500) or {}).get("content", {}).get("application/json", {})
        first: list[str] | None = None
        for schema in (*schemas, error.get("schema", False)):
            faults = list(self._json_faults(schema, data))
            if not faults:
                return
            first = first or faults
        yield from first or ()

    def _data_schemas(self, item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The schemas of the JSON in an event's `data`, of every form that an event may have."""
        for form in (item, *item.get("oneOf", ()), *item.get("anyOf", ())):
            data = self._resolved(form).get("properties", {}).get("data", {})
            if "contentSchema" in data:
                yield data["contentSchema"]

    def is_stream(self, operation: str, status: int, headers: Mapping[str, str]) -> bool:
        """Whether the spec describes the reply's items rather than its whole."""
        response = self.response(operation, status) or {}
        return "itemSchema" in response.get("content", {}).get(_media(headers), {})

    def _missing_headers(self, response: Mapping[str, Any], headers: Mapping[str, str]) -> Iterator[str]:
        for name, header in response.get("headers", {}).items():
            if self._resolved(header).get("required") and name.lower() not in headers:
                yield f"the header {name} is missing"

    def _json_faults(self, schema: Mapping[str, Any] | bool | None, body: bytes) -> Iterator[str]:
        try:
            value = json.loads(body)
        except ValueError as error:
            yield f"the body is no JSON: {error}"
            return
        if schema is None:
            return
        found = self._checkers.get(id(schema))
        if found is None:
            # The schema is kept with its checker, so that no other one comes to have its address.
            found = self._checkers[id(schema)] = (schema, self._checker(schema))
        yield from found[1](value)

    def _checker(self, schema: Mapping[str, Any] | bool) -> Callable[[object], Iterator[str]]:
        # References in the document are relative to it; here they need its name.
        text = json.dumps(schema, sort_keys=True).replace('"$ref": "#/', f'"$ref": "{_DOCUMENT}#/')
        absolute = json.loads(text)
        telling = _telling(absolute, self._document)
        fits = _fits(absolute, self._document)
        if fits is None:
            return telling

        def faults(value: object) -> Iterator[str]:
            if not fits(value):
                yield from list(telling(value)) or ["jsonschema_rs finds that it does not fit"]

        return faults

    def _resolved(self, node: Mapping[str, Any]) -> dict[str, Any]:
        while "$ref" in node:
            way = cast(str, node["$ref"]).removeprefix("#/").split("/")
            found: Any = self._document
            for step in way:
                found = found[step.replace("~1", "/").replace("~0", "~")]
            node = cast("dict[str, Any]", found)
        return cast("dict[str, Any]", node)


# Servers of one spec, of which a test run starts many, share what is read of it and compiled for it.
_rules_of = lru_cache(maxsize=8)(ReplyRules)


class Validated:
    """An ASGI app whose replies are checked. Its app must tell the operation of a call: see `noting`."""

    def __init__(self, app: Callable[..., Awaitable[None]], bundle: bytes) -> None:
        self._app = app
        self._rules = _rules_of(bundle)

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        reply = _Reply(self._rules, scope, send)
        await self._app(scope, receive, reply.send)


def noting(operation: Any) -> Observe | None:
    """The observer that tells `Validated` which operation a call is of."""
    if operation is None:
        return None

    def observe(call: Call) -> Observer | None:
        call.scope[_OPERATION] = call.op.id if call.op is not None else None
        return None

    return observe


class _Reply:
    """One reply on its way out: a whole one is held until it has been checked, a stream event by event."""

    def __init__(self, rules: ReplyRules, scope: Message, send: Send) -> None:
        self._rules = rules
        self._scope = scope
        self._out = send
        self._start: Message = {}
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._streams = False

    async def send(self, message: Message) -> None:
        operation = self._scope.get(_OPERATION)
        if operation is None:
            await self._out(message)
        elif message["type"] == "http.response.start":
            self._start = message
            self._headers = {name.decode(): value.decode("latin-1") for name, value in message["headers"]}
            status: int = message["status"]
            self._streams = self._rules.is_stream(operation, status, self._headers)
            if self._streams:
                self._refuse(operation, list(self._rules.stream_faults(operation, status, self._headers)))
                await self._out(message)
        elif message["type"] == "http.response.body":
            await self._content(operation, message)
        else:
            await self._out(message)

    async def _content(self, operation: str, message: Message) -> None:
        more = message.get("more_body", False)
        self._body += message.get("body", b"")
        status: int = self._start["status"]
        if self._streams:
            for data in self._events():
                media = _media(self._headers)
                self._refuse(operation, list(self._rules.event_faults(operation, status, media, data)))
            await self._out(message)
            return
        if more:
            return
        body = bytes(self._body)
        faults = list(self._rules.faults(operation, status, self._headers, body))
        if faults:
            body = _told(operation, faults)
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
            self._start = {"type": "http.response.start", "status": 500, "headers": headers}
        await self._out(self._start)
        await self._out({"type": "http.response.body", "body": body})

    def _events(self) -> Iterator[bytes]:
        """The data of the events that are complete by now, without the closing one."""
        lines = "event-stream" not in _media(self._headers)
        boundary = b"\n" if lines else b"\n\n"
        while (end := self._body.find(boundary)) >= 0:
            event = bytes(self._body[:end])
            del self._body[: end + len(boundary)]
            if not lines:
                parts = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
                event = b"\n".join(parts)
            if event and event != b"[DONE]":
                yield event

    @staticmethod
    def _refuse(operation: str, faults: list[str]) -> None:
        if faults:
            raise AssertionError(_told(operation, faults).decode())


def _telling(schema: Any, document: dict[str, Any]) -> Callable[[object], Iterator[str]]:
    """What jsonschema says of a value. The schema's references are to `document`, by its name."""
    from jsonschema import Draft202012Validator
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT202012

    resource: Any = Resource.from_contents(document, default_specification=DRAFT202012)
    registry: Any = cast("Any", Registry)().with_resource(_DOCUMENT, resource)
    validator: Any = Draft202012Validator(schema, registry=registry)

    def faults(value: object) -> Iterator[str]:
        for error in validator.iter_errors(value):
            place = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in error.absolute_path)
            yield f"{place.lstrip('.') or 'the body'}: {str(error.message)[:300]}"

    return faults


def _fits(schema: Any, document: dict[str, Any]) -> Callable[[object], bool] | None:
    """Whether a value fits, by jsonschema_rs; None where that is not installed."""
    try:
        fast: Any = import_module("jsonschema_rs")
    except ImportError:
        return None
    registry = fast.Registry([(_DOCUMENT, document)], draft=fast.Draft202012)
    return fast.Draft202012Validator(schema, registry=registry).is_valid


def _told(operation: str, faults: list[str]) -> bytes:
    message = f"the reply of {operation} does not fit the spec: {'; '.join(faults)}"
    _log.error("%s", message)
    return json.dumps(
        {"error": {"message": message, "type": "api_error", "param": None, "code": None}}
    ).encode()


def _media(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").split(";")[0].strip()


def _is_json(media: str) -> bool:
    return media == "application/json" or media.endswith("+json")
