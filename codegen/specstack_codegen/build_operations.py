"""One operation of the spec as an IR node."""

from __future__ import annotations

from typing import Any, Literal, cast

from specstack_codegen import naming, schemas
from specstack_codegen.build_context import Context
from specstack_codegen.build_ids import reply_ids
from specstack_codegen.ir import (
    Access,
    Body,
    Failure,
    Key,
    Operation,
    Pagination,
    Param,
    Record,
    Reply,
    Schema,
    Serve,
    Stream,
    Style,
    Usage,
    Variant,
    WebSocket,
)
from specstack_codegen.source import Map, Seq, plain

STREAM_MEDIA = ("text/event-stream", "application/jsonl", "application/x-jsonl", "application/x-ndjson")


def build_operation(context: Context, api: str, path: str, method: str, item: Map) -> Operation | None:
    """The operation at `method` `path`; None when it is too broken to go on (a fault says so)."""
    node = item.map(method)
    identifier = node.text("operationId")
    if not identifier:
        hint = "give every operation an operationId in camelCase"
        context.fault("operation-id", node.pos, f"{method.upper()} {path} has no operationId", hint)
        return None
    params = tuple(_param(context, node) for node in _param_nodes(context, item, node))
    body = _body(context, node)
    reply, stream = _reply(context, node)
    serve = _serve(context, node, params, body)
    variants = tuple(_variant(one) for one in node.seq("x-variant"))
    ids = reply_ids(
        context, serve, [reply.model, stream.item if stream else None, *(v.model for v in variants)]
    )
    stability = cast("Literal['stable', 'experimental', 'deprecated']", node.text("x-stability", "stable"))
    return Operation(
        id=identifier,
        name=naming.snake(identifier),
        constant=naming.constant(identifier),
        api=api,
        method=method.upper(),
        path=path,
        aliases=tuple(node.seq("x-aliases")),
        stability=stability,
        deprecated=bool(node.get("deprecated")) or stability == "deprecated",
        summary=node.text("summary"),
        description=node.text("description"),
        params=params,
        params_model=f"{naming.capitalised(identifier)}Params" if params else None,
        body=body,
        reply=reply,
        stream=stream,
        variants=variants,
        websocket=_websocket(context, node),
        serve=serve,
        reply_ids=ids.top,
        nested_ids=ids.nested,
        envelope=node.text("x-envelope") or context.spec.apis[api].map("x-api").text("envelope", "openai"),
        public=bool(node.get("x-public")),
        access=_access(node),
        record=_record(node),
        usage=_usage(node),
        genai=_genai(node),
        refusals=tuple(node.seq("x-refusals")),
        idempotent=bool(node.get("x-idempotent")),
        pagination=Pagination(**plain(node.map("x-pagination"))) if "x-pagination" in node else None,
        failures=_failures(context, node),
        pos=item.at(method),
    )


def _param_nodes(context: Context, item: Map, node: Map) -> list[Map]:
    """The path item's parameters and the operation's own, the latter winning, security headers left out."""
    found: dict[tuple[str, str], Map] = {}
    for one in [*item.seq("parameters"), *node.seq("parameters")]:
        param = context.resolve(one)
        found[param.text("name"), param.text("in")] = param
    return [param for (_, location), param in found.items() if location in ("path", "query", "header")]


def _param(context: Context, node: Map) -> Param:
    schema = plain(node.map("schema"))
    return Param(
        name=node.text("name"),
        python=naming.attribute(node.text("name")),
        location=cast("Literal['path', 'query', 'header']", node.text("in")),
        style=_style(context, node, schema),
        required=bool(node.get("required")),
        greedy=bool(node.get("x-greedy")),
        resource=node.get("x-resource") or schema.get("x-resource"),
        description=node.text("description"),
        schema=schema,
        annotation=schemas.annotation(schema),
        components=schemas.components_of(schema),
        pos=node.pos,
    )


def _style(context: Context, node: Map, schema: Schema) -> Style:
    if node.get("style") == "deepObject":
        return "deep"
    return "list" if "array" in schemas.types(schema, context.schemas) else "value"


def _body(context: Context, node: Map) -> Body | None:
    if "requestBody" not in node:
        return None
    request = context.resolve(node.map("requestBody"))
    content = request.map("content")
    media = tuple(content)
    if not media:
        context.fault("body-content", request.pos, "the request body has no content", "name a media type")
        return None
    names = {context.component(content.map(one).map("schema"), content.at(one), "the body") for one in media}
    model = context.component(content.map(media[0]).map("schema"), content.at(media[0]), "the body")
    if len(names) > 1:
        hint = "use one component for all media types of a body"
        context.fault(
            "body-one-model", content.pos, "the media types of the body have different schemas", hint
        )
    body = Body(
        model=model,
        media=media,
        required=bool(request.get("required")),
        limit=node.get("x-body-limit"),
        description=request.text("description"),
        pos=node.at("requestBody"),
    )
    return body if body.is_json or not model else _form(context, body)


def _form(context: Context, body: Body) -> Body:
    """The body with its fields sorted into JSON text, lists and files."""
    fields = schemas.properties(context.schemas[body.model], context.schemas)
    json_fields, list_fields, file_fields = list[str](), list[str](), list[str]()
    for name, schema in fields.items():
        kinds = schemas.types(schema, context.schemas)
        if "array" in kinds and "string" not in kinds:
            list_fields.append(name)
            items = schemas.resolved(schema, context.schemas).get("items", {})
            kinds = schemas.types(items, context.schemas)
        if schemas.is_file(schema, context.schemas):
            file_fields.append(name)
        elif "string" not in kinds:
            json_fields.append(name)
    return Body(
        model=body.model,
        media=body.media,
        required=body.required,
        limit=body.limit,
        description=body.description,
        json_fields=tuple(sorted(json_fields)),
        list_fields=tuple(sorted(list_fields)),
        file_fields=tuple(sorted(file_fields)),
        pos=body.pos,
    )


