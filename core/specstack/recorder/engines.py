"""Call-outs to what runs in the process, recorded."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

from specstack.recorder.exchange import Answer, Json, Piece
from specstack.recorder.tape import Tape
from specstack_wire import ApiError


class RecordedCalls:
    """The call-outs of one provider, recorded."""

    def __init__(self, tape: Tape, provider: str) -> None:
        self._tape = tape
        self._provider = provider

    async def call(
        self,
        target: str,
        request: Json,
        live: Callable[[], Awaitable[Json]],
        *,
        secrets: Iterable[str] = (),
    ) -> Json:
        """The answer to a request: recorded, or asked for and recorded."""
        self._tape.scrubber.learn(secrets)
        turn = self._tape.turn(self._provider, "engine", target, request)
        found = turn.recorded
        if found is not None:
            if found.failure is not None:
                self._tape.raise_again(found.failure)
            return found.body
        try:
            body = await live()
        except ApiError as error:
            turn.keep(Answer(failure=self._tape.failure(error)))
            raise
        turn.keep(Answer(body=body))
        return body

    async def stream(
        self,
        target: str,
        request: Json,
        live: Callable[[], AsyncGenerator[Json]],
        *,
        secrets: Iterable[str] = (),
    ) -> AsyncGenerator[Json]:
        """The pieces of an answer: recorded, or asked for and recorded. One that nobody reads to its end
        is kept as far as it was read."""
        self._tape.scrubber.learn(secrets)
        turn = self._tape.turn(self._provider, "engine", target, request)
        found = turn.recorded
        if found is not None:
            for piece in found.pieces or ():
                yield piece.data
            if found.failure is not None:
                self._tape.raise_again(found.failure)
            return
        pieces: list[Piece] = []
        try:
            async with contextlib.aclosing(live()) as source:
                async for data in source:
                    pieces.append(turn.piece(data))
                    yield data
        except ApiError as error:
            turn.keep(Answer(pieces=tuple(pieces), failure=self._tape.failure(error)))
            raise
        except (GeneratorExit, asyncio.CancelledError):
            if pieces:
                turn.keep(Answer(pieces=tuple(pieces)))
            raise
        turn.keep(Answer(pieces=tuple(pieces)))
