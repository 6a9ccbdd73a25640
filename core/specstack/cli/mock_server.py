"""A server that answers every operation of a spec with an example of its reply.

Only the replies are made up. Requests take the real way: the generated operations, the trie, validation,
event streams and error envelopes are those of the server.
"""

import json
import re
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module, resources
from types import ModuleType
from typing import Any, TypeVar, cast

from pydantic import BaseModel

from specstack.config import load_reference
from specstack.descriptors import GeneratedServer, Operation, ResourceSpec
from specstack.http import ErrorTable, HttpSettings, SpecApp, api_router, build_app, endpoint
from specstack.http.call import Call
from specstack.http.settings import Hook
from specstack_codegen.examples import Examples
from specstack_wire import ApiError, Binary, Event, Payload, Request, RequestContext, Stream

_BINARY = b"An example of a file.\n"
_PREFERENCE = re.compile(r'\s*([a-zA-Z-]+)\s*=\s*"?([^",;]*)"?\s*')
_COUNT = re.compile(r"\d{1,6}")
_LAST = re.compile(r"\{([^{}]+)\}$")
_SCHEMAS = "#/components/schemas/"

Json = Mapping[str, Any]
P = TypeVar("P", bound=Payload[Any])


@dataclass(slots=True)
class Answers:
    """What one operation answers with.

    `echoes` maps a reply's field to the request's place of its value. `failure` gives the error of a status
    or code.
    """

    op: Operation
    failure: Callable[[str], ApiError]
    replies: list[bytes] = field(default_factory=list[bytes])
    variants: dict[str, bytes] = field(default_factory=dict[str, bytes])
    events: list[bytes] = field(default_factory=list[bytes])
    when: str | None = None
    echoes: dict[str, str] = field(default_factory=dict[str, str])

    async def __call__(
        self, ctx: RequestContext, request: Request[Any, Any]
    ) -> Payload[Any] | Stream[Any] | Binary | None:
        """Answer one request that is valid."""
        echoes = {name: value for name, place in self.echoes.items() if (value := _value(request, place))}
        failure = self.failure(ctx.headers["code"]) if "code" in ctx.headers else None
        if self.op.stream is not None and (self.when is None or _value(request, self.when) is True):
            events = self.events if failure is None else self.events[: int(ctx.headers["after"])]
            return Stream[Any].events(self._events(events, echoes, failure))
        if failure is not None:
            raise failure
        if self.op.reply.model is None:
            media = self.op.reply.media
            return None if media is None else Binary(_BINARY, media, length=len(_BINARY))
        if request.variant:
            raw = self.variants[request.variant]
        else:
            raw = self.replies[int(ctx.headers.get("example", "1")) - 1]
        return _echoed(Payload[Any].from_raw(raw, self.op.reply.model), echoes)

    async def _events(
        self, events: list[bytes], echoes: Mapping[str, str], failure: ApiError | None
    ) -> AsyncGenerator[Event[Any]]:
        assert self.op.stream is not None
        for raw in events:
            yield _echoed(Event[Any].from_raw(raw, self.op.stream.item), echoes)
        if failure is not None:
            raise failure


def mock_app(server: GeneratedServer) -> SpecApp:
    """The mock of a generated server. Raises NoExample for a reply of which no valid example can be made."""
    folder = resources.files(server.openapi)
    documents = {f"/{name}": (folder / name).read_bytes() for name in ("openapi.json", "openapi-3.1.json")}
    errors = import_module(server.errors)
    bundle = cast("Json", json.loads(documents["/openapi.json"]))
    kinds = _kinds(errors)
    found = list(_all_answers(server, bundle, kinds))
    hook = _preferences({one.op.id: one for one in found}, kinds)
    settings = HttpSettings(errors=ErrorTable.from_module(errors), hooks=(hook,))
    router = api_router(*(endpoint(one.op, one) for one in found))
    return build_app([router], settings=settings, documents=documents, startup=_nothing, shutdown=_nothing)


