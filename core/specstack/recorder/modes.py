"""When calls are recorded, and when recordings answer."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

Mode = Literal["live", "record", "record-if-missing", "replay"]
"""`live`: no recorder. `record`: ask and keep. `record-if-missing`: answer from a recording, else ask and
keep. `replay`: answer from recordings alone."""

MODES: tuple[Mode, ...] = get_args(Mode)
VARIABLES = ("SPECSTACK_TEST_INFERENCE_MODE", "LLAMA_STACK_TEST_INFERENCE_MODE")
"""Where the mode may stand in the environment, the first winning."""
DEFAULT_FOLDER = Path("tests/integration/recordings")
FOLDER_VARIABLE = "SPECSTACK_TEST_RECORDING_DIR"


def mode_of(option: str | None, environment: Mapping[str, str] = os.environ) -> Mode | None:
    """The mode that an option or the environment asks for; None if neither does. Raises ValueError."""
    asked = {"--inference-mode": option, **{name: environment.get(name) for name in VARIABLES}}
    for where, mode in asked.items():
        if not mode:
            continue
        if mode not in MODES:
            raise ValueError(f"{where}: {mode!r} is no mode; there are: {', '.join(MODES)}")
        return mode
    return None
