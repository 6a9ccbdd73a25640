"""A progress bar on a terminal, and the same as a few lines in a log file."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all; may be called from helper threads, never from two at once."""

_WIDTH = 28
_LINE_SECONDS = 5.0


class ProgressBar:
    """A `Progress` that draws on `stream` (stderr): a bar on a terminal, else a line every few seconds."""

    def __init__(self, label: str, stream: TextIO | None = None) -> None:
        self._label = label
        self._stream = stream if stream is not None else sys.stderr
        self._live = self._stream.isatty()
        self._last = 0.0
        self._finished = False

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        whole = done >= total
        if self._finished or not (whole or now - self._last >= (0.1 if self._live else _LINE_SECONDS)):
            return
        self._last = now
        self._finished = whole
        share = done / total if total else 1.0
        text = f"{self._label} {share:4.0%} {done / 1e6:.0f} of {total / 1e6:.0f} MB"
        if not self._live:
            print(text, file=self._stream, flush=True)
            return
        filled = round(share * _WIDTH)
        print(f"\r{self._label} [{'#' * filled}{'.' * (_WIDTH - filled)}] {text[len(self._label) + 1 :]}",
              end="\n" if whole else "", file=self._stream, flush=True)  # fmt: skip
