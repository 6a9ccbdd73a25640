"""Why a server does not start: lines that a person can act on, never a traceback."""

from collections.abc import Iterable


class StartupError(Exception):
    """Start-up failed. `lines` say what is wrong and what to do, one fault a line."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def told(error: Exception) -> str:
    """An exception in one line: its class and what it says."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


class ConfigError(StartupError):
    """The run config is wrong: every fault at once, as `file:line: key: what is wrong; what to do`."""

    def __init__(self, lines: Iterable[str]) -> None:
        super().__init__(*lines)