def _reply(context: Context, node: Map) -> tuple[Reply, Stream | None]:
    responses = node.map("responses")
    status = next((status for status in responses if status[:1] == "2"), None)
    if status is None:
        context.fault("success-reply", responses.pos, "no 2xx response is described", "describe the reply")
        return Reply(status=200, media=None, model=None, description=""), None
    response = context.resolve(responses.map(status))
    content = response.map("content")
    plain_media = [media for media in content if media.split(";")[0] not in STREAM_MEDIA]
    stream_media = [media for media in content if media.split(";")[0] in STREAM_MEDIA]
    stream = _stream(context, node, stream_media[0] if stream_media else "text/event-stream")
    media = plain_media[0] if plain_media else (stream_media[0] if stream_media else None)
    model = None
    if media in plain_media and media.split(";")[0].endswith("json"):
        model = context.component(content.map(media).map("schema"), content.at(media), "the reply")
    return Reply(
        status=int(status), media=media, model=model, description=response.text("description")
    ), stream


def _stream(context: Context, node: Map, media: str) -> Stream | None:
    if "x-stream" not in node:
        return None
    spec = node.map("x-stream")
    return Stream(
        media=media,
        item=_component_name(spec.text("item")),
        when=spec.text("when").removeprefix("body.") or None,
        event=spec.get("event"),
        end=spec.get("end"),
    )


def _variant(node: Map) -> Variant:
    return Variant(
        name=node.text("name"),
        header=node.text("header").lower(),
        value=node.get("value"),
        model=_component_name(node.text("reply")),
    )


def _websocket(context: Context, node: Map) -> WebSocket | None:
    if "x-websocket" not in node:
        return None
    spec = node.map("x-websocket")
    mode = node.map("x-serve").text("mode")
    if mode not in ("provider", "service"):
        message = f"a WebSocket cannot be served in mode {mode!r}: it has no single key to route by"
        context.fault("websocket-mode", node.at("x-websocket"), message, "use mode provider or service")
    return WebSocket(receive=_component_name(spec.text("receive")), send=_component_name(spec.text("send")))


def _component_name(text: str) -> str:
    return text.rsplit("/", 1)[-1]


def _access(node: Map) -> Access | None:
    if "x-access" not in node:
        return None
    spec = node.map("x-access")
    action = cast("Literal['create', 'read', 'update', 'delete']", spec.text("action"))
    return Access(action=action, resource=spec.get("resource"))


def _record(node: Map) -> Record | None:
    if "x-record" not in node:
        return None
    spec = node.map("x-record")
    return Record(service=spec.text("service"), when=spec.text("when").removeprefix("body.") or None)


def _usage(node: Map) -> Usage | None:
    if "x-usage" not in node:
        return None
    spec = node.map("x-usage")
    ways = {name: tuple(spec.text(name).split(".")) if name in spec else () for name in ("input", "output")}
    return Usage(**ways)


def _genai(node: Map) -> str | None:
    return node.map("x-telemetry").text("genai") or None


def _failures(context: Context, node: Map) -> tuple[Failure, ...]:
    found: list[Failure] = []
    responses = node.map("responses")
    for status in responses:
        if status[:1] == "2":
            continue
        response = context.resolve(responses.map(status))
        content = response.map("content")
        model = next((schemas.ref_name(content.map(media).map("schema")) for media in content), None)
        found.append(Failure(status=status, description=response.text("description"), model=model))
    return tuple(found)


def _serve(context: Context, node: Map, params: tuple[Param, ...], body: Body | None) -> Serve:
    spec = node.map("x-serve")
    requires = spec.map("requires")
    return Serve(
        mode=cast("Any", spec.text("mode", "provider")),
        resource=spec.get("resource"),
        key=_key(context, spec, "key", params, body),
        requires=tuple((name, _texts(requires[name])) for name in requires),
        provider=_key(context, spec, "provider", params, body),
        id=spec.get("id"),
        merge=spec.get("merge"),
        action=spec.get("action"),
        service=spec.get("service"),
    )


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, Seq) else (str(value),)


def _key(context: Context, spec: Map, name: str, params: tuple[Param, ...], body: Body | None) -> Key | None:
    """The `body.<field>`, `path.<param>`, `query.<param>` or `header.<param>` under `name`."""
    if name not in spec:
        return None
    location, _, field_name = spec.text(name).partition(".")
    if location == "body":
        fields = schemas.properties(context.schemas.get(body.model, {}), context.schemas) if body else {}
        if field_name in fields and body is not None:
            needed = field_name in schemas.required(context.schemas[body.model], context.schemas)
            return Key(location="body", name=field_name, python=naming.attribute(field_name), required=needed)
    for param in params:
        if (param.location, param.name) == (location, field_name):
            return Key(location=param.location, name=param.name, python=param.python, required=param.required)
    hint = "write body.<field>, path.<parameter>, query.<parameter> or header.<parameter> of this operation"
    context.fault("serve-key", spec.at(name), f"{spec.text(name)!r} names nothing in the request", hint)
    return None
