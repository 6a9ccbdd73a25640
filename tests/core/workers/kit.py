"""A server with several workers, as a process of its own, and ways to tell its workers apart."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import httpx

CHAT = "/v1/chat/completions"
RUN = "from specstack.cli.main import stack_serve; stack_serve()"


def config(upstream: str, folder: Path, **more: Any) -> Path:
    """A run config with one provider and two workers; `more` are further sections."""
    provider = {"provider_id": "up", "provider_type": "remote::openai-compatible"}
    document = {
        "version": 2,
        "distro_name": "team",
        "providers": {"inference": [{**provider, "config": {"base_url": upstream}}]},
        "storage": {
            "backends": {
                "kv_default": {"type": "kv_sqlite", "db_path": str(folder / "kv.db")},
                "sql_default": {"type": "sql_sqlite", "db_path": str(folder / "sql.db")},
            }
        },
        **more,
    }
    document["server"] = {"port": 0, "workers": 2, "shutdown_grace_seconds": 5, **more.get("server", {})}
    file = folder / "run.yaml"
    file.write_text(json.dumps(document))
    return file


class Team:
    """A server's processes. `url` is known once it has announced itself."""

    def __init__(self, file: Path, *arguments: str, **env: str) -> None:
        self._log = file.with_name("log")
        self._log.touch()
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", RUN, str(file), *arguments],
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **env},
                text=True,
            )
        self.url = ""

    def ready(self) -> Team:
        """Wait until it says that it serves."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if " at http" in line:
                self.url = line.rsplit(" ", 1)[1].strip()
            if "  try " in line:
                return self
        raise AssertionError(self.log())

    def log(self) -> str:
        """What it wrote to standard error."""
        return self._log.read_text()

    def workers(self) -> list[int]:
        """The process ids of its workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(one) for one in children.read_text().split()]

    def server_of(self, request_id: str) -> int:
        """The process that answered a call, as the access log tells it."""
        found: list[int] = []

        def told() -> bool:
            lines = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
            found[:] = [
                line["pid"]
                for line in lines
                if line.get("request_id") == request_id and line["category"] == "access"
            ]
            return bool(found)

        soon(told)
        return found[0]

    def stop(self, sent: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status."""
        self.process.send_signal(sent)
        return self.process.wait(30)

    def end(self) -> None:
        """Whatever became of it, leave nothing of it."""
        pids = self.workers() if self.process.poll() is None else []
        self.process.kill()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with self.process:
            pass


@contextlib.contextmanager
def team(file: Path, *arguments: str, **env: str) -> Generator[Team]:
    """A team that serves."""
    found = Team(file, *arguments, **env)
    try:
        yield found.ready()
    finally:
        found.end()


LOGGED = {"SPECSTACK_LOG": "access=info", "SPECSTACK_LOG_FORMAT": "json"}
"""With these `Team.server_of` knows."""


@contextlib.contextmanager
def one_client_each(found: Team) -> Generator[tuple[httpx.Client, httpx.Client]]:
    """Two clients with a kept connection, each to another worker."""
    with contextlib.ExitStack() as stack:
        clients: dict[int, httpx.Client] = {}
        for _ in range(30):
            client = stack.enter_context(httpx.Client(base_url=found.url, timeout=20))
            clients.setdefault(found.server_of(client.get("/v1/health").headers["x-request-id"]), client)
            if len(clients) == 2:
                one, two = clients.values()
                yield one, two
                return
        raise AssertionError("all connections went to one worker")


def chat(text: str = "hi", **more: Any) -> dict[str, Any]:
    """The body of a call."""
    return {"model": "up/echo", "messages": [{"role": "user", "content": text}], **more}


def soon(check: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until `check` holds."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Whether there is no such process any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
