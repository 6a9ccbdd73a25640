"""The seam to what cannot be repeated: models in the process, vendors' packages."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Any, Protocol, runtime_checkable

Json = Any
"""What JSON can say: objects, lists, text, numbers, booleans, null."""


@runtime_checkable
class CallOuts(Protocol):
    """Calls of one provider that leave its own code. A recorder may keep them and answer in their place.

    `target` names what is asked, such as a model. `request` holds all that the answer depends on, and nothing
    that changes from run to run. `live` does the work; it may not be called at all, and so neither may
    anything that only it needs, such as loaded weights. `secrets` are texts that must not be kept.
    """

    async def call(
        self,
        target: str,
        request: Json,
        live: Callable[[], Awaitable[Json]],
        *,
        secrets: Iterable[str] = (),
    ) -> Json:
        """The answer to a request. Raises what `live` raises, and RecordingMissing in a replay."""
        ...

    def stream(
        self,
        target: str,
        request: Json,
        live: Callable[[], AsyncGenerator[Json]],
        *,
        secrets: Iterable[str] = (),
    ) -> AsyncGenerator[Json]:
        """The pieces of an answer as they come; closing the generator closes that of `live`."""
        ...


class Direct:
    """Call-outs that nobody records."""

    __slots__ = ()

    async def call(
        self,
        target: str,
        request: Json,
        live: Callable[[], Awaitable[Json]],
        *,
        secrets: Iterable[str] = (),
    ) -> Json:
        """What `live` answers."""
        return await live()

    def stream(
        self,
        target: str,
        request: Json,
        live: Callable[[], AsyncGenerator[Json]],
        *,
        secrets: Iterable[str] = (),
    ) -> AsyncGenerator[Json]:
        """What `live` yields."""
        return live()


DIRECT = Direct()
