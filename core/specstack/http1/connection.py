"""One HTTP/1.1 connection to an upstream: one call at a time, its reply parsed as it comes."""

import asyncio
from typing import Protocol

import httptools

MOST_HELD = 1 << 18
"""Bytes of a streamed reply that wait for a reader; beyond that the upstream has to wait."""
MOST_QUIET = 1 << 16
"""Bytes that may come without any of the body: no head, chunk extension or trailer is as long."""
LINGER = 0.05
"""Seconds for which the end of a reply that nobody reads any more may still come, to keep its connection."""

_TEXT: dict[bytes, str] = {}
_MOST_NAMES = 256
_SPEAKS_OF_BODY = frozenset({"content-length", "transfer-encoding"})


class Broken(Exception):
    """The connection or the reply broke. The text says how, without quoting what came."""


class Owner(Protocol):
    """Who keeps the connections."""

    def lost(self, connection: "Connection") -> None:
        """The connection is closed."""
        ...

    def release(self, connection: "Connection") -> None:
        """Nobody uses the connection any more."""
        ...


class Connection(asyncio.Protocol):
    """A connection and the call that is under way on it.

    `begin` sends a request, `answer` waits for the head of its reply (for all of it where the call wants it
    whole), `more` for bytes of its body, which `take` gives. `status`, `headers` (lower-case names) and
    `ended` tell about the reply. What fails is raised by whoever waits: `Broken` or `TimeoutError`.
    `answered` says whether a byte of the reply came, `used` whether a call before this one was served.
    """

    __slots__ = (
        "_bodyless",
        "_busy",
        "_deadline",
        "_failure",
        "_fields",
        "_head",
        "_held",
        "_interim",
        "_keep",
        "_lingers",
        "_owner",
        "_parser",
        "_parts",
        "_paused",
        "_quiet",
        "_timer",
        "_timer_at",
        "_transport",
        "_until_close",
        "_waiter",
        "_whole",
        "answered",
        "closed",
        "ended",
        "headers",
        "loop",
        "since",
        "status",
        "used",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: Owner) -> None:
        self.loop = loop
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        # As lenient with heads as browsers are, and strict where a length could be read in two ways.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._fields: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._held = 0
        self._quiet = 0
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._deadline = 0.0
        self._failure: Exception | None = None
        self._busy = self._head = self._interim = self._keep = self._paused = self._until_close = False
        self._bodyless = self._whole = self._lingers = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self.ended = self.answered = self.used = self.closed = False
        self.since = 0.0

    # -- for the call ----------------------------------------------------------------------

    def begin(self, data: bytes, *, whole: bool, bodyless: bool = False) -> None:
        """Send a request. Its reply is held until it is whole, or told as it comes; one to a HEAD or CONNECT
        is `bodyless`."""
        assert self._transport is not None
        self._busy = True
        self._whole = whole
        self._bodyless = bodyless
        self.ended = self.answered = self._head = self._keep = False
        self._quiet = 0
        self._transport.write(data)

    def answer(self, deadline: float) -> asyncio.Future[None]:
        """Wait for the reply, until `deadline` in the loop's time. To be awaited right after `begin`."""
        waiter = self._waiter = self.loop.create_future()
        if self._failure is not None:
            waiter.set_exception(self._failure)
            return waiter
        self._deadline = deadline
        # The timer of a call before this one serves as well: it looks again when it is too early.
        if self._timer is None or deadline < self._timer_at:
            self._arm(deadline)
        return waiter

    async def more(self, limit: float) -> None:
        """Wait at most `limit` seconds for bytes of the body or its end."""
        while not (self._parts or self.ended):
            await self.answer(self.loop.time() + limit)

    def take(self) -> bytes:
        """The bytes of the body that came since the last time; b"" when there are none."""
        parts = self._parts
        if not parts:
            return b""
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._held = 0
        if self._paused:
            self._paused = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()
        return data

    def leave(self) -> None:
        """Stop reading the reply. Its connection is kept if the end comes at once."""
        if self.ended or self.closed:
            self._owner.release(self)
        elif self._parts or self._paused or self._failure is not None:
            self.abort()
        else:
            self._lingers = True
            self.loop.call_later(LINGER, self._stop_lingering)

    def rest(self) -> bool:
        """Get ready for the next call. False when the connection must not be used for one."""
        transport = self._transport
        assert transport is not None
        kept = self.ended and self._keep and not self.closed and not transport.is_closing()
        # A reply that came before the request was out leaves the upstream waiting for the rest of it.
        if not kept or transport.get_write_buffer_size():
            return False
        self._busy = self._lingers = False
        self.used = True
        self.since = self.loop.time()
        self._parts.clear()
        self._held = 0
        return True

    def abort(self, why: Exception | None = None) -> None:
        """Close the connection now. Who waits for it is told `why`."""
        if why is not None:
            self._fail(why)
        elif self._transport is not None:
            self._transport.abort()

    def handed_over(self) -> asyncio.Transport:
        """The transport, for another protocol: nothing here uses it any more."""
        transport, self._transport = self._transport, None
        assert transport is not None
        self._forget()
        return transport

    # -- asyncio's side --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # pyright: ignore[reportAttributeAccessIssue]  uvloop's are no subclass

    def data_received(self, data: bytes) -> None:
        if not self._busy or self._parser is None:
            self.abort()  # nobody asked: what follows could be taken for the reply to the next call
            return
        self.answered = True
        held = self._held
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._keep = False
            if not self.ended:
                self._fail(Broken("its reply is no HTTP"))
        if self._failure is not None:
            return
        if self._held != held or self.ended:
            self._quiet = 0
        else:
            self._quiet += len(data)
            if self._quiet > MOST_QUIET:
                self._fail(Broken("its reply's head is too long"))
                return
        if self._lingers:
            self._lingered()
            return
        if self._held > MOST_HELD and not (self._whole or self._paused or self.ended):
            self._paused = True
            assert self._transport is not None
            self._transport.pause_reading()
        if self._waiter is not None and (self.ended or (self._head and not self._whole)):
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._busy and not self.ended:
            if self._head and self._until_close and exc is None:
                self.ended = True
                self._wake()
            else:
                self._fail(self._why_lost(exc))
        self._forget()
        self._owner.lost(self)

    # -- the parser's side -----------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head:  # trailers are of no use to anybody here
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        if self.ended:
            self._keep = False  # a second reply, which nobody asked for
            return
        status: int = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._interim = True
            return
        self.status = status
        self.headers = headers = {
            _TEXT.get(name) or _name(name): value.decode("latin-1").strip() for name, value in self._fields
        }
        self._fields.clear()
        self._head = True
        self._until_close = _SPEAKS_OF_BODY.isdisjoint(headers) and status not in (204, 304)
        if status == 101:
            self._fail(Broken("its reply changes the protocol"))
        elif headers.get("transfer-encoding", "chunked").lower() != "chunked":
            self._fail(Broken("its reply has a transfer coding that nobody asked for"))
        elif self._bodyless:
            self.ended = True

    def on_body(self, body: bytes) -> None:
        if self.ended:
            self._keep = False
            return
        self._parts.append(body)
        self._held += len(body)

    def on_message_complete(self) -> None:
        assert self._parser is not None
        if self._interim:
            self._interim = False
            self._fields.clear()
            return
        if self.ended or self._failure is not None:
            self._keep = False
            return
        self.ended = True
        self._keep = self._parser.should_keep_alive()

    # -- inside ----------------------------------------------------------------------------

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self.loop.call_at(at, self._late)

    def _late(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if self._deadline - self.loop.time() > 0.001:
            self._arm(self._deadline)
        else:
            self._fail(TimeoutError())

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done():
            return
        if self._failure is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(self._failure)

    def _fail(self, why: Exception) -> None:
        if self._failure is None:
            self._failure = why
        self._wake()
        if self._transport is not None:
            self._transport.abort()

    def _why_lost(self, exc: Exception | None) -> Exception:
        if self._head:
            return Broken("its reply ended before it was complete")
        if exc is None or isinstance(exc, ConnectionError):
            return Broken("it closed the connection without a reply")
        return exc

    def _lingered(self) -> None:
        """Bytes came for a reply that nobody reads: the end of it, or more than is worth waiting for."""
        if self.ended and not self._parts:
            self._lingers = False
            self._owner.release(self)
        elif self._parts:
            self.abort()

    def _stop_lingering(self) -> None:
        if self._lingers:
            self.abort()

    def _forget(self) -> None:
        """Break the cycles that would keep a closed connection in memory."""
        self._parser = None
        self._lingers = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _name(raw: bytes) -> str:
    """A header's name in lower case. Servers send the same few again and again."""
    name = raw.decode("latin-1").lower()
    if len(_TEXT) < _MOST_NAMES:
        _TEXT[raw] = name
    return name
