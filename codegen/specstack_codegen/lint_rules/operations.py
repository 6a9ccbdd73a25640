"""Rules about single operations: identity, replies, paging, bodies."""

from __future__ import annotations

import re
from collections.abc import Iterator

from specstack_codegen import naming
from specstack_codegen.bundle import Spec
from specstack_codegen.lint_rules import view
from specstack_codegen.lint_rules.registry import Finding, close, rule
from specstack_codegen.source import Map, Position
from specstack_codegen.walk import Node, resolve, walk


@rule("operation-id")
def operation_id(spec: Spec) -> Iterator[Finding]:
    """Every operation has an operationId in camelCase, unique also as the Python name made from it."""
    seen: dict[str, Position] = {}
    for node in spec.operations():
        identifier, pos = node.value.text("operationId"), node.value.at("operationId")
        if not identifier:
            hint = "add operationId: <verbNoun>, OpenAI's own where it has the operation"
            yield Finding(pos, f"{view.label(node)} has no operationId", hint)
            continue
        if not re.fullmatch(r"[a-z][A-Za-z0-9]*", identifier):
            yield Finding(
                pos, f"the operationId {identifier!r} is not camelCase", "write it like createChatCompletion"
            )
        name = naming.snake(identifier)
        if name in seen:
            message = f"the operationId {identifier!r} becomes {name!r}, like the one at {seen[name]}"
            yield Finding(pos, message, "choose another operationId")
        seen.setdefault(name, pos)


@rule("one-tag")
def one_tag(spec: Spec) -> Iterator[Finding]:
    """An operation has one tag, the name of its API."""
    for node in spec.operations():
        api = view.api_of(spec, node)
        if list(node.value.seq("tags")) != [api]:
            pos = node.value.at("tags")
            yield Finding(pos, f"{view.label(node)} is not tagged with its API", f"write tags: [{api}]")


@rule("public-security")
def public_security(spec: Spec) -> Iterator[Finding]:
    """Where the spec names security schemes, `security: []` and x-public stand in the same operations."""
    schemes = spec.openapi.map("components").map("securitySchemes")
    for node in spec.operations() if "security" in spec.openapi else ():
        public, has = bool(node.value.get("x-public")), "security" in node.value
        if public and (not has or node.value.seq("security")):
            hint = "write security: [] next to x-public: true"
            yield Finding(
                node.value.at("x-public"), f"{view.label(node)} is public and asks for credentials", hint
            )
        elif has and not public:
            hint = "remove security, or add x-public: true if it answers everybody"
            yield Finding(node.value.at("security"), f"{view.label(node)} has a security of its own", hint)
    for item in spec.openapi.seq("security"):
        for name in item if isinstance(item, Map) else ():
            if name not in schemes:
                yield Finding(item.at(name), f"there is no security scheme {name!r}", close(name, schemes))


@rule("stability")
def stability(spec: Spec) -> Iterator[Finding]:
    """Every operation says how stable it is; `deprecated: true` and x-stability agree."""
    for node in spec.operations():
        if "x-stability" not in node.value:
            hint = "add x-stability: stable, experimental or deprecated"
            yield Finding(node.value.pos, f"{view.label(node)} has no x-stability", hint)
        elif bool(node.value.get("deprecated")) and node.value.text("x-stability") != "deprecated":
            pos = node.value.at("deprecated")
            yield Finding(
                pos, "the operation is deprecated and x-stability says otherwise", "x-stability: deprecated"
            )


@rule("default-error")
def default_error(spec: Spec) -> Iterator[Finding]:
    """Every operation has a `default` response, so that every error has a documented form."""
    for node in spec.operations():
        if "default" not in node.value.map("responses"):
            pos = node.value.at("responses")
            hint = "add default: {$ref: common.yaml#/components/responses/Error}"
            yield Finding(pos, f"{view.label(node)} has no default response", hint)


@rule("success-content")
def success_content(spec: Spec) -> Iterator[Finding]:
    """An operation has exactly one 2xx response, and that has content unless it is 204."""
    for node in spec.operations():
        found = list(view.successes(spec, node))
        responses = node.value.map("responses")
        if not found:
            hint = 'describe the reply, e.g. "200": {description: …, content: …}'
            yield Finding(node.value.at("responses"), f"{view.label(node)} has no 2xx response", hint)
        for status, _ in found[1:]:
            hint = "keep one: several forms of a reply are media types or x-variant, not statuses"
            yield Finding(
                responses.at(status), f"{view.label(node)} has a second 2xx response, {status}", hint
            )
        for status, response in found:
            if (status == "204") == bool(response.map("content")):
                what = "has content" if status == "204" else "has no content"
                hint = "use 200 for a reply with content, 204 for an empty one"
                yield Finding(
                    responses.at(status), f"the response {status} of {view.label(node)} {what}", hint
                )