def _all_answers(server: GeneratedServer, bundle: Json, kinds: list[type[ApiError]]) -> Iterator[Answers]:
    documented, named_by = _by_id(bundle), _named_by(bundle)
    examples = Examples(bundle["components"]["schemas"])
    for entry in server.apis.values():
        for op in cast("tuple[Operation, ...]", load_reference(entry.operations)):
            empty = Answers(op, partial(_asked_for, kinds=kinds, own=_own(op, server)))
            yield _filled(empty, documented[op.id], examples, named_by)


def _by_id(bundle: Json) -> dict[str, Json]:
    """The operations as they are documented, with the parameters of their paths."""
    found: dict[str, Json] = {}
    for item in cast("dict[str, Json]", bundle["paths"]).values():
        for value in item.values():
            if isinstance(value, dict) and "operationId" in value:
                operation = cast("dict[str, Any]", value)
                parameters = [*item.get("parameters", ()), *operation.get("parameters", ())]
                resolved = [_parameter(one, bundle) for one in parameters]
                found[operation["operationId"]] = {**operation, "parameters": resolved}
    return found


def _parameter(value: Json, bundle: Json) -> Json:
    name = str(value.get("$ref", "")).removeprefix("#/components/parameters/")
    return bundle["components"]["parameters"][name] if name else value


def _filled(
    found: Answers, documented: Json, examples: Examples, named_by: Mapping[str, set[str]]
) -> Answers:
    op = found.op
    media: Json = documented["responses"].get(str(op.reply.status), {}).get("content", {})
    schema: Json | None = media.get(op.reply.media or "", {}).get("schema")
    if op.reply.model is not None and schema is not None:
        found.replies = [_json(value) for value in examples.stated(schema) or [examples.of(schema)]]
    for variant in documented.get("x-variant", ()):
        found.variants[variant["name"]] = _json(examples.of({"$ref": _SCHEMAS + variant["reply"]}))
    stream: Json = documented.get("x-stream", {})
    item: Json | None = {"$ref": _SCHEMAS + stream["item"]} if stream else None
    if item is not None:
        found.when = stream.get("when")
        found.events = [_json(value) for value in examples.stated(item) or [examples.of(item)]]
    found.echoes = _echoes(documented, schema, item, examples.components, named_by)
    return found


def _echoes(
    documented: Json,
    reply: Json | None,
    item: Json | None,
    components: Json,
    named_by: Mapping[str, set[str]],
) -> dict[str, str]:
    """Reply fields that hold an id which the request names, and where it does.

    They are known by the resource that both are of, or by the name that both have. The `id` of a reply is
    that of the path if the reply's component is what such a path is about.
    """
    in_path = {one["name"]: f"path.{one['name']}" for one in documented["parameters"] if one["in"] == "path"}
    of_resource: dict[str, str] = {}
    for parameter in documented["parameters"]:
        if "x-resource" in parameter:
            of_resource.setdefault(parameter["x-resource"], f"{parameter['in']}.{parameter['name']}")
    body: Json = documented.get("requestBody", {}).get("content", {}).get("application/json", {})
    for name, value in _fields(body.get("schema", {}), components):
        if "x-resource" in value:
            of_resource.setdefault(value["x-resource"], f"body.{name}")
    found: dict[str, str] = {}
    for schema in (reply, item):
        for name, value in _fields(schema or {}, components):
            place = of_resource.get(value.get("x-resource", "")) or in_path.get(name)
            if place is None and name == "id" and schema is reply:
                own = sorted(named_by.get(_component(schema), set()) & in_path.keys())
                place = in_path[own[0]] if own else None
            if place is not None and _is_text(value, components):
                found[name] = place
    return found


def _named_by(bundle: Json) -> dict[str, set[str]]:
    """Components of replies, and the parameters with which paths end that name one of them."""
    found: dict[str, set[str]] = {}
    for path, item in cast("dict[str, Json]", bundle["paths"]).items():
        last = _LAST.search(path)
        for operation in item.values() if last else ():
            replies: Json = (
                cast("Json", operation).get("responses", {}) if isinstance(operation, dict) else {}
            )
            for status, told in replies.items():
                if status.startswith("2"):
                    for media in cast("dict[str, Json]", told.get("content", {})).values():
                        found.setdefault(_component(media.get("schema")), set()).add(last[1] if last else "")
    return found


