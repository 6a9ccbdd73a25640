"""For packages that block: calls in threads, while what is recorded stays on the event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from specstack_wire.transports.exchange import Exchanger, Pieces, Reply

T = TypeVar("T")


class BlockingReply(Protocol):
    """A reply of a client that blocks, of which nothing has been read."""

    status_code: int

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers."""
        ...

    def iter_bytes(self) -> Iterator[bytes]:
        """Its body as it comes."""
        ...

    def close(self) -> None:
        """Close the connection if the body has not been read to its end."""
        ...


class Bridge:
    """From threads to the event loop in which it is made, and from there to threads again."""

    def __init__(self, exchanger: Exchanger) -> None:
        self._exchanger = exchanger
        self._loop = asyncio.get_running_loop()

    def exchange(
        self, request: Any, send: Callable[[Any], BlockingReply]
    ) -> tuple[int, dict[str, str], "BlockingPieces"]:
        """Status, headers and body, for the thread that calls. Raises what the exchanger raises."""

        async def sending(request: Any) -> Reply:
            return _InThreads(await asyncio.to_thread(send, request))

        status, headers, pieces = self.wait(self._exchanger.exchange(request, sending))
        return status, headers, BlockingPieces(self, pieces)

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """What comes of work on the event loop. Raises RuntimeError there: it would wait for itself."""
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is self._loop:
            work.close()
            raise RuntimeError("this client blocks; call it with `await asyncio.to_thread(…)`")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


class BlockingPieces:
    """The body of a reply, for a thread."""

    def __init__(self, bridge: Bridge, pieces: Pieces) -> None:
        self._bridge = bridge
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        source = aiter(self._pieces)

        async def following() -> bytes | None:
            return await anext(source, None)

        while (piece := self._bridge.wait(following())) is not None:
            yield piece

    def close(self) -> None:
        """Close it; what has come until then is kept."""
        self._bridge.wait(self._pieces.aclose())


class _InThreads:
    """A reply of a client that blocks, for the event loop."""

    def __init__(self, reply: BlockingReply) -> None:
        self._reply = reply
        self.status_code = reply.status_code
        self.headers = reply.headers

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        chunks = self._reply.iter_bytes()
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield chunk

    async def aclose(self) -> None:
        await asyncio.to_thread(self._reply.close)