@rule("named-root")
def named_root(spec: Spec) -> Iterator[Finding]:
    """Bodies and JSON replies refer to a component, one for all media types of a body."""
    hint = "move the schema to components.schemas and refer to it by $ref"
    for node in spec.operations():
        names: set[str] = set()
        pos, content = node.value.at("requestBody"), view.body(spec, node).map("content")
        if "requestBody" in node.value and not content:
            mend = "name a media type under content, or remove requestBody"
            yield Finding(pos, f"the body of {view.label(node)} has no content", mend)
        for _, media in view.media(content):
            names.add(media.map("schema").text("$ref"))
            if not media.map("schema").text("$ref"):
                place = media.map("schema").pos
                yield Finding(place, f"the body of {view.label(node)} is no named component", hint)
        if len(names) > 1:
            message = f"the media types of the body of {view.label(node)} have different schemas"
            yield Finding(pos, message, "use one component for all of them")
        for name, media in view.reply_media(spec, node):
            if view.is_json(name) and not media.map("schema").text("$ref"):
                pos = media.at("schema")
                yield Finding(pos, f"the reply of {view.label(node)} is no named component", hint)


@rule("flat-root")
def flat_root(spec: Spec) -> Iterator[Finding]:
    """The schema of a body or a reply is no `allOf`: tools that compare APIs do not look into one."""
    for node in spec.operations():
        for schema in [*view.body_schemas(spec, node), *view.reply_schemas(spec, node)]:
            for branch in view.branches(spec, schema):
                if "allOf" in branch:
                    hint = "write all properties out in the component"
                    yield Finding(branch.at("allOf"), f"{view.label(node)} has an allOf at the root", hint)


@rule("list-pagination")
def list_pagination(spec: Spec) -> Iterator[Finding]:
    """A GET that gives a list says in x-pagination how it is paged; what that names exists."""
    for node in spec.operations():
        reply = view.all_fields(spec, view.reply_schemas(spec, node))
        paging = node.value.map("x-pagination")
        if not paging:
            if node.name == "get" and "array" in view.types(spec, reply.get("data", Map())):
                hint = "add x-pagination: {style: none, items: data} if it comes whole, else style cursor"
                yield Finding(node.value.pos, f"{view.label(node)} gives a list without x-pagination", hint)
            continue
        query = {name for place, name in view.parameters(spec, node) if place == "query"}
        for key, known, what in (
            *((key, query, "query parameter") for key in ("after", "limit", "order")),
            *((key, set(reply), "reply field") for key in ("items", "next", "more")),
        ):
            name = paging.text(key)
            if name and name not in known:
                message = f"x-pagination.{key}: {view.label(node)} has no {what} {name!r}"
                yield Finding(paging.at(key), message, close(name, known))
        if (
            "array" not in view.types(spec, reply.get(paging.text("items"), Map()))
            and paging.text("items") in reply
        ):
            pos = paging.at("items")
            yield Finding(
                pos, f"x-pagination.items: {paging.text('items')!r} is no list", "name the list in the reply"
            )


@rule("body-limit")
def body_limit(spec: Spec) -> Iterator[Finding]:
    """x-body-limit is a positive number of bytes, on an operation that has a body."""
    for node in spec.operations():
        limit = node.value.get("x-body-limit")
        pos = node.value.at("x-body-limit")
        if isinstance(limit, int) and limit <= 0:
            yield Finding(pos, f"the body limit {limit} admits no body", "write a positive number of bytes")
        if limit is not None and "requestBody" not in node.value:
            yield Finding(pos, f"{view.label(node)} has a body limit and no body", "remove x-body-limit")


@rule("stream-item")
def stream_item(spec: Spec) -> Iterator[Finding]:
    """A streaming reply has an itemSchema, and x-stream whose item stands in it.

    `when` is a boolean of the request, `event` a property of the item.
    """
    for node in spec.operations():
        streams = [media for name, media in view.reply_media(spec, node) if name in view.STREAM_MEDIA]
        stream = node.value.map("x-stream")
        for media in streams:
            if not media.map("itemSchema"):
                hint = "describe one event in itemSchema"
                yield Finding(media.pos, f"the stream of {view.label(node)} has no itemSchema", hint)
        if streams and not stream:
            hint = "add x-stream: {item: <component>}, with when: body.stream if the caller chooses"
            yield Finding(streams[0].pos, f"{view.label(node)} streams and has no x-stream", hint)
        if stream and not streams:
            hint = "add text/event-stream or application/x-jsonl to the 2xx response, or remove x-stream"
            yield Finding(stream.pos, f"{view.label(node)} has x-stream and no streaming reply", hint)
        if stream:
            yield from _stream_names(spec, node, stream, streams)


