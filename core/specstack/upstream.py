"""Calls to other servers over kept connections."""

import asyncio
import re
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import cache
from urllib.parse import SplitResult, urlsplit
from weakref import WeakSet

from specstack import __version__
from specstack.http1 import Broken, Connection, ConnectTimeout, Origin, RequestHead, Target, Unreachable
from specstack.http1.coding import Inflater
from specstack.http1.request import basic, host_of
from specstack.url_check import url_fault
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
# How long a body is, the connection says itself; whom a call is for, its settings.
_FRAMES = frozenset({"content-length", "host", "transfer-encoding"})
_STOPPING = "This server is stopping."
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_FRAMING = ("content-length", "transfer-encoding", "content-encoding")
_NOTHING: Mapping[str, str] = {}


class UpstreamPool:
    """The connections of one server process. `open` makes an `Upstream` per set of settings."""

    def __init__(self) -> None:
        self._origins: WeakSet[Origin] = WeakSet()
        self.closed = False

    def open(self, settings: UpstreamSettings) -> Upstream:
        """A client for one other server. Raises ValueError for settings that no call could be made with."""
        client = _Client(self, settings)
        self._origins.add(client.origin)
        return client

    async def aclose(self) -> None:
        """Close every connection for good. Calls and streams under way end with `UpstreamBroken`."""
        self.closed = True
        for origin in tuple(self._origins):
            origin.close(UpstreamBroken(_STOPPING))
        # Transports are closed in the next round of the loop.
        await asyncio.sleep(0)


class _Client:
    """One upstream; `max_connections` bounds its calls under way, streams included."""

    def __init__(self, pool: UpstreamPool, settings: UpstreamSettings) -> None:
        tls = check_settings(settings)
        parts = urlsplit(settings.base_url)
        proxy = urlsplit(settings.proxy) if settings.proxy else None
        target = Target(parts, tls, proxy, settings.connect_timeout)
        self.origin = Origin(target, settings.max_connections)
        self._pool = pool
        self._settings = settings
        self._name = (parts.hostname or "") + (f":{parts.port}" if parts.port else "")
        headers = {"accept": "*/*", "user-agent": f"specstack/{__version__}"}
        headers.update((name.lower(), value) for name, value in settings.headers.items())
        self._head = _heads(parts, headers, None if target.tunnelled else proxy)

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
        origin = self.origin
        if not origin.enters():
            await origin.enter()
        try:
            data = self._request(ctx, method, path, body, headers, streams=False)
            connection = await origin.call(method, data, limit, whole=True)
            coding, found = _reply_headers(connection)
            content = connection.take()
            origin.release(connection)
            if coding is not None and content:
                inflater = Inflater(coding)
                content = inflater.feed(content)
                inflater.end()
        except Exception as error:
            raise self.explained(error, limit) from error
        finally:
            origin.leave()
        return UpstreamReply(connection.status, found, content)

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
        await self.origin.enter()
        try:
            data = self._request(ctx, method, path, body, headers, streams=True)
            connection = await self.origin.call(method, data, limit, whole=False)
            return _Reading(self, connection, limit)
        except BaseException as error:
            self.origin.leave()
            if isinstance(error, Exception):
                raise self.explained(error, limit) from error
            raise

    async def aclose(self) -> None:
        """Nothing to free: the connections belong to the server's pool."""

    def _request(
        self,
        ctx: RequestContext,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
        *,
        streams: bool,
    ) -> bytes:
        if self._pool.closed:
            raise UpstreamBroken(_STOPPING)
        call = _NOTHING
        if headers:
            call = {name.lower(): value for name, value in headers.items()}
            if not _FRAMES.isdisjoint(call):
                raise ValueError("a header of the connection itself")
        if not ctx.headers and ctx.trace is None:
            return self._head.write(method, path, body, streams, call)
        passed = {
            lower: value
            for name, value in ctx.headers.items()
            if (lower := name.lower()) not in _NEVER_FORWARDED
        }
        if ctx.trace and ctx.trace.isascii() and ctx.trace.isprintable():
            passed["traceparent"] = ctx.trace
        return self._head.write(method, path, body, streams, call, passed)

    def explained(self, error: Exception, limit: float) -> Exception:
        """The contract's error for whatever the connection raised; never holds headers or credentials."""
        if isinstance(error, UpstreamError):
            return error
        if self._pool.closed:
            return UpstreamBroken(_STOPPING)
        if isinstance(error, ConnectTimeout):
            seconds = f"{self._settings.connect_timeout:g}"
            return UpstreamUnreachable(f"No connection to {self._name} within {seconds} s.")
        if isinstance(error, TimeoutError):
            return UpstreamTimeout(f"{self._name} did not answer within {limit:g} s.")
        if isinstance(error, Unreachable):
            return UpstreamUnreachable(f"No connection to {self._name}: {_reason(error.__cause__ or error)}.")
        if isinstance(error, ValueError):
            return UpstreamUnreachable(
                f"The call to {self._name} could not be sent: a URL or header is malformed."
            )
        if isinstance(error, Broken | OSError):
            return UpstreamBroken(f"The connection to {self._name} broke: {_reason(error)}.")
        return error


