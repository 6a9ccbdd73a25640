"""An operation's WebSocket: JSON text frames in, JSON text frames out, as streams of models."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from pydantic_core import from_json, to_json

from specstack.descriptors import Operation, WebSocketSpec
from specstack.http.call import Call, show_end
from specstack.http.context import context_of, read_provider_data, request_id_of
from specstack.http.decoding import JsonDecoder
from specstack.http.errors import ErrorReply, error_reply
from specstack_wire import ApiError, Event, RequestContext, Stream

if TYPE_CHECKING:
    from specstack.http.binding import Binding

SocketHandler = Callable[[RequestContext, Stream[Any]], Awaitable[Stream[Any]]]
"""An operation's WebSocket implementation: what the client sends, and what it gets."""

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

NORMAL, POLICY, TOO_BIG, INTERNAL = 1000, 1008, 1009, 1011
QUEUED_FRAMES = 32
LEAVING_SECONDS = 0.5
"""How long a handler may go on after its client has left before it is cancelled."""


class _Session:
    """One open WebSocket."""

    def __init__(
        self, spec: WebSocketSpec, bound: "Binding", request_id: str, receive: Receive, send: Send
    ) -> None:
        self._decode = JsonDecoder(spec.receive, "frame", bound.errors).decode
        self._type = spec.receive
        self._bound = bound
        self._request_id = request_id
        self._receive = receive
        self._send = send
        self._frames: asyncio.Queue[Event[Any] | None] = asyncio.Queue(QUEUED_FRAMES)
        self.open = True

    async def incoming(self) -> AsyncIterator[Event[Any]]:
        """The client's frames until it leaves."""
        while (event := await self._frames.get()) is not None:
            yield event

    async def pump(self, ctx: RequestContext, task: "asyncio.Task[Any]") -> None:
        """Reads frames until the client leaves, then ends the handler: kindly first."""
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                break
            event = await self._event(message)
            if event is not None:
                await self._frames.put(event)
        self.open = False
        ctx.cancellation.request()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._frames.put(None), LEAVING_SECONDS)
        await asyncio.sleep(LEAVING_SECONDS)
        task.cancel()

    async def _event(self, message: MutableMapping[str, Any]) -> Event[Any] | None:
        errors = self._bound.errors
        text = message.get("text")
        if text is None:
            await self.fail(errors.error("malformed", "Frames must be JSON text; this one was binary."))
            return None
        raw = cast(str, text).encode("utf-8", "replace")
        if len(raw) > self._bound.limit:
            message_ = f"The frame is larger than the {self._bound.limit} bytes that this operation accepts."
            await self.fail(errors.error("too_large", message_))
            return None
        try:
            return Event(self._decode(raw), raw, self._type)
        except ApiError as error:
            await self.fail(error)
            return None

    async def fail(self, error: ApiError) -> None:
        """Tells the client of an error; the connection stays open."""
        reply = error_reply(error, self._bound.envelope, self._request_id)
        await self.send_text(error_frame(reply))

    async def send_text(self, data: bytes) -> None:
        """Sends a text frame, if anybody is there to read it."""
        if not self.open:
            return
        try:
            await self._send({"type": "websocket.send", "text": data.decode()})
        except (OSError, RuntimeError):
            # The client has gone, which `pump` hears of next.
            self.open = False

    async def close(self, code: int) -> None:
        """Closes the connection, unless the client did."""
        if self.open:
            self.open = False
            with contextlib.suppress(OSError, RuntimeError):
                await self._send({"type": "websocket.close", "code": code})


def error_frame(reply: ErrorReply) -> bytes:
    """`{"type": "error", "status": …, "error": {…}}` with what the API's own envelope says of the error."""
    envelope: dict[str, Any] = from_json(reply.body)
    detail = envelope.get("error", envelope)
    return to_json({"type": "error", "status": reply.status, "error": detail})


async def reject(
    scope: MutableMapping[str, Any],
    send: Send,
    reply: ErrorReply,
    request_id: str,
    added: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    """Refuses a WebSocket before it opens, with the error as an HTTP reply where the server can send one."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": POLICY})
        return
    headers = [
        (b"content-type", b"application/json"),
        (b"x-request-id", request_id.encode()),
        (b"content-length", b"%d" % len(reply.body)),
        *reply.headers,
        *added,
    ]
    await send({"type": "websocket.http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": reply.body})


async def serve_socket(
    op: Operation,
    bound: "Binding",
    handler: SocketHandler | None,
    scope: MutableMapping[str, Any],
    receive: Receive,
    send: Send,
) -> None:
    """Serves one WebSocket from handshake to close."""
    await receive()
    headers: dict[bytes, bytes] = dict(scope["headers"])
    call = Call(op, cast("dict[str, Any]", scope), context_of(headers, request_id_of(headers), op.id, None))
    seen = None if bound.observe is None else bound.observe(call)
    try:
        await _serve(call, bound, handler, headers, receive, send)
    finally:
        if seen is not None:
            show_end(seen)


async def _serve(
    call: Call,
    bound: "Binding",
    handler: SocketHandler | None,
    headers: dict[bytes, bytes],
    receive: Receive,
    send: Send,
) -> None:
    scope, ctx = call.scope, call.ctx
    request_id = ctx.request_id
    spec = None if call.op is None else call.op.websocket
    try:
        if spec is None or handler is None:
            raise bound.errors.error("not_found", f"There is no WebSocket at {scope['path']}.")
        for hook in bound.hooks:
            await hook(call)
        read_provider_data(ctx, headers, bound.errors)
    except Exception as exc:
        reply = bound.failure(exc, call)
        call.status = reply.status
        await reject(scope, send, reply, request_id, call.headers)
        return
    call.status = 101
    accepted = [(b"x-request-id", request_id.encode()), *call.headers]
    await send({"type": "websocket.accept", "headers": accepted})
    session = _Session(spec, bound, request_id, receive, send)
    task = cast("asyncio.Task[Any]", asyncio.current_task())
    pump = asyncio.create_task(session.pump(ctx, task))
    try:
        await session.close(await _converse(session, call, handler, bound))
        call.whole = call.error is None
    except asyncio.CancelledError:
        if session.open:
            await session.close(INTERNAL)
            raise
        task.uncancel()
    finally:
        pump.cancel()


async def _converse(session: _Session, call: Call, handler: SocketHandler, bound: "Binding") -> int:
    """Runs the handler and sends what it yields. Returns the close code."""
    try:
        incoming = Stream[Any].events(session.incoming())
        outgoing = await handler(call.ctx, incoming)
        try:
            async for event in outgoing:
                if not session.open:
                    break
                await session.send_text(event.raw)
        finally:
            await outgoing.aclose()
        return NORMAL
    except Exception as exc:
        if not session.open:
            return NORMAL
        error = call.error = bound.errors.explain(exc, call.ctx.request_id, bound.operation)
        await session.fail(error)
        return INTERNAL if error.status >= 500 else POLICY
