"""Request bodies: media type, size limit, JSON and urlencoded forms. Multipart has its own module."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, cast

from specstack.descriptors import Body
from specstack.http.decoding import JsonDecoder
from specstack.http.errors import ClientGone, ErrorTable
from specstack.http.forms import FormBuilder
from specstack.http.params import pairs_of

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Headers = Mapping[bytes, bytes]


def media_type_of(headers: Headers) -> str:
    """The request's media type without parameters, lower-case; "" when there is none."""
    value = headers.get(b"content-type", b"")
    return value.partition(b";")[0].strip().lower().decode("latin-1")


def refuse_too_large(errors: ErrorTable, limit: int) -> Exception:
    """The error for a body of more than `limit` bytes."""
    message = f"The request body is larger than the {limit} bytes that this operation accepts."
    return errors.error("too_large", message)


def check_length(headers: Headers, limit: int, errors: ErrorTable) -> None:
    """Raises `too_large` when the client announced more than `limit` bytes."""
    length = headers.get(b"content-length")
    if length is not None and length.isdigit() and int(length) > limit:
        raise refuse_too_large(errors, limit)


class BodySource:
    """The bytes of one request's body, counted against its limit as they come.

    Raises the `too_large` error, at once when the announced length says so, and `ClientGone`.
    """

    __slots__ = ("_errors", "_left", "_limit", "_receive")

    def __init__(self, receive: Receive, headers: Headers, limit: int, errors: ErrorTable) -> None:
        check_length(headers, limit, errors)
        self._receive = receive
        self._limit = limit
        self._left = limit
        self._errors = errors

    async def next(self) -> tuple[bytes, bool]:
        """The next piece and whether more follow."""
        message = await self._receive()
        return self.take(message), message.get("more_body", False)

    def take(self, message: MutableMapping[str, Any]) -> bytes:
        """The piece of a message that was received already."""
        if message["type"] != "http.request":
            raise ClientGone
        piece = cast(bytes, message.get("body", b""))
        self._left -= len(piece)
        if self._left < 0:
            raise refuse_too_large(self._errors, self._limit)
        return piece

    async def rest(self, first: bytes) -> bytes:
        """The whole body, of which `first` is there already and more follows."""
        pieces = [first]
        more = True
        while more:
            piece, more = await self.next()
            pieces.append(piece)
        return b"".join(pieces)


class JsonReader:
    """Reads and validates the JSON body of one operation."""

    __slots__ = ("_body", "_decode", "_errors", "_exact", "_limit", "_long")

    def __init__(self, body: Body, limit: int, errors: ErrorTable) -> None:
        self._body = body
        self._decode = JsonDecoder(body.model, "request body", errors).decode
        self._limit = limit
        self._long = len(str(limit))
        self._errors = errors
        self._exact = body.media[0].encode()

    async def read(
        self, receive: Receive, headers: Headers, uploads: object = None
    ) -> tuple[bytes | None, Any]:
        """The bytes as received and the model; b"" and None for an absent optional body."""
        length = headers.get(b"content-length")
        if length is not None and len(length) >= self._long:
            check_length(headers, self._limit, self._errors)
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            raw: bytes = message.get("body", b"")
            if len(raw) > self._limit:
                raise refuse_too_large(self._errors, self._limit)
        else:
            source = BodySource(receive, headers, self._limit, self._errors)
            raw = await source.rest(source.take(message))
        if not raw and not self._body.required:
            return raw, None
        if headers.get(b"content-type") != self._exact:
            check_media(self._body, headers, raw, self._errors)
        if not raw:
            raise self._errors.error("invalid", "This operation needs a request body.")
        return raw, self._decode(raw)


def check_media(body: Body, headers: Headers, raw: bytes | None, errors: ErrorTable) -> str:
    """The media type of the request. Raises `unsupported_media` when the operation does not take it.

    `raw` is the body where it was read already: an absent one is told as such.
    """
    media = media_type_of(headers)
    if media in body.media:
        return media
    if raw == b"" and not media:
        raise errors.error("invalid", "This operation needs a request body.")
    takes = " or ".join(body.media)
    gave = f"not {media}" if media else "and the request has no content-type header"
    raise errors.error("unsupported_media", f"This operation takes {takes}, {gave}.")


async def read_urlencoded(source: BodySource, form: FormBuilder, errors: ErrorTable) -> Any:
    """The model of an `application/x-www-form-urlencoded` body."""
    first, more = await source.next()
    raw = await source.rest(first) if more else first
    try:
        raw.decode("ascii")
        pairs = pairs_of(raw)
    except ValueError:
        raise errors.error("malformed", "The request body is no valid urlencoded form.") from None
    for name, text in pairs:
        form.add(name, text)
    return form.build()
