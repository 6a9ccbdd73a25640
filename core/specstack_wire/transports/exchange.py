"""What the transports of both libraries have in common: calls as `CallOuts` see them, and replies of that."""

import base64
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from types import ModuleType
from typing import Any, Protocol

from specstack_wire.callouts import CallOuts, Json
from specstack_wire.errors import (
    RecordingMissing,
    UpstreamBroken,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)

KEPT_HEADERS = frozenset(
    {
        "content-type",
        "location",
        "request-id",
        "retry-after",
        "retry-after-ms",
        "x-request-id",
        "x-should-retry",
    }
)
"""What a recording keeps of a reply's head besides its status: what the caller gets while recording, too."""

_SECRET = re.compile(r"auth|key|token|secret|cookie|signature", re.IGNORECASE)
_BOUNDARY = re.compile(r'(?<=boundary=)("?)([^";\s]+)\1', re.IGNORECASE)
_MISSING_STATUS = 424
"""That of a reply which nobody has recorded: no package tries again after it, and its text is shown."""


class Reply(Protocol):
    """A reply of either library, of which nothing has been read."""

    status_code: int

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers."""
        ...

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Its body as it comes."""
        ...

    async def aclose(self) -> None:
        """Close the connection if the body has not been read to its end."""
        ...


class Sender(Protocol):
    """What sends a request and returns when the reply's head is there."""

    async def __call__(self, request: Any) -> Reply: ...


class Exchanger:
    """Calls of one client: what they are to `calls`, and errors of the library as errors of `Upstream`."""

    def __init__(self, calls: CallOuts, library: ModuleType) -> None:
        self._calls = calls
        self._library = library

    async def exchange(self, request: Any, send: Sender) -> tuple[int, dict[str, str], "Pieces"]:
        """Status, headers and body. The request has been read. Raises the library's own errors."""
        told, secrets = _told(request)
        target = f"{request.method} {request.url.path}"
        pieces = self._calls.stream(target, told, lambda: self._live(request, send), secrets=secrets)
        try:
            head = await anext(pieces, None)
        except RecordingMissing as error:
            return _missed(error)
        except UpstreamError as error:
            raise self._own(error) from error
        if head is None:
            raise self._own(UpstreamBroken("the recording of it is empty"))
        return head["status"], dict(head["headers"]), Pieces(self._body(pieces), pieces)

    async def _live(self, request: Any, send: Sender) -> AsyncGenerator[Json]:
        """The head of the reply, and its body: whole where it is JSON, otherwise as it comes."""
        request.headers["accept-encoding"] = "identity"  # to be readable in the recording
        try:
            reply = await send(request)
        except self._library.TransportError as error:
            raise self._theirs(error) from error
        try:
            kept = {name: value for name, value in reply.headers.items() if name.lower() in KEPT_HEADERS}
            yield {"status": reply.status_code, "headers": kept}
            async with aclosing(_contents(reply, kept.get("content-type", ""))) as contents:
                async for content in contents:
                    yield content
        except self._library.TransportError as error:
            raise self._theirs(error) from error
        finally:
            await reply.aclose()

    async def _body(self, pieces: AsyncGenerator[Json]) -> AsyncGenerator[bytes]:
        try:
            async for piece in pieces:
                yield _bytes(piece)
        except UpstreamError as error:
            raise self._own(error) from error

    def _theirs(self, error: Exception) -> UpstreamError:
        library, text = self._library, str(error) or type(error).__name__
        if isinstance(error, library.ConnectError | library.ConnectTimeout):
            return UpstreamUnreachable(text)
        return UpstreamTimeout(text) if isinstance(error, library.TimeoutException) else UpstreamBroken(text)

    def _own(self, error: UpstreamError) -> Exception:
        kinds: dict[type[UpstreamError], str] = {
            UpstreamUnreachable: "ConnectError",
            UpstreamTimeout: "ReadTimeout",
        }
        return getattr(self._library, kinds.get(type(error), "ReadError"))(error.message)


class Pieces:
    """The body of a reply. Closing it closes that of the library's."""

    def __init__(self, body: AsyncGenerator[bytes], source: AsyncGenerator[Json] | None = None) -> None:
        self._body = body
        self._source = source

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._body

    async def aclose(self) -> None:
        """Close it; what has come until then is kept."""
        await self._body.aclose()
        if self._source is not None:
            await self._source.aclose()


def _told(request: Any) -> tuple[dict[str, Json], list[str]]:
    """A request as it is compared, without its host and headers, and the secrets among those."""
    path = request.url.raw_path.decode("ascii")
    media, content = request.headers.get("content-type", ""), request.content
    boundary = _BOUNDARY.search(media)
    if boundary is not None:
        # It is another one each time.
        media = _BOUNDARY.sub("boundary", media)
        content = content.replace(boundary[2].encode(), b"boundary")
    told: dict[str, Json] = {"method": request.method, "path": path}
    if media:
        told["content_type"] = media
    if content:
        told["body"] = _readable(content, whole=True)
    return told, [value for name, value in request.headers.items() if _SECRET.search(name)]


async def _contents(reply: Reply, media: str) -> AsyncGenerator[Json]:
    if media.partition(";")[0].strip().endswith(("/json", "+json")):
        yield _readable(b"".join([chunk async for chunk in reply.aiter_bytes()]), whole=True)
        return
    async for chunk in reply.aiter_bytes():
        if chunk:
            yield _readable(chunk)


def _readable(content: bytes, *, whole: bool = False) -> Json:
    try:
        text = content.decode()
        return {"json": json.loads(text)} if whole else {"text": text}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}
    except (ValueError, RecursionError):
        return {"text": content.decode()}


def _bytes(piece: Json) -> bytes:
    if "json" in piece:
        # In ASCII, for there may be half a character in it.
        return json.dumps(piece["json"], separators=(",", ":")).encode()
    return base64.b64decode(piece["base64"]) if "base64" in piece else piece["text"].encode()


def _missed(error: RecordingMissing) -> tuple[int, dict[str, str], Pieces]:
    """A reply that says so: errors of a transport lose their text in most packages."""
    told = {"message": error.message, "type": error.type, "param": None, "code": error.code}

    async def body() -> AsyncGenerator[bytes]:
        yield json.dumps({"error": told}).encode()

    headers = {"content-type": "application/json", "x-should-retry": "false"}
    return _MISSING_STATUS, headers, Pieces(body())
