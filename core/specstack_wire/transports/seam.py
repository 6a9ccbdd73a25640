"""What the transports of both libraries are: calls pass through `CallOuts` where somebody records them."""

from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any, ClassVar, Generic, TypeVar

from specstack_wire.callouts import DIRECT, CallOuts
from specstack_wire.transports.exchange import Exchanger, Pieces
from specstack_wire.transports.threads import BlockingPieces, Bridge

Inner = TypeVar("Inner")


class AsyncSeam(Generic[Inner]):
    """A transport of `library` whose replies have bodies made by `body`."""

    library: ClassVar[ModuleType]
    body: ClassVar[Callable[[Pieces], Any]]

    def __init__(self, calls: CallOuts, inner: Inner | None = None) -> None:
        self._inner: Any = self.library.AsyncHTTPTransport() if inner is None else inner
        self._exchanger = None if calls is DIRECT else Exchanger(calls, self.library)

    async def handle_async_request(self, request: Any) -> Any:
        """The reply, its body still to be read."""
        if self._exchanger is None:
            return await self._inner.handle_async_request(request)
        await request.aread()
        status, headers, pieces = await self._exchanger.exchange(request, self._inner.handle_async_request)
        return self.library.Response(status, headers=headers, stream=type(self).body(pieces))

    async def aclose(self) -> None:
        """Free the connections."""
        await self._inner.aclose()


class SyncSeam(Generic[Inner]):
    """The same for clients that block. Made where the event loop runs, called from threads."""

    library: ClassVar[ModuleType]
    body: ClassVar[Callable[[BlockingPieces], Any]]

    def __init__(self, calls: CallOuts, inner: Inner | None = None) -> None:
        self._inner: Any = self.library.HTTPTransport() if inner is None else inner
        self._bridge = None if calls is DIRECT else Bridge(Exchanger(calls, self.library))

    def handle_request(self, request: Any) -> Any:
        """The reply, its body still to be read."""
        if self._bridge is None:
            return self._inner.handle_request(request)
        request.read()
        status, headers, pieces = self._bridge.exchange(request, self._inner.handle_request)
        return self.library.Response(status, headers=headers, stream=type(self).body(pieces))

    def close(self) -> None:
        """Free the connections."""
        self._inner.close()


class AsyncBody:
    """The body of a reply, to be read on the event loop."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._pieces)

    async def aclose(self) -> None:
        """Close it; what has come until then is kept."""
        await self._pieces.aclose()


class SyncBody:
    """The body of a reply, to be read in a thread."""

    def __init__(self, pieces: BlockingPieces) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)

    def close(self) -> None:
        """Close it; what has come until then is kept."""
        self._pieces.close()
