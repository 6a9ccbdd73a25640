"""Real storage servers on loopback ports, from what Debian's packages bring; each ends with its test run."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from specstack.storage.kv import KVBackend
from support.process import free_port

Make = Callable[[], KVBackend]


class Service:
    """A server process that can be stopped and started again on its port with its data."""

    def __init__(
        self, command: Sequence[str], port: int, *, ready: Sequence[str] = (), user: str | None = None
    ) -> None:
        self._command = command
        self._user = user
        self._ready = ready
        self._process: subprocess.Popen[str] | None = None
        self.port = port

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self._process = process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=self._user, text=True
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            assert process.poll() is None, f"{self._command[0]} ended with {process.returncode}"
            with socket.socket() as probe:
                listens = probe.connect_ex(("127.0.0.1", self.port)) == 0
            if listens and (
                not self._ready or subprocess.run(self._ready, capture_output=True).returncode == 0
            ):
                return
            time.sleep(0.05)
        raise AssertionError(f"{self._command[0]} does not listen on {self.port}")

    def stop(self) -> None:
        """Stop it in good order."""
        if self._process is not None:
            self._process.send_signal(2)  # PostgreSQL's fast shutdown; Redis ends as well
            self._process.wait(30)


def redis_service() -> Iterator[Service]:
    """A Redis server; skips where there is none."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not installed (`make services` installs it)")
    folder = tempfile.mkdtemp(prefix="specstack-redis-")
    port = free_port()
    options = [
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        folder,
        "--appendonly",
        "yes",
        "--save",
        "",
    ]
    service = Service([binary, *options], port)
    service.start()
    yield service
    service.stop()
    shutil.rmtree(folder, ignore_errors=True)


def postgres_service() -> Iterator[Service]:
    """A PostgreSQL server with trusted local connections; skips where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = str(found[-1]) if found else shutil.which("initdb")
    if initdb is None:
        pytest.skip("PostgreSQL is not installed (`make services` installs it)")
    # It refuses to run as root; its package makes a user for it.
    user = "postgres" if os.getuid() == 0 else None
    folder = tempfile.mkdtemp(prefix="specstack-postgres-")
    if user is not None:
        shutil.chown(folder, user)
    data = f"{folder}/data"
    subprocess.run(
        [initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
        check=True,
        capture_output=True,
        user=user,
        cwd="/",
    )
    port = free_port()
    ready = [str(Path(initdb).with_name("pg_isready")), "-h", "127.0.0.1", "-p", str(port)]
    settings = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "unix_socket_directories="]
    service = Service(
        [str(Path(initdb).with_name("postgres")), "-D", data, "-p", str(port), *settings],
        port,
        ready=ready,
        user=user,
    )
    service.start()
    yield service
    service.stop()
    shutil.rmtree(folder, ignore_errors=True)
