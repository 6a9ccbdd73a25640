"""What an operation's page shows beside the text: replies, events and errors as they look on the wire."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from specstack_codegen.examples import Examples, NoExample
from specstack_codegen.ir import ErrorKind, Ir, Operation, Schema, Stream
from specstack_codegen.schemas import SCHEMA_PREFIX


@dataclass(frozen=True, slots=True)
class Sample:
    """One example: what it is, its media type or status, and the text on the wire."""

    title: str
    note: str
    text: str
    language: str = ""


def samples(ir: Ir, examples: Examples, operation: Operation) -> list[Sample]:
    """More request bodies, the reply, its other forms, its events, and one error. Raises NoExample."""
    found = _requests(examples, operation)
    reply = operation.reply
    if reply.model is not None and not operation.always_streams:
        value = examples.of(reference(reply.model))
        found.append(Sample("Reply", f"{reply.status} {reply.media}", _json(value), "json"))
    for variant in operation.variants:
        value = examples.of(reference(variant.model))
        found.append(Sample(f"Reply with {variant.header}", str(reply.status), _json(value), "json"))
    if operation.stream is not None:
        found.append(Sample("Stream", operation.stream.media, stream_text(examples, operation.stream)))
    kind = error_kind(ir, operation)
    if kind is not None:
        value = envelope(ir, operation.envelope, kind)
        if value is not None:
            _check(examples, operation, kind, value)
            found.append(Sample("Error", str(kind.status), _json(value), "json"))
    return found


def _requests(examples: Examples, operation: Operation) -> list[Sample]:
    """Request bodies beyond the first, which the call itself shows."""
    body = operation.body
    if body is None or not body.is_json:
        return []
    examples.of(reference(body.model))
    others = examples.stated(reference(body.model))[1:]
    return [Sample("Another body", body.media[0], _json(value), "json") for value in others]


def reference(name: str) -> Schema:
    """The schema that stands for a component."""
    return {"$ref": f"{SCHEMA_PREFIX}{name}"}


def stream_items(examples: Examples, item: str) -> list[Any]:
    """The items of an example stream: the component's own examples in their order, else one that is made."""
    schema = reference(item)
    return examples.stated(schema) or [examples.of(schema)]


def stream_text(examples: Examples, stream: Stream) -> str:
    """A short stream as it comes over the wire."""
    lines: list[str] = []
    events = stream.media.startswith("text/event-stream")
    for item in stream_items(examples, stream.item):
        data = json.dumps(item, ensure_ascii=False, separators=(",", ":"))
        fields = cast("dict[str, Any]", item) if isinstance(item, dict) else {}
        named = fields.get(stream.event) if stream.event else None
        lines += [f"event: {named}"] if events and named else []
        lines += [f"data: {data}", ""] if events else [data]
    if stream.end:
        lines += [f"data: {stream.end}", ""] if events else [stream.end]
    return "\n".join(lines).rstrip("\n")


def error_kind(ir: Ir, operation: Operation) -> ErrorKind | None:
    """An error that belongs to the operation: its first refusal, else the first of a documented status."""
    kinds = ir.errors.kinds if ir.errors else ()
    for code in operation.refusals:
        if found := [kind for kind in kinds if kind.code == code]:
            return found[0]
    documented = {failure.status for failure in operation.failures}
    return next((kind for kind in kinds if str(kind.status) in documented), None)


def envelope(ir: Ir, name: str, kind: ErrorKind) -> Any:
    """An error in one of the spec's forms; None where the spec does not have that form itself."""
    shapes = dict(ir.errors.envelopes) if ir.errors else {}
    message = kind.description.replace("`", "").split(". ")[0].rstrip(".") + "."
    values = {
        "$message": message,
        "$type": kind.type,
        "$code": kind.code,
        "$param": None,
        "$status": kind.status,
        "$request_id": "req_7f9c24e83b124f6a",
    }
    return _filled(shapes[name], values) if name in shapes else None


def _check(examples: Examples, operation: Operation, kind: ErrorKind, value: Any) -> None:
    """An error must fit what the operation documents for its status. Raises NoExample."""
    by_status = {failure.status: failure.model for failure in operation.failures}
    model = by_status.get(str(kind.status), by_status.get("default"))
    if model is not None and (fault := examples.fault(value, reference(model))):
        raise NoExample(f"{operation.id}: the error form {operation.envelope} does not fit {model} ({fault})")


def _filled(shape: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(shape, Mapping):
        return {key: _filled(one, values) for key, one in cast("Mapping[str, Any]", shape).items()}
    return values.get(shape, shape) if isinstance(shape, str) else shape


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
