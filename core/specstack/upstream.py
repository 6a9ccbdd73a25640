"""Calls to other servers over one pooled aiohttp session.

aiohttp is imported at the first call, so that a server without remote providers never loads it.
"""

import asyncio
import re
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakSet

from specstack import __version__
from specstack_wire import (
    RequestContext,
    Upstream,
    UpstreamBroken,
    UpstreamError,
    UpstreamReply,
    UpstreamSettings,
    UpstreamStream,
    UpstreamTimeout,
    UpstreamUnreachable,
)

if TYPE_CHECKING:
    import aiohttp

_KEEP_ALIVE = 60.0
# Between two hops, or saying who the caller is: never copied from the client's request.
_NEVER_FORWARDED = frozenset(
    {
        "accept",
        "accept-encoding",
        "api-key",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-api-key",
    }
)
_STOPPING = "This server is stopping."
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_DECODED = frozenset(("content-encoding", "content-length", "transfer-encoding"))

# Whether the connection that this task got last had been used before; read right after a failure.
_reused: ContextVar[bool] = ContextVar("specstack_upstream_reused", default=False)


class UpstreamPool:
    """The connections of one server process. `open` makes an `Upstream` per set of settings."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._connections: WeakSet[Any] = WeakSet()
        self.closed = False

    def open(self, settings: UpstreamSettings) -> Upstream:
        """A client for one other server. Raises ValueError for settings that no call could be made with."""
        return _Client(self, settings)

    def session(self) -> "aiohttp.ClientSession":
        """The shared session, made at first use in the running loop. Raises UpstreamBroken once closed."""
        if self.closed:
            raise UpstreamBroken(_STOPPING)
        if self._session is None or self._session.closed:
            self._session = _new_session(self._connections)
        return self._session

    async def aclose(self) -> None:
        """Close every connection for good. Calls and streams under way end with `UpstreamBroken`."""
        self.closed = True
        if self._session is None:
            return
        for connection in tuple(self._connections):
            if connection.transport is not None:
                connection.transport.abort()
        # Transports tell their readers in the next round of the loop; a closed session would hide it.
        await asyncio.sleep(0)
        await self._session.close()
        self._session = None


class _Client:
    """One upstream; `max_connections` bounds its calls under way, streams included."""

    def __init__(self, pool: UpstreamPool, settings: UpstreamSettings) -> None:
        _check(settings)
        parts = urlsplit(settings.base_url)
        self._pool = pool
        self._settings = settings
        self._base = settings.base_url.rstrip("/") + "/"
        self._name = (parts.hostname or "") + (f":{parts.port}" if parts.port else "")
        self._slots = asyncio.Semaphore(settings.max_connections)
        self._headers = {"accept": "*/*", "user-agent": f"specstack/{__version__}"}
        self._headers.update((name.lower(), value) for name, value in settings.headers.items())
        self._proxy = settings.proxy or None
        self._tls: bool | ssl.SSLContext = settings.verify_tls is not False
        if isinstance(settings.verify_tls, str):
            self._tls = _trusting(settings.verify_tls)

    async def request(
        self,
        ctx: RequestContext,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> UpstreamReply:
        limit = _remaining(ctx, self._settings.timeout if timeout is None else timeout)
        async with self._slots:
            try:
                response = await self._send(ctx, method, path, body, headers, total=limit)
                try:
                    content = await response.read()
                finally:
                    _finish(response)
            except Exception as error:
                raise self.explained(error, limit) from error
        return UpstreamReply(response.status, _reply_headers(response), content)

    async def stream(
        self,
        ctx: RequestContext,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> UpstreamStream:
        limit = _remaining(ctx, self._settings.timeout)
        await self._slots.acquire()
        try:
            response = await self._send(ctx, method, path, body, headers, between=limit)
        except BaseException as error:
            self._slots.release()
            if isinstance(error, Exception):
                raise self.explained(error, limit) from error
            raise
        return _Reading(self, response, limit)

    async def aclose(self) -> None:
        """Nothing to free: the connections belong to the server's pool."""

    async def _send(
        self,
        ctx: RequestContext,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        *,
        total: float | None = None,
        between: float | None = None,
    ) -> "aiohttp.ClientResponse":
        """The reply's beginning. Sends again, once, if a kept connection turns out to be closed."""
        import aiohttp

        session = self._pool.session()
        arguments: dict[str, Any] = {
            "data": body,
            "headers": self._request_headers(ctx, body, headers, streams=total is None),
            "timeout": aiohttp.ClientTimeout(
                total=total, sock_read=between, sock_connect=self._settings.connect_timeout
            ),
            "ssl": self._tls,
            "proxy": self._proxy,
            "allow_redirects": False,
        }
        url = self._base + path.lstrip("/")
        try:
            return await session.request(method, url, **arguments)
        except (aiohttp.ServerDisconnectedError, ConnectionResetError, BrokenPipeError) as error:
            if self._pool.closed or not (_reused.get() and _nothing_came(error)):
                raise
        return await session.request(method, url, **arguments)

    def _request_headers(
        self, ctx: RequestContext, body: bytes | None, headers: Mapping[str, str] | None, *, streams: bool
    ) -> dict[str, str]:
        merged = {
            name.lower(): value for name, value in ctx.headers.items() if name.lower() not in _NEVER_FORWARDED
        }
        if ctx.trace and ctx.trace.isascii() and ctx.trace.isprintable():
            merged["traceparent"] = ctx.trace
        merged.update(self._headers)
        if body is not None:
            merged["content-type"] = "application/json"
        if streams:
            # A compressing upstream would hold events back until a block is full.
            merged["accept-encoding"] = "identity"
        if headers:
            merged.update((name.lower(), value) for name, value in headers.items())
        return merged

    def explained(self, error: Exception, limit: float) -> Exception:
        """The contract's error for whatever aiohttp raised; never holds headers or credentials."""
        import aiohttp

        if isinstance(error, UpstreamError):
            return error
        if self._pool.closed:
            return UpstreamBroken(_STOPPING)
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            seconds = f"{self._settings.connect_timeout:g}"
            return UpstreamUnreachable(f"No connection to {self._name} within {seconds} s.")
        if isinstance(error, TimeoutError):
            return UpstreamTimeout(f"{self._name} did not answer within {limit:g} s.")
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientProxyConnectionError):
            return UpstreamUnreachable(f"No connection to {self._name}: {_reason(error)}.")
        if isinstance(error, aiohttp.InvalidURL | ValueError):
            return UpstreamUnreachable(
                f"The call to {self._name} could not be sent: a URL or header is malformed."
            )
        if isinstance(error, aiohttp.ClientError | OSError):
            return UpstreamBroken(f"The connection to {self._name} broke: {_reason(error)}.")
        return error

    def release(self) -> None:
        """Give the slot of a finished stream back."""
        self._slots.release()


