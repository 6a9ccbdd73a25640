"""Where ids, time and cached files come from in a running server."""

import os
import secrets
import time
from pathlib import Path


class RandomIds:
    """Ids of 96 random bits."""

    def new(self, prefix: str) -> str:
        """A fresh id: the prefix and 24 hexadecimal digits."""
        return prefix + secrets.token_hex(12)


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def created(self) -> int:
        """Unix time in whole seconds."""
        return int(time.time())


def home_dir() -> Path:
    """Where servers keep their data: SPECSTACK_HOME, else `~/.specstack`. Not created here."""
    own = os.environ.get("SPECSTACK_HOME")
    return Path(own).expanduser() if own else Path.home() / ".specstack"


def cache_dir() -> Path:
    """SPECSTACK_CACHE, else `specstack` in XDG_CACHE_HOME, else `~/.cache/specstack`. Not created here."""
    if own := os.environ.get("SPECSTACK_CACHE"):
        return Path(own).expanduser()
    xdg = os.environ.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".cache") / "specstack"
