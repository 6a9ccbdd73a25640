"""The Python client: one class per API, sync and async, over a shared core that is copied in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from specstack_codegen import naming
from specstack_codegen.emit import Files
from specstack_codegen.emit.client_methods import methods_of
from specstack_codegen.emit.client_types import Types
from specstack_codegen.ir import Api, ErrorKind, Errors, Ir, Operation
from specstack_codegen.render import TEMPLATES, client_class, header, render

_DEFAULT_ENVELOPE = ("openai", {"error": {part: f"${part}" for part in ("message", "type", "param", "code")}})
_STATUS_BASES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    413: "PayloadTooLargeError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
}
_EXPORTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("._core.binary", ("AsyncBinaryReply", "BinaryReply")),
    ("._core.calls", ("CallOptions",)),
    ("._core.errors", ("APIConnectionError", "APIError", "APIResponseValidationError", "APIStatusError")),
    ("._core.errors", ("APITimeoutError", "InternalServerError", *sorted(_STATUS_BASES.values()))),
    ("._core.pages", ("AsyncPage", "AsyncPaginator", "Page")),
    ("._core.streams", ("AsyncStream", "Stream")),
    ("._core.values", ("NOT_GIVEN", "FileTypes", "NotGiven")),
    ("specstack_wire", ("MISSING", "given", "is_given")),
    ("._core.websocket", ("Connection",)),
)
_IMPORTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("collections.abc", ("Mapping", "Sequence")),
    ("contextlib", ("AbstractAsyncContextManager",)),
    ("typing", ("TYPE_CHECKING", "Any", "Literal", "Unpack", "overload")),
    (".._core.binary", ("AsyncBinaryReply", "BinaryReply")),
    (".._core.calls", ("Call", "CallOptions")),
    (".._core.pages", ("AsyncPaginator", "Page", "Paging")),
    (".._core.streams", ("AsyncStream", "Stream")),
    (".._core.transport", ("AsyncCore", "Core")),
    (".._core.values", ("NOT_GIVEN", "FileTypes", "NotGiven")),
    (".._core.websocket", ("Connection", "connect")),
)


def emit(ir: Ir) -> Files:
    """The client package: the shared core, one module per API, the errors, and the two client classes."""
    root, name = ir.client_package, client_class(ir)
    apis = [api for api in ir.apis if api.operations]
    head = header(ir, "openapi/*.yaml")
    exports = [*_EXPORTS, (".client", (f"Async{name}", name))]
    files = {f"{root}/py.typed": ""}
    for path in sorted((TEMPLATES / "client" / "core").glob("*.jinja")):
        origin = (
            f"{naming.MARKER} from its template client/core/{path.name}.\nDo not edit: change the template."
        )
        files[f"{root}/_core/{path.stem}"] = render(f"client/core/{path.name}", header=origin)
    files[f"{root}/apis/__init__.py"] = render("client/apis_init.py.jinja", header=head)
    files[f"{root}/__init__.py"] = render(
        "client/init.py.jinja", header=head, ir=ir, name=name, exports=exports
    )
    files[f"{root}/client.py"] = render("client/client.py.jinja", header=head, name=name, apis=apis)
    files[f"{root}/errors.py"] = render(
        "client/errors.py.jinja", header=header(ir, "errors.yaml"), **_errors(ir)
    )
    for api in apis:
        files[f"{root}/apis/{api.name}.py"] = _api(ir, api)
    return files


def _api(ir: Ir, api: Api) -> str:
    types = Types(ir)
    classes = [
        {
            "name": f"{prefix}{api.class_name}",
            "core": f"{prefix}Core",
            "docstring": naming.docstring(naming.sentence(api.summary, note), indent=4),
            "methods": [one for op in api.operations for one in methods_of(op, types, is_async=bool(prefix))],
        }
        for prefix, note in (("", ""), ("Async", "The same calls, to be awaited."))
    ]
    calls = [{"name": f"_{op.constant}", "fields": _call_fields(op, types)} for op in api.operations]
    body = render("client/api_body.py.jinja", classes=classes, calls=calls)
    imports = [
        (module, [name for name in names if name == "TYPE_CHECKING" or re.search(rf"\b{name}\b", body)])
        for module, names in _IMPORTS
    ]
    return render(
        "client/api.py.jinja",
        header=header(ir, api.source),
        ir=ir,
        body=body,
        imports=[(module, names) for module, names in imports if names],
        owners=sorted(types.owners),
        docstring=naming.docstring(api.description or api.summary),
    )


def _call_fields(op: Operation, types: Types) -> list[tuple[str, str]]:
    """What stands in the operation's `Call`, defaults left out."""
    fields: dict[str, Any] = {"method": op.method, "path": op.path}
    if op.reply.model is not None:
        fields["reply"] = types.reference(op.reply.model)
    if op.stream is not None:
        fields["item"] = types.reference(op.stream.item)
        fields["stream_media"] = op.stream.media.split(";")[0]
        fields["end"] = op.stream.end
    if op.body is not None:
        fields["body"] = _travel(op.body.media)
        fields["body_required"] = op.body.required
        if fields["body"] != "json":
            fields["json_fields"] = frozenset(op.body.json_fields)
            fields["file_fields"] = frozenset(op.body.file_fields)
    fields["greedy"] = frozenset(param.name for param in op.params if param.greedy)
    return [
        (name, _literal(value)) for name, value in fields.items() if value not in (None, True, frozenset())
    ]


def _travel(media: tuple[str, ...]) -> str:
    """How the client sends a body: as JSON where it may."""
    if any(one.split(";")[0].endswith("json") for one in media):
        return "json"
    return "multipart" if "multipart/form-data" in media else "form"


def _literal(value: Any) -> str:
    if isinstance(value, frozenset):
        names = sorted(cast("frozenset[str]", value))
        return f"frozenset({{{', '.join(repr(one) for one in names)}}})"
    return repr(value)


def _errors(ir: Ir) -> dict[str, Any]:
    """The error classes worth a name: one per code, and where each envelope keeps its parts."""
    kinds: dict[str, ErrorKind] = {}
    for kind in ir.all_errors.kinds if ir.all_errors else ():
        if kind.code is not None:
            kinds.setdefault(kind.code, kind)
    return {
        "kinds": [
            {
                "name": kind.name,
                "code": kind.code,
                "status": kind.status,
                "parent": _parent(kind.status),
                "doc": f"{kind.status} `{kind.code}`: {kind.description}",
            }
            for kind in kinds.values()
        ],
        "parents": sorted(set(_STATUS_BASES.values())),
        "envelopes": _envelopes(ir.all_errors),
    }


def _parent(status: int) -> str:
    return _STATUS_BASES.get(status, "InternalServerError" if status >= 500 else "APIStatusError")


def _envelopes(errors: Errors | None) -> list[list[tuple[str, str]]]:
    """For each envelope, its parts and the way to each; the default one is always known."""
    known = dict([_DEFAULT_ENVELOPE, *(errors.envelopes if errors else ())])
    return [[(part, repr(path)) for part, path in _paths(template, ())] for template in known.values()]


def _paths(template: Any, way: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    if isinstance(template, Mapping):
        items = cast("Mapping[str, Any]", template).items()
        return [found for key, value in items for found in _paths(value, (*way, key))]
    if isinstance(template, str) and template.startswith("$"):
        return [(template[1:], way)]
    return []
