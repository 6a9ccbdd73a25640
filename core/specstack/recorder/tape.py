"""What is kept of one test's calls, and what answers in their place: the recorder under its seams."""

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import specstack_wire
from specstack.recorder.exchange import Answer, Exchange, Json, Kind, Piece, RecordingDamaged
from specstack.recorder.library import Library
from specstack.recorder.modes import Mode
from specstack.recorder.scrub import Scrubber
from specstack_wire import ApiError, RecordingMissing

_SHOWN = 3


class Tape:
    """Recordings in `folder`, used as `mode` says, for one test at a time.

    `errors` is the module of the error classes, by whose names failures are kept. Not for `live`: then
    nothing is recorded.
    """

    def __init__(self, mode: Mode, folder: Path, errors: ModuleType) -> None:
        if mode == "live":
            raise ValueError("there is no recorder in live mode")
        self.mode = mode
        self.library = Library(folder)
        self.scrubber = Scrubber()
        self._errors = errors
        self._test = "start"
        self._turns: Counter[tuple[str, str]] = Counter()
        self._fresh: set[tuple[str, str]] = set()

    def begin(self, test: str) -> None:
        """From now on calls belong to `test`; turns count from the start again."""
        self._test = test
        self._turns.clear()

    def close(self) -> None:
        """End it; what was recorded is in files already."""
        self.library.close()

    def turn(self, provider: str, kind: Kind, target: str, request: Json) -> "Turn":
        """The next exchange of a request."""
        asked = Exchange(
            provider=provider,
            test=self._test,
            kind=kind,
            target=self.scrubber.clean(target),
            request=self.scrubber.clean(request),
            answer=Answer(),
        )
        key = (provider, asked.digest)
        self._turns[key] += 1
        return Turn(self, asked, self._turns[key])

    def recorded(self, asked: Exchange, turn: int) -> Answer | None:
        """The recorded answer; None when it is to be asked for. Raises RecordingMissing in a replay."""
        if self.mode == "record":
            return None
        try:
            found = self.library.find(asked.provider, asked.test, asked.digest, turn)
        except RecordingDamaged as error:
            if self.mode == "replay":
                raise RecordingMissing(f"{asked.provider} asks {asked.target}: {error}") from None
            return None
        if found is not None:
            return found.answer
        if self.mode == "replay":
            self._missing(asked)
        return None

    def keep(self, asked: Exchange, turn: int, answer: Answer) -> None:
        """Write an answer down, without secrets."""
        place = (asked.provider, asked.test)
        if self.mode == "record" and place not in self._fresh:
            self._fresh.add(place)
            self.library.forget(*place)
        kept = Exchange(
            provider=asked.provider,
            test=asked.test,
            kind=asked.kind,
            target=asked.target,
            request=asked.request,
            turn=turn,
            digest=asked.digest,
            answer=self.scrubber.answer(answer),
        )
        self.library.keep(kept)

    def failure(self, error: ApiError) -> dict[str, str]:
        """An error in the form in which it is kept."""
        told = {"error": type(error).__name__, "message": error.message}
        if type(error) is getattr(specstack_wire, told["error"], None):
            told["module"] = specstack_wire.__name__  # the spec has errors of the same names
        return told if error.param is None else {**told, "param": error.param}

    def raise_again(self, failure: Mapping[str, str], errors: ModuleType | None = None) -> NoReturn:
        """Raise the error that was kept: a class of `errors`, by default of the spec's."""
        name, message = failure["error"], failure["message"]
        if failure.get("module") == specstack_wire.__name__:
            errors = specstack_wire
        found: Any = getattr(errors or self._errors, name, None)
        if not (isinstance(found, type) and issubclass(found, ApiError)):
            raise ApiError(f"the recorded error {name} is none of this server: {message}")
        error = found(message)
        error.param = failure.get("param")
        raise error

    def _missing(self, asked: Exchange) -> NoReturn:
        what = f"{asked.provider} asks {asked.target}, and there is no recording of it (test {asked.test}"
        near = self.library.nearest(asked)
        if near is None:
            shown = f"nothing is recorded of {asked.provider} in {self.library.folder}"
        else:
            path, found = near
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            shown = f"the nearest is {path}, where {'; '.join(found[:_SHOWN])}{more}"
        raise RecordingMissing(
            f"{what}, digest {asked.digest}); {shown}. Record it with the mode record-if-missing."
        )


class Turn:
    """One exchange under way."""

    def __init__(self, tape: Tape, asked: Exchange, turn: int) -> None:
        self._tape = tape
        self._asked = asked
        self._turn = turn
        self._started = time.monotonic()

    @property
    def recorded(self) -> Answer | None:
        """The answer that is there already, None when it has to be asked for. Raises RecordingMissing."""
        return self._tape.recorded(self._asked, self._turn)

    def keep(self, answer: Answer) -> None:
        """The answer that came."""
        self._tape.keep(self._asked, self._turn, answer)

    def piece(self, data: Json) -> Piece:
        """A piece of a stream that has come now."""
        return Piece(time.monotonic() - self._started, data)
