"""One operation made ready for requests: everything that can be known before the first one."""

from collections.abc import Awaitable, Callable
from typing import Any

from specstack.descriptors import Body, Operation
from specstack.http.body import BodySource, Headers, JsonReader, Receive, check_media, read_urlencoded
from specstack.http.call import Call, observing
from specstack.http.context import VariantChoice
from specstack.http.errors import ErrorReply, error_reply
from specstack.http.forms import FormReader
from specstack.http.multipart import Uploads, read_multipart
from specstack.http.params import ParamReader
from specstack.http.reply import Framer
from specstack.http.settings import HttpSettings

BodyReader = Callable[[Receive, Headers, Uploads | None], Awaitable[tuple[bytes | None, Any]]]

MULTIPART = "multipart/form-data"
URLENCODED = "application/x-www-form-urlencoded"


class Binding:
    """An operation with its settings. Raises `ValueError` when the two do not fit."""

    __slots__ = (
        "body",
        "envelope",
        "errors",
        "framer",
        "has_files",
        "hooks",
        "limit",
        "model",
        "observe",
        "operation",
        "params",
        "status",
        "timeout",
        "variants",
    )

    def __init__(self, op: Operation, settings: HttpSettings) -> None:
        self.operation = op.id
        self.errors = settings.errors
        self.envelope = settings.errors.envelope(op.envelope)
        self.hooks = settings.hooks
        self.observe = observing(settings.observers, op)
        self.timeout = settings.request_timeout
        self.status = op.reply.status
        self.framer = None if op.stream is None else Framer(op.stream)
        self.limit = settings.body_limit
        self.params = ParamReader(op, settings.errors) if op.params else None
        self.variants = VariantChoice(op.variants) if op.variants else None
        self.model: Any = None
        self.body: BodyReader | None = None
        self.has_files = False
        if op.body is not None:
            if op.body.limit is not None:
                self.limit = op.body.limit
            self.model = op.body.model
            self.has_files = MULTIPART in op.body.media
            self.body = _body_reader(op.body, self)

    def failure(self, exc: BaseException, call: Call) -> ErrorReply:
        """The reply to a call that failed, noted there; what clients must not see is logged here."""
        request_id = call.ctx.request_id
        call.error = self.errors.explain(exc, request_id, self.operation)
        return error_reply(call.error, self.envelope, request_id)


def _is_json(media: str) -> bool:
    return media == "application/json" or media.endswith("+json")


def _absent(headers: Headers) -> bool:
    if b"content-type" in headers or b"transfer-encoding" in headers:
        return False
    return headers.get(b"content-length", b"0") == b"0"


def _body_reader(body: Body, bound: Binding) -> BodyReader:
    unknown = [media for media in body.media if not _is_json(media) and media not in (MULTIPART, URLENCODED)]
    if unknown:
        raise ValueError(f"{bound.operation}: the runtime does not read {', '.join(unknown)} bodies")
    errors = bound.errors
    json = JsonReader(body, bound.limit, errors) if any(map(_is_json, body.media)) else None
    if json is not None and all(map(_is_json, body.media)):
        return json.read
    form = FormReader(body, errors)

    async def read_form(
        receive: Receive, headers: Headers, uploads: Uploads | None
    ) -> tuple[bytes | None, Any]:
        if not body.required and _absent(headers):
            return None, None
        media = check_media(body, headers, None, errors)
        if json is not None and _is_json(media):
            return await json.read(receive, headers)
        source = BodySource(receive, headers, bound.limit, errors)
        if media == URLENCODED:
            return None, await read_urlencoded(source, form.begin(), errors)
        assert uploads is not None
        return None, await read_multipart(headers[b"content-type"], source, form.begin(), uploads, errors)

    return read_form
