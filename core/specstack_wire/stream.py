"""Streams of events: server-sent events and JSON lines, relayed or built here."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Generic, Self, TypeVar

from specstack_wire.errors import UpstreamError
from specstack_wire.event import Burst, Event
from specstack_wire.relay import Relay, close_source, relayed

T = TypeVar("T")
Close = Callable[[], Awaitable[None]]


class Stream(Generic[T]):
    """An async iterator of events, read once, closed with `aclose`.

    Whoever gets a stream closes it; closing reaches its source at once (an upstream connection,
    a running generation). Iterating may raise an `ApiError`: the stream then failed midway.
    `bursts` is the other way to read it, for who can handle several events at a time.
    """

    __slots__ = ("_bursts", "_close", "_relay", "_source")

    def __init__(
        self,
        source: AsyncIterator[Event[T]] | None,
        close: Close | None = None,
        bursts: AsyncIterator[Burst[T]] | None = None,
        relay: Relay | None = None,
    ) -> None:
        self._source = source
        self._bursts = bursts
        self._relay = relay
        self._close = close

    @classmethod
    def events(cls, source: AsyncIterator[Event[T]], *, close: Close | None = None) -> Self:
        """A stream of ready events. `close` frees what feeds it, even if it was never read."""
        return cls(source, close)

    @classmethod
    def of(
        cls,
        items: AsyncIterator[T],
        *,
        name: Callable[[T], str | None] | None = None,
        close: Close | None = None,
    ) -> Self:
        """A stream of models. `name` gives the SSE event name of an item; `close` as for `events`."""
        return cls(_events_of(items, name), close or _closing(items))

    @classmethod
    def relay(
        cls,
        chunks: AsyncIterator[bytes],
        type_: Any,
        *,
        end: str | None = "[DONE]",
        complete: Callable[[bytes], bool] | None = None,
        failed: Callable[[UpstreamError], Exception] | None = None,
        close: Close | None = None,
    ) -> Self:
        """The server-sent events of an upstream, passed on as bytes.

        `end` is the upstream's closing sentinel, which is swallowed. An upstream that closes without
        it is complete only if `complete` said yes to some event's data (or to several events as they
        stood in the stream, when they came together); else, or when it sends an `error` object, iterating
        raises `UpstreamBroken`. With `end=None` a clean close is complete.
        `failed` makes what is raised of that error and of those of `chunks`. `close` frees the upstream,
        even if the stream was never read.
        """
        relay = Relay(type_, None if end is None else end.encode(), complete)
        return cls(None, close or _closing(chunks), relayed(chunks, relay, failed), relay)

    def replacing(self, field: str, value: str) -> "Stream[T]":
        """The same stream with one top-level string field changed in every event. Read it instead of this."""
        if self._relay is not None:
            self._relay.replace(field, value)
            return self
        return Stream(None, self.aclose, _replaced(self.bursts(), field, value))

    def bursts(self) -> AsyncIterator[Burst[T]]:
        """The events, those together that came together."""
        if self._bursts is None:
            assert self._source is not None
            self._bursts = _single(self._source)
        return self._bursts

    def __aiter__(self) -> AsyncIterator[Event[T]]:
        if self._source is None:
            self._source = _each(self.bursts())
        return self._source

    async def aclose(self) -> None:
        """Stops the stream and frees what feeds it. Safe to call twice."""
        if self._source is not None:
            await close_source(self._source)
        if self._bursts is not None:
            await close_source(self._bursts)
        # A generator that was never started does not run its `finally`: close what feeds it as well.
        if self._close is not None:
            await self._close()


def _closing(source: object) -> Close:
    async def close() -> None:
        await close_source(source)

    return close


async def _events_of(
    items: AsyncIterator[T], name: Callable[[T], str | None] | None
) -> AsyncIterator[Event[T]]:
    try:
        async for item in items:
            yield Event(item, None, None, None if name is None else name(item))
    finally:
        await close_source(items)


async def _single(source: AsyncIterator[Event[T]]) -> AsyncIterator[Burst[T]]:
    try:
        async for event in source:
            yield Burst((event,))
    finally:
        await close_source(source)


async def _each(bursts: AsyncIterator[Burst[T]]) -> AsyncIterator[Event[T]]:
    try:
        async for burst in bursts:
            for event in burst.events:
                yield event
    finally:
        await close_source(bursts)


async def _replaced(bursts: AsyncIterator[Burst[T]], field: str, value: str) -> AsyncIterator[Burst[T]]:
    try:
        async for burst in bursts:
            yield Burst([event.replacing(field, value) for event in burst.events])
    finally:
        await close_source(bursts)
