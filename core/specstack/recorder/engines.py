"""Call-outs to what runs in the process, recorded."""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING

from specstack.recorder.exchange import Answer, Json, Piece
from specstack_wire import ApiError

if TYPE_CHECKING:
    from specstack.recorder.recorder import Recorder


class RecordedCalls:
    """The call-outs of one provider, recorded."""

    def __init__(self, recorder: "Recorder", provider: str) -> None:
        self._recorder = recorder
        self._provider = provider

    async def call(self, target: str, request: Json, live: Callable[[], Awaitable[Json]]) -> Json:
        """The answer to a request: recorded, or asked for and recorded."""
        turn = self._recorder.turn(self._provider, "engine", target, request)
        found = turn.recorded
        if found is not None:
            if found.failure is not None:
                self._recorder.raise_again(found.failure)
            return found.body
        try:
            body = await live()
        except ApiError as error:
            turn.keep(Answer(failure=self._recorder.failure(error)))
            raise
        turn.keep(Answer(body=body))
        return body

    async def stream(
        self, target: str, request: Json, live: Callable[[], AsyncGenerator[Json]]
    ) -> AsyncGenerator[Json]:
        """The pieces of an answer: recorded, or asked for and recorded. One that nobody reads to its end
        is kept as far as it was read."""
        turn = self._recorder.turn(self._provider, "engine", target, request)
        found = turn.recorded
        if found is not None:
            for piece in found.pieces or ():
                yield piece.data
            if found.failure is not None:
                self._recorder.raise_again(found.failure)
            return
        pieces: list[Piece] = []
        failure: dict[str, str] | None = None
        try:
            async with contextlib.aclosing(live()) as source:
                async for data in source:
                    pieces.append(turn.piece(data))
                    yield data
        except ApiError as error:
            failure = self._recorder.failure(error)
            raise
        finally:
            turn.keep(Answer(pieces=tuple(pieces), failure=failure))
