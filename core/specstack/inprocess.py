"""HTTP to an ASGI app in this process: httpx transports that stream, and that run the app's lifespan.

The async transport serves the event loop of its first request. The sync one keeps a loop in a thread of its
own, where the app lives; only whole messages cross over.
"""

import asyncio
import atexit
import contextlib
import os
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, MutableMapping
from concurrent.futures import Future
from importlib import import_module
from typing import Any, TypeVar, cast

import httpx

from specstack.startup import StartupError

Message = MutableMapping[str, Any]
App = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]
T = TypeVar("T")

STOP_LIMIT = 5.0
"""Seconds that calls under way have to end after the client was closed; then they are cancelled."""
_AHEAD = 16
"""Pieces of a reply that the app may be ahead of the reader."""


class AsyncTransport(httpx.AsyncBaseTransport):
    """Calls `app` in the running event loop. The app starts with the first request and stops with `aclose`.

    Requests raise StartupError when the app cannot start.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting: asyncio.Task[_Lifespan] | None = None
        self._closed = False
        self._calls: set[_Call] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request to the app; its reply is read as it comes."""
        await self._start()
        call = _Call(self._app, request)
        self._calls.add(call)
        call.task.add_done_callback(lambda _: self._calls.discard(call))
        try:
            status, headers = await call.head()
        except BaseException:
            call.leave()
            raise
        return httpx.Response(status, headers=headers, stream=_Reply(call))

    async def aclose(self) -> None:
        """End the calls under way and stop the app."""
        self._closed = True
        calls = [call.task for call in self._calls]
        for call in tuple(self._calls):
            call.leave()
        if calls:
            _, late = await asyncio.wait(calls, timeout=STOP_LIMIT)
            for task in late:
                task.cancel()
        starting, self._starting = self._starting, None
        if starting is not None:
            with contextlib.suppress(StartupError):
                await (await starting).stop()

    async def _start(self) -> None:
        """Wait until the app has started. Raises StartupError; the next call tries again."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self._loop is not loop:
            raise RuntimeError("this client belongs to another event loop; make one for each loop")
        if self._closed:
            raise RuntimeError("this client is closed")
        if self._starting is None:
            self._starting = asyncio.ensure_future(_started(self._app))
        starting = self._starting
        try:
            # A caller that gives up must not leave the app half started.
            await asyncio.shield(starting)
        except BaseException:
            if starting.done() and self._starting is starting:
                self._starting = None
            raise


class Transport(httpx.BaseTransport):
    """The same for code without an event loop: the app runs in one thread, from the first request to `close`.

    What is not closed is stopped when it is no longer used, or when the program ends.
    """

    def __init__(self, app: App, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> None:
        self._thread = _LoopThread(app, loop_factory)
        # The collector may come by in any thread, whatever locks that holds: it must not wait.
        self._ended = weakref.finalize(self, self._thread.end)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request to the app; its reply is read as it comes."""
        if not self._ended.alive:
            raise RuntimeError("this client is closed")
        response = self._thread.run(self._thread.transport.handle_async_request(request))
        reply = _SyncReply(self._thread, cast(_Reply, response.stream))
        return httpx.Response(response.status_code, headers=response.headers, stream=reply)

    def close(self) -> None:
        """End the calls under way, stop the app and its thread."""
        self._ended()
        self._thread.join()


