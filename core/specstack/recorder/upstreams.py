"""Calls to other servers, recorded: what stands between a provider and its `Upstream`."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import specstack_wire
from specstack.recorder.content import bytes_of, readable
from specstack.recorder.exchange import Answer, Json, Piece
from specstack.recorder.tape import Tape, Turn
from specstack_wire import (
    RequestContext,
    Upstream,
    UpstreamError,
    UpstreamReply,
    UpstreamSettings,
    UpstreamStream,
)

_KEPT_HEADERS = frozenset({"content-type", "retry-after"})


class RecordedUpstream:
    """One other server. Hosts, and headers but the content type, are no part of what is compared."""

    def __init__(self, tape: Tape, provider: str, settings: UpstreamSettings, inner: Upstream) -> None:
        self._tape = tape
        self._provider = provider
        self._inner = inner
        tape.scrubber.learn(settings.headers.values())

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
        """The whole reply: recorded, or asked for and recorded."""
        turn = self._turn(ctx, method, path, body, headers)
        found = turn.recorded
        if found is not None:
            content = b"".join(self._contents(found))
            if found.failure is not None:
                self._tape.raise_again(found.failure, specstack_wire)
            status, kept = _head(found)
            return UpstreamReply(status, kept, content)
        try:
            reply = await self._inner.request(ctx, method, path, body=body, headers=headers, timeout=timeout)
        except UpstreamError as error:
            turn.keep(Answer(failure=self._tape.failure(error)))
            raise
        turn.keep(Answer(head=_kept(reply.status, reply.headers), body=readable(reply.body)))
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
        """The reply as it comes: recorded, or asked for and recorded."""
        turn = self._turn(ctx, method, path, body, headers)
        found = turn.recorded
        if found is not None:
            if found.head is None and found.failure is not None:
                self._tape.raise_again(found.failure, specstack_wire)
            return _Replayed(self._tape, found, list(self._contents(found)))
        try:
            reply = await self._inner.stream(ctx, method, path, body=body, headers=headers)
        except UpstreamError as error:
            turn.keep(Answer(failure=self._tape.failure(error)))
            raise
        return _Kept(self._tape, turn, reply)

    async def aclose(self) -> None:
        """Free the connections."""
        await self._inner.aclose()

    def _turn(
        self,
        ctx: RequestContext,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
    ) -> Turn:
        self._tape.scrubber.learn(_texts(ctx.provider_data))
        given = {name.lower(): value for name, value in (headers or {}).items()}
        self._tape.scrubber.learn(value for name, value in given.items() if name != "content-type")
        request: dict[str, Any] = {"method": method, "path": path}
        if "content-type" in given:
            request["content_type"] = given["content-type"]
        if body is not None:
            request["body"] = readable(body)
        return self._tape.turn(self._provider, "http", f"{method} {path.partition('?')[0]}", request)

    @staticmethod
    def _contents(found: Answer) -> list[bytes]:
        if found.pieces is not None:
            return [bytes_of(piece.data) for piece in found.pieces]
        return [] if found.body is None else [bytes_of(found.body)]


class _Replayed:
    """A recorded stream."""

    def __init__(self, tape: Tape, found: Answer, contents: list[bytes]) -> None:
        self._tape = tape
        self._found = found
        self._contents = contents
        self.status, self.headers = _head(found)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body in the pieces in which it came."""
        for content in self._contents:
            yield content
        if self._found.failure is not None:
            self._tape.raise_again(self._found.failure, specstack_wire)

    async def read(self) -> bytes:
        """The whole body."""
        return b"".join([chunk async for chunk in self.chunks()])

    async def aclose(self) -> None:
        """There is nothing to close."""


class _Kept:
    """A stream that is recorded while it is read; one that is closed early is kept as far as it was read."""

    def __init__(self, tape: Tape, turn: Turn, inner: UpstreamStream) -> None:
        self._tape = tape
        self._turn = turn
        self._inner = inner
        self._pieces: list[Piece] = []
        self._done = False
        self.status, self.headers = inner.status, inner.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        failure: dict[str, str] | None = None
        source = self._inner.chunks()
        try:
            async for chunk in source:
                self._pieces.append(self._turn.piece(readable(chunk, as_json=False)))
                yield chunk
        except UpstreamError as error:
            failure = self._tape.failure(error)
            raise
        finally:
            self._keep(failure)
            await _close(source)

    async def read(self) -> bytes:
        """The whole body."""
        content = await self._inner.read()
        self._pieces.append(self._turn.piece(readable(content, as_json=False)))
        self._keep(None)
        return content

    async def aclose(self) -> None:
        """Close the connection."""
        self._keep(None)
        await self._inner.aclose()

    def _keep(self, failure: Mapping[str, str] | None) -> None:
        if self._done:
            return
        self._done = True
        head = _kept(self.status, self.headers)
        self._turn.keep(Answer(head=head, pieces=tuple(self._pieces), failure=failure))


async def _close(source: AsyncIterator[bytes]) -> None:
    aclose = getattr(source, "aclose", None)
    if aclose is not None:
        await aclose()


def _kept(status: int, headers: Mapping[str, str]) -> dict[str, Json]:
    return {
        "status": status,
        "headers": {key: value for key, value in headers.items() if key in _KEPT_HEADERS},
    }


def _head(found: Answer) -> tuple[int, Mapping[str, str]]:
    head = cast("dict[str, Any]", found.head or {"status": 200, "headers": {}})
    return int(head["status"]), head["headers"]


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for item in cast("Mapping[str, Any]", value).values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in cast("list[Any]", value) for text in _texts(item)]
    return []
