"""One operation as the reference shows it."""

from __future__ import annotations

import json
import shlex
from typing import Any

from specstack_codegen import naming, schemas
from specstack_codegen.emit.docs_schema import Pages, cell
from specstack_codegen.ir import Ir, Operation, Pagination, Param, Schema, Serve, Stream

_BASE = "http://localhost:8321"


def operation_view(ir: Ir, operation: Operation, pages: Pages) -> dict[str, Any]:
    """What the page's template prints of an operation."""
    schema: dict[str, Any] = (
        {"$ref": f"{schemas.SCHEMA_PREFIX}{operation.body.model}"} if operation.body else {}
    )
    return {
        "operation": operation,
        "anchor": operation.id.lower(),
        "served": served(operation.serve),
        "params": [
            pages.row(
                one.name, one.schema, required=one.required, place=_place(one), description=one.description
            )
            for one in operation.params
        ],
        "body_type": pages.type(schema) if schema else "",
        "fields": pages.rows(schema) if schema else [],
        "reply": _reply(operation, pages),
        "stream": _stream(operation.stream, pages) if operation.stream else "",
        "variants": [
            f"With the header `{one.header}`{_matching(one.value)} the reply is {_link(one.model, pages)}."
            for one in operation.variants
        ],
        "socket": _socket(operation, pages),
        "paging": _paging(operation.pagination),
        "refusals": _refusals(ir, operation),
        "failures": [
            (one.status, cell(one.description), _link(one.model, pages) if one.model else "")
            for one in operation.failures
        ],
        "curl": _curl(operation, pages),
        "python": python_call(ir, operation),
    }


def served(serve: Serve) -> str:
    """Who answers, in a sentence."""
    key = f"`{serve.key.name}`" if serve.key else ""
    needs = " and ".join(
        f"has `{name}` {' or '.join(f'`{one}`' for one in values)}" for name, values in serve.requires
    )
    one = f"the {serve.resource} named in {key}"
    sentences = {
        "routed": f"The provider of {one} answers.",
        "create": f"{_chosen(serve)} makes the {serve.resource}, and this server remembers where it is.",
        "delete": f"The provider of {one} deletes it, and this server forgets it.",
        "fan-out": f"All providers are asked, and their `{serve.merge}` are joined.",
        "scatter": f"The providers of all that {key} names are asked, and their `{serve.merge}` are joined.",
        "table": f"The server's own table of {serve.resource} entries answers; no provider is asked.",
        "service": f"The server's own service `{serve.service}` answers.",
        "provider": "The API's only provider answers, or the one marked as default.",
    }
    return sentences[serve.mode] + (f" It must be one that {needs}." if needs else "")


def _chosen(serve: Serve) -> str:
    named = f"The provider named in `{serve.provider.name}`, else the default," if serve.provider else ""
    return named or "The default provider"


def _place(param: Param) -> str:
    form = {"list": ", may repeat", "deep": ", as `name[key]=value`", "value": ""}[param.style]
    return param.location + form + (", may hold slashes" if param.greedy else "")


def _reference(name: str) -> Schema:
    return {"$ref": f"{schemas.SCHEMA_PREFIX}{name}"}


def _link(name: str, pages: Pages) -> str:
    return pages.type(_reference(name))


def _reply(operation: Operation, pages: Pages) -> str:
    reply = operation.reply
    if reply.media is None:
        return f"`{reply.status}` without a body. {reply.description}"
    if operation.always_streams:
        return f"`{reply.status}`, always a stream. {reply.description}"
    kind = _link(reply.model, pages) if reply.model else "bytes"
    return f"`{reply.status}` `{reply.media}`: {kind}. {reply.description}"


def _stream(stream: Stream, pages: Pages) -> str:
    place, _, name = (stream.when or "").rpartition(".")
    where = "the query parameter" if place == "query" else "the body field"
    lead = f"When {where} `{name}` is true, the" if name else "The"
    form = (
        "server-sent events" if stream.media.startswith("text/event-stream") else "one JSON document a line"
    )
    named = f", named by their `{stream.event}`" if stream.event else ""
    end = f" A complete stream ends with `{stream.end}`." if stream.end else ""
    error = " An error on the way comes as the last event, in the error form of the API."
    return f"{lead} reply is `{stream.media}`: {form} of {_link(stream.item, pages)}{named}.{end}{error}"


def _matching(pattern: str | None) -> str:
    return f" matching `{pattern}`" if pattern else ""


def _socket(operation: Operation, pages: Pages) -> str:
    spec = operation.websocket
    if spec is None:
        return ""
    sent, received = _link(spec.receive, pages), _link(spec.send, pages)
    return f"The same path takes a WebSocket: send {sent} as JSON text, get {received}."


def _paging(pagination: Pagination | None) -> str:
    if pagination is None or pagination.style == "none":
        return ""
    order = f", `{pagination.order}` the order" if pagination.order else ""
    more = f", while `{pagination.more}` is true" if pagination.more else ""
    pages = f"The list comes in pages: `{pagination.limit}` sets how long they are{order}."
    return f"{pages} For the next send the reply's `{pagination.next}` as `{pagination.after}`{more}."


def _refusals(ir: Ir, operation: Operation) -> list[tuple[str, str]]:
    kinds = {kind.code: kind for kind in (ir.all_errors.kinds if ir.all_errors else ())}
    return [(code, cell(kinds[code].description) if code in kinds else "") for code in operation.refusals]


def _curl(operation: Operation, pages: Pages) -> str:
    """A call that works once the ids in it are real."""
    path, query = operation.path, list[str]()
    for param in operation.params:
        value = pages.example(param.schema)
        if param.location == "path":
            path = path.replace("{" + param.name + "}", str(value).replace("…", param.name.upper()))
        elif param.location == "query" and param.required:
            query.append(f"{param.name}={value}")
    parts = ["curl", "-sN" if operation.stream else "-s"]
    if operation.method not in ("GET", "POST"):
        parts += ["-X", operation.method]
    url = _BASE + path + (f"?{'&'.join(query)}" if query else "")
    lines = [f"{' '.join(parts)} {shlex.quote(url) if set(url) & set('?&[{') else url}"]
    lines += _curl_body(operation, pages)
    return " \\\n  ".join(lines)


def _curl_body(operation: Operation, pages: Pages) -> list[str]:
    body = operation.body
    if body is None:
        return []
    example = pages.example(_reference(body.model))
    if any(media.split(";")[0].endswith("json") for media in body.media):
        text = json.dumps(example, ensure_ascii=False, indent=2)
        return ["-H 'content-type: application/json'", f"-d {shlex.quote(text)}"]
    flag = "-F" if "multipart/form-data" in body.media else "--data-urlencode"
    return [
        f"{flag} {name}={'@' + name + '.bin' if name in body.file_fields else shlex.quote(_form_text(value))}"
        for name, value in example.items()
    ]


def _form_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def python_call(ir: Ir, operation: Operation) -> str:
    """The client's method, its required arguments named."""
    names = [naming.attribute(one.name) for one in operation.params if one.location == "path"]
    if operation.body and operation.body.required:
        needed = schemas.required(ir.schemas[operation.body.model], ir.schemas)
        fields = schemas.properties(ir.schemas[operation.body.model], ir.schemas)
        names += [f"{naming.attribute(name)}=…" for name in fields if name in needed]
    names += [
        f"{naming.attribute(one.name)}=…"
        for one in operation.params
        if one.location != "path" and one.required
    ]
    return f"client.{operation.api}.{operation.name}({', '.join(names)})"