def _stream_names(spec: Spec, node: Node, stream: Map, streams: list[Map]) -> Iterator[Finding]:
    item = stream.text("item")
    if item not in view.components(spec):
        yield Finding(
            stream.at("item"), f"there is no component {item!r}", close(item, view.components(spec))
        )
        return
    for media in streams:
        if "itemSchema" in media and item not in _components_in(media.map("itemSchema")):
            hint = "name the component that contentSchema (or itemSchema itself) refers to"
            yield Finding(stream.at("item"), f"the item {item!r} does not stand in itemSchema", hint)
    event, properties = stream.text("event"), view.fields(spec, view.components(spec).map(item))
    if event and event not in properties:
        yield Finding(
            stream.at("event"), f"the item {item!r} has no property {event!r}", close(event, properties)
        )
    if stream.text("when"):
        value = request_field(spec, node, stream.text("when"))
        if value is None or "boolean" not in view.types(spec, value):
            message = f"x-stream.when: {stream.text('when')!r} is no boolean of the request"
            yield Finding(stream.at("when"), message, "name a boolean: body.<field> or query.<parameter>")


def _components_in(schema: Map) -> set[str]:
    return {view.component_name(node.ref) for node in walk(schema, "schema") if node.ref}


def request_field(spec: Spec, node: Node, key: str) -> Map | None:
    """The schema of what `body.<field>`, `path.<name>` or `query.<name>` stands for; None when nothing."""
    place, _, name = key.partition(".")
    if place == "body":
        return view.all_fields(spec, view.body_schemas(spec, node)).get(name)
    param = view.parameters(spec, node).get((place, name))
    return None if param is None else param.map("schema")


@rule("websocket-on-post")
def websocket_on_post(spec: Spec) -> Iterator[Finding]:
    """x-websocket stands on a POST that a service or the default provider serves; its components exist."""
    for node in spec.operations():
        socket, pos = node.value.map("x-websocket"), node.value.at("x-websocket")
        if "x-websocket" not in node.value:
            continue
        if node.name != "post":
            yield Finding(
                pos, f"{view.label(node)} is no POST and has x-websocket", "move it to the POST of the path"
            )
        mode = node.value.map("x-serve").text("mode")
        if mode not in ("provider", "service"):
            message = (
                f"a WebSocket cannot be served in mode {mode!r}: there is no body with a key to route by"
            )
            yield Finding(pos, message, "use mode provider or service")
        for key in ("receive", "send"):
            name = socket.text(key)
            if name not in view.components(spec):
                yield Finding(
                    socket.at(key), f"there is no component {name!r}", close(name, view.components(spec))
                )


@rule("variant-reply")
def variant_reply(spec: Spec) -> Iterator[Finding]:
    """Every form of a reply in x-variant is a component that the reply's schema admits; names are unique."""
    for node in spec.operations():
        names: set[str] = set()
        admitted = {view.component_name(schema.text("$ref")) for schema in _reply_branches(spec, node)}
        for variant in node.value.seq("x-variant"):
            if not isinstance(variant, Map):
                continue
            reply, name = variant.text("reply"), variant.text("name")
            if reply not in view.components(spec):
                hint = close(reply, view.components(spec))
                yield Finding(variant.at("reply"), f"there is no component {reply!r}", hint)
            elif reply not in admitted:
                hint = (
                    f'let the 2xx response be a union, with $ref: "#/components/schemas/{reply}" in its anyOf'
                )
                yield Finding(variant.at("reply"), f"the reply's schema does not admit {reply!r}", hint)
            if name in names:
                yield Finding(variant.at("name"), f"two variants are called {name!r}", "rename one")
            names.add(name)


def _reply_branches(spec: Spec, node: Node) -> Iterator[Map]:
    """The schemas of the reply as they are referred to, unions opened."""
    pending = view.reply_schemas(spec, node)
    seen: set[int] = set()
    while pending:
        schema = pending.pop()
        if id(schema) in seen:
            continue
        seen.add(id(schema))
        yield schema
        target = resolve(spec.openapi, schema)
        pending.extend(
            item for key in ("oneOf", "anyOf") for item in target.seq(key) if isinstance(item, Map)
        )
