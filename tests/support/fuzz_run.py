"""What a run of the contract fuzz has sent, for its summary and for comparing it with another run."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

PROGRESS_SECONDS: Final = 30.0


@dataclass
class Run:
    """The cases of a run by set-up (the test that sent them) and operation, and a digest of them all.

    A case is a request that schemathesis drew or derived; what a check sends besides is not counted.
    """

    cases: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    tell: Callable[[str], None] | None = None
    """Takes a line of progress, now and then."""
    _digest: Any = field(default_factory=hashlib.sha256)
    _began: float = field(default_factory=time.monotonic)
    _told: float = field(default_factory=time.monotonic)

    @property
    def digest(self) -> str:
        """The same for two runs that sent the same requests in the same order, at whatever port."""
        return self._digest.hexdigest()[:16]

    @property
    def seconds(self) -> float:
        """How long the run has taken."""
        return time.monotonic() - self._began

    def note(self, setup: str, case: Any, response: Any) -> None:
        """Count a case that has been sent."""
        label = case.operation.label
        self.cases[setup, label] += 1
        request = response.request
        body = request.body or b""
        media = request.headers.get("content-type", "")
        sent = body.encode() if isinstance(body, str) else bytes(body)
        for part in (setup, request.method, request.path_url, media):
            self._digest.update(f"{part}\n".encode("utf-8", "surrogateescape"))
        self._digest.update(b"%d\n" % len(sent) + sent)
        now = time.monotonic()
        if self.tell is not None and now - self._told >= PROGRESS_SECONDS:
            self._told = now
            self.tell(f"  {self.seconds:5.0f} s  {self.cases.total():6} cases, now {setup}: {label}")

    def summary(self, failures: int) -> list[str]:
        """The lines of a summary: each set-up, each operation, and all together."""
        setups = list(dict.fromkeys(setup for setup, _ in self.cases))
        labels = sorted({label for _, label in self.cases}, key=lambda label: label.split()[::-1])
        lines: list[str] = []
        for setup in setups:
            counts = [count for (one, _), count in self.cases.items() if one == setup]
            lines.append(f"{sum(counts):8} cases of {len(counts):3} operations  {setup}")
        for label in labels:
            lines.append(f"{sum(self.cases[setup, label] for setup in setups):8} cases  {label}")
        lines.append(
            f"{len(labels)} operations, {self.cases.total()} cases, {failures} failures, "
            f"{self.seconds:.0f} s; digest of the requests {self.digest}"
        )
        return lines


RUN: Final = Run()
"""That of this process."""
