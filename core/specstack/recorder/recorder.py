"""The recorder: keeps what providers ask and get, and answers in place of what they ask."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from specstack.recorder.engines import RecordedCalls
from specstack.recorder.modes import DEFAULT_FOLDER, FOLDER_VARIABLE, Mode, mode_of
from specstack.recorder.sources import CountedIds, StoppedClock
from specstack.recorder.tape import Tape
from specstack.recorder.upstreams import RecordedUpstream
from specstack_wire import CallOuts, Upstream, UpstreamSettings


class Recorder(Tape):
    """A tape with the seams that providers call through, and ids and time that are the same each time."""

    def __init__(self, mode: Mode, folder: Path, errors: ModuleType) -> None:
        super().__init__(mode, folder, errors)
        self.ids = CountedIds()
        self.clock = StoppedClock()

    def begin(self, test: str) -> None:
        """From now on calls belong to `test`; ids and turns count from the start again."""
        super().begin(test)
        self.ids.restart(test)

    def upstream(self, provider: str, settings: UpstreamSettings, inner: Upstream) -> Upstream:
        """A provider's client of another server, recorded."""
        return RecordedUpstream(self, provider, settings, inner)

    def calls(self, provider: str) -> CallOuts:
        """A provider's other call-outs, recorded."""
        return RecordedCalls(self, provider)


def from_environment(errors: ModuleType, environment: Mapping[str, str] = os.environ) -> Recorder | None:
    """The recorder that the environment asks for, None if it asks for none. Raises ValueError."""
    mode = mode_of(None, environment)
    if mode is None or mode == "live":
        return None
    return Recorder(mode, Path(environment.get(FOLDER_VARIABLE) or DEFAULT_FOLDER), errors)