def _component(schema: Json | None) -> str:
    return str((schema or {}).get("$ref", "")).removeprefix(_SCHEMAS)


def _fields(schema: Json, components: Json) -> Iterator[tuple[str, Json]]:
    target = components.get(_component(schema), schema)
    yield from cast("Json", target.get("properties", {})).items()


def _is_text(schema: Json, components: Json) -> bool:
    kind = components.get(_component(schema), schema).get("type")
    return "string" in ([kind] if isinstance(kind, str) else kind or ())


def _value(request: Request[Any, Any], place: str) -> Any:
    """The value at `body.<field>` or of a parameter; None where there is none."""
    where, _, name = place.partition(".")
    holder: object = request.body if where == "body" else request.params
    if not isinstance(holder, BaseModel):
        return None
    for attribute, info in type(holder).model_fields.items():
        if (info.alias or attribute) == name:
            value = getattr(holder, attribute)
            return value if isinstance(value, str | bool) else None
    return None


def _echoed(payload: P, echoes: Mapping[str, str]) -> P:
    for name, value in echoes.items():
        payload = payload.replacing(name, value)
    return payload


def _preferences(found: Mapping[str, Answers], kinds: list[type[ApiError]]) -> Hook:
    """Reads `prefer: code=404`, `code=502, after=1` and `example=2`, the last two for `Answers`."""

    async def hook(call: Call) -> None:
        header = b",".join(value for name, value in call.scope["headers"] if name == b"prefer")
        if not header or call.op is None:
            return
        wanted = dict(_PREFERENCE.findall(header.decode("latin-1")))
        if "code" in wanted and wanted["code"] != str(call.op.reply.status):
            failure = found[call.op.id].failure(wanted["code"])
            if "after" not in wanted or call.op.stream is None or failure.param is not None:
                raise failure
            if not _COUNT.fullmatch(wanted["after"]):
                raise _refusal(kinds, "after is a number of events, such as after=1.")
            call.ctx.headers = {"code": wanted["code"], "after": wanted["after"]}
            return
        if "example" in wanted:
            count = len(found[call.op.id].replies)
            if wanted["example"] not in map(str, range(1, count + 1)):
                message = f"{call.op.id} has {count} examples; prefer example=1 to example={count}."
                if count == 1:
                    message = f"{call.op.id} has one example; prefer example=1."
                raise _refusal(kinds, message)
            call.ctx.headers = {"example": wanted["example"]}

    return hook


def _own(op: Operation, server: GeneratedServer) -> frozenset[type[ApiError]]:
    """The errors of the resource that an operation is about."""
    table = server.tables.get(op.access.resource or "") if op.access else None
    if table is None:
        return frozenset()
    resource: ResourceSpec = load_reference(table).resource
    return frozenset(cast("tuple[type[ApiError], ...]", (resource.not_found, resource.conflict)))


def _asked_for(code: str, kinds: list[type[ApiError]], own: frozenset[type[ApiError]]) -> ApiError:
    """An error of a status or of a code; of those of a status, first that of the operation's resource."""
    found = [kind for kind in kinds if code in (str(kind.status), kind.code)]
    if not found:
        statuses = ", ".join(sorted({str(kind.status) for kind in kinds}))
        return _refusal(
            kinds, f"No error has the code {code}; there are those of errors.yaml, and {statuses}."
        )
    kind = next((one for one in found if one in own), found[0])
    meaning = " ".join((kind.__doc__ or code).split()).split(". ")[0].rstrip(".")
    return kind(f"{meaning} (asked for by prefer).")


def _refusal(kinds: list[type[ApiError]], message: str) -> ApiError:
    kind = next(one for one in kinds if one.status == 400)
    return kind(message, param="prefer")


def _kinds(module: ModuleType) -> list[type[ApiError]]:
    """The error classes of the spec, in its order."""
    found = (one for one in cast("list[object]", list(vars(module).values())) if isinstance(one, type))
    return [one for one in found if issubclass(one, ApiError) and one.__module__ == module.__name__]


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


async def _nothing() -> None:
    """The mock has nothing to start or stop."""