class _Reading:
    """A reply that is read as it comes."""

    def __init__(self, client: _Client, response: "aiohttp.ClientResponse", limit: float) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = _reply_headers(response)
        self._client = client
        self._response = response
        self._limit = limit
        self._open = True

    async def chunks(self) -> AsyncGenerator[bytes]:
        try:
            async for chunk in self._pieces():
                yield chunk
        finally:
            await self.aclose()

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def aclose(self) -> None:
        if not self._open:
            return
        self._open = False
        _finish(self._response)
        self._client.release()

    async def _pieces(self) -> AsyncIterator[bytes]:
        content = self._response.content
        try:
            while chunk := await content.readany():
                yield chunk
        except Exception as error:
            raise self._client.explained(error, self._limit) from error


def _check(settings: UpstreamSettings) -> None:
    """Raises ValueError for a URL or header that no call could be made with. Names no header's value."""
    for name, url, example in (
        ("base_url", settings.base_url, "http://localhost:11434/v1"),
        ("proxy", settings.proxy or None, "http://localhost:3128"),
    ):
        if url is None:
            continue
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError(f"{name} must be a whole URL such as {example}")
    for name, value in settings.headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header")
        if not value.isprintable():
            raise ValueError(
                f"the header {name!r} has a control character in its value, such as a line break"
            )


def _trusting(path: str) -> ssl.SSLContext:
    """Trust in the certificates of a file. Raises ValueError where it has none."""
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as error:
        why = "it holds no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
        raise ValueError(f"verify_tls: cannot read the certificates in {path}: {why}") from None


def _new_session(connections: "WeakSet[Any]") -> "aiohttp.ClientSession":
    import aiohttp

    class Connector(aiohttp.TCPConnector):
        """Remembers whether a connection was used before: only such a one may be found closed."""

        async def connect(
            self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
        ) -> Any:
            connection = await super().connect(req, traces, timeout)
            used = connection.protocol in connections
            _reused.set(used)
            if not used:
                connections.add(connection.protocol)
            return connection

    return aiohttp.ClientSession(
        connector=Connector(limit=0, keepalive_timeout=_KEEP_ALIVE, ttl_dns_cache=60),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=True,
        read_bufsize=1 << 18,
        trust_env=False,
    )


def _finish(response: "aiohttp.ClientResponse") -> None:
    """Keep the connection if the body was read to its end, else close it: the upstream then stops working."""
    if response.content.is_eof():
        response.release()
    else:
        response.close()


def _remaining(ctx: RequestContext, limit: float) -> float:
    """The time limit, shortened to the request's deadline."""
    if ctx.deadline is None:
        return limit
    return max(0.001, min(limit, ctx.deadline - time.time()))


def _reply_headers(response: "aiohttp.ClientResponse") -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items() if name.lower() not in _DECODED}


def _nothing_came(error: Exception) -> bool:
    """Whether the connection closed before the first byte of a reply."""
    return isinstance(getattr(error, "message", ""), str)


def _reason(error: Exception) -> str:
    """What went wrong, in a few words."""
    import aiohttp

    inner = getattr(error, "os_error", None) or error
    if isinstance(inner, aiohttp.ClientPayloadError):
        return "its reply ended before it was complete"
    if isinstance(inner, aiohttp.ClientResponseError):
        # The text quotes what came, and that may hold the key that was sent.
        return "its reply is no HTTP"
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({inner.verify_message})"
    if isinstance(inner, ConnectionRefusedError):
        return "connection refused"
    text = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return text.splitlines()[0][:200].rstrip(".")
