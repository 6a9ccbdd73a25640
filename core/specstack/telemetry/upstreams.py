"""Calls to other servers, measured, traced and logged around the `Upstream` that makes them."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from time import perf_counter
from typing import Protocol
from urllib.parse import urlsplit

from specstack.descriptors import Operation
from specstack.telemetry.labels import CANCELLED, LONGEST, Providers, generation
from specstack.telemetry.meters import Meters, Value
from specstack_wire import (
    ApiError,
    RequestContext,
    Upstream,
    UpstreamReply,
    UpstreamSettings,
    UpstreamStream,
)
from specstack_wire.relay import close_source


class Span(Protocol):
    """A span that has begun; `headers` continue its trace."""

    headers: dict[str, str]

    def put(self, values: Mapping[str, Value]) -> None: ...

    def end(self, *, failed: bool) -> None: ...


_log = logging.getLogger("specstack.upstream")

Begin = Callable[[str, RequestContext, Mapping[str, Value]], Span]
"""Begins a span of a kind, for a call, with attributes by their keys."""


class UpstreamTelemetry:
    """Wraps the clients of other servers. `asking` are the operations that ask models, by id."""

    def __init__(
        self, meters: Meters, begin: Begin | None, providers: Providers, asking: Mapping[str, Operation]
    ) -> None:
        self._durations = meters.histogram(
            "upstream_duration", "method", "address", "port", "status", "error"
        )
        self._active = meters.counter("upstream_active", "method", "address", "port")
        self._begin = begin
        self._providers = providers
        self._asking = asking

    def around(self, upstream: Upstream, settings: UpstreamSettings) -> Upstream:
        """The same upstream, observed."""
        return _Observed(self, upstream, settings)

    def exchange(
        self, ctx: RequestContext, method: str, url: str, place: tuple[str | None, int | None]
    ) -> "_Exchange":
        """A call that is about to be made."""
        span: Span | None = None
        if self._begin is not None:
            op = self._asking.get(ctx.operation)
            values: dict[str, Value] = {"method": method, "url": url, "address": place[0], "port": place[1]}
            if op is not None and ctx.served is not None:
                values.update(generation(ctx, self._providers, op.api)._asdict(), genai=op.genai)
                values["model"] = ctx.served.provider_resource_id[:LONGEST]
            span = self._begin("upstream", ctx, values)
        active = self._active.of(method, *place)
        active.value += 1

        def done(status: int | None, error: str | None, seconds: float) -> None:
            active.value -= 1
            _log.debug("%s %s: %s after %.1f ms", method, url, error or status, seconds * 1000)
            self._durations.of(method, *place, status, error).observe(seconds)

        return _Exchange(ctx, span, done)


class _Exchange:
    """A call to another server, ended once."""

    __slots__ = ("_began", "_ctx", "_done", "_ended", "_span")

    def __init__(
        self, ctx: RequestContext, span: Span | None, done: Callable[[int | None, str | None, float], None]
    ) -> None:
        self._ctx = ctx
        self._span = span
        self._done = done
        self._began = perf_counter()
        self._ended = False

    def headers(self, own: Mapping[str, str] | None) -> Mapping[str, str] | None:
        """The provider's own headers, with those that continue the trace."""
        if self._span is None:
            return own
        return {**(own or {}), **self._span.headers}

    def fail(self, status: int | None, error: BaseException) -> None:
        """It ended before the reply did. Who stops reading has what it needs, unless the caller has left."""
        if isinstance(error, ApiError):
            self.end(status, error.code or type(error).__name__)
        elif isinstance(error, GeneratorExit) and not self._ctx.cancellation.requested:
            self.end(status)
        else:
            self.end(status, type(error).__name__ if isinstance(error, Exception) else CANCELLED)

    def end(self, status: int | None, error: str | None = None) -> None:
        """It is over; later calls of this do nothing."""
        if self._ended:
            return
        self._ended = True
        if error is None and status is not None and status >= 400:
            error = str(status)
        self._done(status, error, perf_counter() - self._began)
        if self._span is not None:
            self._span.put({"status": status, "error": error})
            self._span.end(failed=error is not None)


class _Observed:
    """An upstream whose calls are noted."""

    def __init__(self, owner: UpstreamTelemetry, inner: Upstream, settings: UpstreamSettings) -> None:
        parts = urlsplit(settings.base_url)
        self._owner = owner
        self._inner = inner
        self._place = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        # Credentials may stand before the host.
        self._base = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()

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
        exchange = self._exchange(ctx, method, path)
        try:
            reply = await self._inner.request(
                ctx, method, path, body=body, headers=exchange.headers(headers), timeout=timeout
            )
        except BaseException as error:
            exchange.fail(None, error)
            raise
        exchange.end(reply.status)
        return reply

    async def stream(
        self,
        ctx: RequestContext,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> UpstreamStream:
        exchange = self._exchange(ctx, method, path)
        try:
            stream = await self._inner.stream(ctx, method, path, body=body, headers=exchange.headers(headers))
        except BaseException as error:
            exchange.fail(None, error)
            raise
        return _ObservedStream(stream, exchange)

    async def aclose(self) -> None:
        await self._inner.aclose()

    def _exchange(self, ctx: RequestContext, method: str, path: str) -> _Exchange:
        url = f"{self._base.rstrip('/')}/{path.partition('?')[0].lstrip('/')}"
        return self._owner.exchange(ctx, method, url, self._place)


class _ObservedStream:
    """A stream whose end is noted."""

    def __init__(self, inner: UpstreamStream, exchange: _Exchange) -> None:
        self.status = inner.status
        self.headers = inner.headers
        self._inner = inner
        self._exchange = exchange

    async def chunks(self) -> AsyncGenerator[bytes]:
        chunks: AsyncIterator[bytes] = self._inner.chunks()
        try:
            async for chunk in chunks:
                yield chunk
        except BaseException as error:
            self._exchange.fail(self.status, error)
            raise
        else:
            self._exchange.end(self.status)
        finally:
            await close_source(chunks)

    async def read(self) -> bytes:
        try:
            body = await self._inner.read()
        except BaseException as error:
            self._exchange.fail(self.status, error)
            raise
        self._exchange.end(self.status)
        return body

    async def aclose(self) -> None:
        self._exchange.fail(self.status, GeneratorExit())
        await self._inner.aclose()