class _Lifespan:
    """The app's lifespan in a task of its own, because an app may bind things to it."""

    def __init__(self, app: App) -> None:
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._outbox: asyncio.Queue[Message] = asyncio.Queue()
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        self._run = app(scope, self._inbox.get, self._outbox.put)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises StartupError when the app says that it cannot."""
        self._task = asyncio.ensure_future(_awaited(self._run))
        message = await self._ask("lifespan.startup")
        if message["type"] == "lifespan.startup.failed":
            raise StartupError(*str(message.get("message") or "the app did not start").splitlines())

    async def stop(self) -> None:
        """Let the app stop what it started."""
        await self._ask("lifespan.shutdown")

    async def _ask(self, kind: str) -> Message:
        task = cast("asyncio.Task[None]", self._task)
        await self._inbox.put({"type": kind})
        answer = asyncio.ensure_future(self._outbox.get())
        try:
            await asyncio.wait((answer, task), return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            # The app ended without a word: its error is the answer.
            await task
            return {"type": f"{kind}.complete"}
        finally:
            answer.cancel()


class _Call:
    """One request under way: what the app is told, and what it says."""

    def __init__(self, app: App, request: httpx.Request) -> None:
        self._read_limit: float | None = request.extensions.get("timeout", {}).get("read")
        self._body: AsyncIterator[bytes] | None = _body_of(request)
        self._messages: asyncio.Queue[Message] = asyncio.Queue(_AHEAD)
        self._gone = asyncio.Event()
        self._ended = False
        self._broken = False
        self.task = asyncio.ensure_future(_awaited(app(_scope_of(request), self._receive, self._send)))
        self.task.add_done_callback(self._done)

    async def head(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Status and headers of the reply."""
        message = await self._next()
        if message is None or message["type"] != "http.response.start":
            raise httpx.RemoteProtocolError("the app gave no reply") from self._failure()
        return message["status"], list(message.get("headers", ()))

    async def piece(self) -> bytes:
        """What has come of the body since the last time, at least one byte; b"" at the end."""
        while not self._ended:
            found = self._take(await self._next())
            # Small pieces that wait already go together: each return may be a change of threads.
            while not self._ended and not self._broken and not self._messages.empty():
                message = self._messages.get_nowait()
                found += self._take(message) if message else b""
                self._broken = not message
            if found:
                return found
        return b""

    def leave(self) -> None:
        """Tell the app that nobody listens any more. It ends the call, by its own rules."""
        self._ended = True
        self._gone.set()
        while not self._messages.empty():
            self._messages.get_nowait()

    def _take(self, message: Message | None) -> bytes:
        if message is None:
            self._ended = True
            raise httpx.RemoteProtocolError("the app broke off its reply") from self._failure()
        self._ended = not message.get("more_body", False)
        return message.get("body", b"")

    async def _next(self) -> Message | None:
        """The next message of the app; None when it ended without one."""
        if self._broken or (self._messages.empty() and self.task.done()):
            return None
        try:
            async with asyncio.timeout(self._read_limit):
                message = await self._messages.get()
        except TimeoutError:
            raise httpx.ReadTimeout("the app took too long") from None
        return message or None

    def _failure(self) -> BaseException | None:
        return self.task.exception() if self.task.done() and not self.task.cancelled() else None

    def _done(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled():
            # Read, so that nobody reports it as lost: whoever waits for the reply is told.
            task.exception()
        with contextlib.suppress(asyncio.QueueFull):
            # Wakes a reader; a full queue has none.
            self._messages.put_nowait({})

    async def _receive(self) -> Message:
        if self._body is not None and not self._gone.is_set():
            piece = await anext(self._body, None)
            if piece is None:
                self._body = None
            return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if not self._gone.is_set():
            await self._messages.put(message)


class _Reply(httpx.AsyncByteStream):
    def __init__(self, call: _Call) -> None:
        self.call = call

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while piece := await self.call.piece():
            yield piece

    async def aclose(self) -> None:
        self.call.leave()


class _SyncReply(httpx.SyncByteStream):
    def __init__(self, thread: "_LoopThread", reply: _Reply) -> None:
        self._thread = thread
        self._call = reply.call

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._thread.run(self._call.piece()):
            yield piece

    def close(self) -> None:
        self._thread.tell(self._call.leave)


class _LoopThread:
    """One event loop in one thread, with a transport in it."""

    def __init__(self, app: App, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None) -> None:
        self._factory = loop_factory
        # The collector may call `end` in a thread that is just in here.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: Future[None] | None = None
        self._process = os.getpid()
        self.transport = AsyncTransport(app)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, done in the loop. Raises RuntimeError where that does not run."""
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._open())
        except BaseException:
            work.close()
            raise
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def tell(self, what: Callable[[], None]) -> None:
        """Have `what` called in the loop, soon; nothing when that has ended."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(what)

    def end(self) -> None:
        """Have the app stop, then the loop and its thread, without waiting for it."""
        if self._forked():
            return
        with self._lock:
            loop = self._loop
            if loop is None or self._ended is not None:
                return
            self._ended = asyncio.run_coroutine_threadsafe(self.transport.aclose(), loop)
        self._ended.add_done_callback(lambda _: loop.call_soon_threadsafe(loop.stop))

    def join(self) -> None:
        """Wait until what `end` asked for is done. Raises what the app's stop raised."""
        thread, ended = self._thread, self._ended
        if thread is None or ended is None or threading.current_thread() is thread or self._forked():
            return
        try:
            ended.result()
        finally:
            thread.join()

    def _forked(self) -> bool:
        """Whether this is a copy in another process, where the thread does not run."""
        return self._thread is not None and self._process != os.getpid()

    def _open(self) -> asyncio.AbstractEventLoop:
        if self._forked():
            raise RuntimeError("this client was in use before the fork; make a new one in the child process")
        loop = self._running()
        if threading.current_thread() is self._thread:
            raise RuntimeError("called from inside the server itself, which would wait for itself for ever")
        if self._ended is not None:
            raise RuntimeError("this client is closed")
        return loop

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                ready = threading.Event()
                self._process = os.getpid()
                self._thread = threading.Thread(
                    target=self._main, args=(ready,), name="specstack", daemon=True
                )
                self._thread.start()
                ready.wait()
                _running.add(self)
            return cast(asyncio.AbstractEventLoop, self._loop)

    def _main(self, ready: threading.Event) -> None:
        with asyncio.Runner(loop_factory=self._factory) as runner:
            self._loop = runner.get_loop()
            asyncio.set_event_loop(self._loop)
            ready.set()
            self._loop.run_forever()


async def _started(app: App) -> _Lifespan:
    lifespan = _Lifespan(app)
    await lifespan.start()
    return lifespan


_running: "weakref.WeakSet[_LoopThread]" = weakref.WeakSet()


def _stop_all() -> None:
    running = tuple(_running)
    for one in running:
        one.end()
    for one in running:
        one.join()


# Ordinary exit hooks run when executors are closed already, and an app may need those to stop. What is
# registered last comes first, so theirs has to be there before ours.
import_module("concurrent.futures.thread")
getattr(threading, "_register_atexit", atexit.register)(_stop_all)


def _scope_of(request: httpx.Request) -> Message:
    target = request.url.raw_path
    path, _, query = target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": (request.url.host, request.url.port),
        "client": ("127.0.0.1", 0),
        "state": {},
    }


async def _body_of(request: httpx.Request) -> AsyncIterator[bytes]:
    stream = request.stream
    if isinstance(stream, httpx.AsyncByteStream):
        async for piece in stream:
            yield piece
        return
    # A sync body may wait for a disk or another thread, so it is not read in the loop.
    pieces = iter(stream)
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece


async def _awaited(work: Awaitable[None]) -> None:
    await work
