"""Runs `stack-serve` as a user would: a process of its own, on a loopback port."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx


def free_port() -> int:
    """A loopback port that nothing listens on right now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running_server(
    arguments: Sequence[str],
    port: int,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    ready_within: float = 90.0,
) -> Iterator[str]:
    """The base URL of a server started with `stack-serve ARGUMENTS`; stopped with SIGTERM afterwards.

    Fails with the server's output when it does not get ready or does not stop cleanly.
    """
    command = [sys.executable, "-c", "from specstack.cli.main import stack_serve; stack_serve()", *arguments]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile("w+") as output:

        def said() -> str:
            output.seek(0)
            return output.read()

        process = subprocess.Popen(
            command, cwd=cwd, env=dict(env or os.environ), stdout=output, stderr=subprocess.STDOUT, text=True
        )
        try:
            deadline = time.monotonic() + ready_within
            while not _answers(url):
                if process.poll() is not None:
                    raise AssertionError(f"the server exited with {process.returncode}:\n{said()}")
                if time.monotonic() > deadline:
                    raise AssertionError(f"the server was not ready within {ready_within} s:\n{said()}")
                time.sleep(0.05)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise AssertionError(f"the server did not stop within 20 s:\n{said()}") from None
        assert process.returncode in (0, -signal.SIGTERM), said()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url + "/v1/health", timeout=1).status_code == 200
    except httpx.TransportError:
        return False