class _Reading:
    """A reply that is read as it comes."""

    def __init__(self, client: _Client, connection: Connection, limit: float) -> None:
        coding, headers = _reply_headers(connection)
        self.status = connection.status
        self.headers: Mapping[str, str] = headers
        self._client = client
        self._connection = connection
        self._limit = limit
        self._open = True
        self._inflater: Inflater | None = None
        if coding is not None:
            try:
                self._inflater = Inflater(coding)
            except Broken:
                connection.abort()
                raise

    async def chunks(self) -> AsyncGenerator[bytes]:
        connection, inflater = self._connection, self._inflater
        try:
            while True:
                data = connection.take()
                if inflater is not None and data:
                    data = inflater.feed(data)
                if data:
                    yield data
                elif connection.ended:
                    break
                else:
                    await connection.more(self._limit)
            if inflater is not None:
                inflater.end()
        except Exception as error:
            raise self._client.explained(error, self._limit) from error
        finally:
            await self.aclose()

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def aclose(self) -> None:
        if not self._open:
            return
        self._open = False
        self._connection.leave()
        self._client.origin.leave()


def check_settings(settings: UpstreamSettings) -> Callable[[], ssl.SSLContext]:
    """Whom calls by these settings trust.

    Raises ValueError for a URL, header or certificates that no call could be made with. Names no secret.
    """
    for name, url, example in (
        ("base_url", settings.base_url, "http://localhost:11434/v1"),
        ("proxy", settings.proxy or None, "http://localhost:3128"),
    ):
        if url is None:
            continue
        why = url_fault(url, example)
        if why is not None:
            raise ValueError(f"{name} {why}")
    for name, value in settings.headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header")
        if name.lower() in _FRAMES - {"host"}:
            raise ValueError(f"the header {name!r} belongs to the connection and cannot be set")
        if not value.isprintable():
            raise ValueError(
                f"the header {name!r} has a control character in its value, such as a line break"
            )
    return _trusting(settings.verify_tls)


def _trusting(verify: bool | str) -> Callable[[], ssl.SSLContext]:
    """Whom to trust. Raises ValueError for a file without certificates; ours are read at the first call."""
    if verify is True:
        return _trust_of_the_machine
    if verify is False:
        return _trust_in_all
    try:
        context = ssl.create_default_context(cafile=verify)
    except OSError as error:
        why = "it holds no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
        raise ValueError(f"verify_tls: cannot read the certificates in {verify}: {why}") from None
    return lambda: context


@cache
def _trust_of_the_machine() -> ssl.SSLContext:
    return ssl.create_default_context()


@cache
def _trust_in_all() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _heads(url: SplitResult, headers: Mapping[str, str], proxy: SplitResult | None) -> RequestHead:
    if proxy is None:
        return RequestHead(url, headers)
    if proxy.username is not None:
        headers = {**headers, "proxy-authorization": basic(proxy)}
    return RequestHead(url, headers, f"http://{host_of(url)}")


def _remaining(ctx: RequestContext, limit: float) -> float:
    """The time limit, shortened to the request's deadline."""
    if ctx.deadline is None:
        return limit
    left = ctx.deadline - time.time()
    return limit if left >= limit else max(0.001, left)


def _reply_headers(connection: Connection) -> tuple[str | None, dict[str, str]]:
    """How the body is compressed, and the headers that say nothing of the connection."""
    headers = connection.headers
    coding = headers.get("content-encoding")
    for name in _FRAMING:
        headers.pop(name, None)
    return (None if coding in (None, "", "identity") else coding), headers


def _reason(error: BaseException) -> str:
    """What went wrong, in a few words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0][:200].rstrip(".")
