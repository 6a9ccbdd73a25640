"""Whole servers over one store: registrations outlive them, reach each other, and survive a kill."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from typer.testing import CliRunner

from specstack.cli.main import app
from specstack.distributions import find_distribution
from specstack.storage.kv.sqlite import SqliteKV
from specstack.storage.registry import POLL
from specstack_wire import SHARED
from support.loopback_upstream import LoopbackUpstream
from support.process import free_port, running_server
from support.services import Service
from support.sql import new_database

CONFIG = """
version: 2
distro_name: shared
providers:
  inference:
    - {{provider_id: up, provider_type: remote::openai-compatible, config: {{base_url: "{up}"}}}}
{storage}
"""
MODEL = {"model_id": "mine", "provider_id": "up", "provider_model_id": "echo", "metadata": {"n": 1}}


@pytest.fixture
def upstream() -> Iterator[LoopbackUpstream]:
    with LoopbackUpstream.running() as found:
        yield found


@pytest.fixture(params=["sqlite", "postgres", "redis", "distribution"])
def config(
    request: pytest.FixtureRequest,
    upstream: LoopbackUpstream,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A run config that several servers use; the last one is the distribution's with another provider."""
    storage = ""
    if request.param == "distribution":
        service = request.getfixturevalue("postgres_server")
        monkeypatch.setenv("POSTGRES_URL", new_database(service.port))
        shipped = yaml.safe_load(find_distribution("postgres").path.read_text())
        storage = yaml.safe_dump({"storage": shipped["storage"]})
    elif request.param != "sqlite":
        service: Service = request.getfixturevalue(f"{request.param}_server")
        hosts = {"postgres": "postgresql://postgres@127.0.0.1:{}/postgres", "redis": "redis://127.0.0.1:{}"}
        url = hosts[request.param].format(service.port)
        storage = f"storage: {{backends: {{kv_default: {{type: kv_{request.param}, url: '{url}'}}}}}}"
    file = tmp_path / "run.yaml"
    file.write_text(CONFIG.format(up=upstream.base_url, storage=storage))
    return file


def server(config: Path) -> Any:
    port = free_port()
    return running_server([str(config), "--port", str(port)], port)


def status(url: str) -> int:
    return httpx.get(f"{url}/v1/models/mine").status_code


def until(url: str, wanted: int) -> None:
    """A second is promised, half of it between two looks; what a busy machine takes besides nobody knows."""
    assert POLL <= 0.5
    deadline = time.monotonic() + 20
    while (found := status(url)) != wanted:
        assert time.monotonic() < deadline, f"still {found} after twenty seconds"
        time.sleep(0.02)


@pytest.mark.slow
def test_two_servers_over_one_store_and_a_restart(config: Path) -> None:
    with server(config) as one, server(config) as two:
        assert status(one) == 404
        assert httpx.post(f"{one}/v1/models", json=MODEL).status_code == 200
        until(two, 200)
        body = {"model": "mine", "messages": [{"role": "user", "content": "hi"}]}
        assert httpx.post(f"{two}/v1/chat/completions", json=body).json()["model"] == "mine"
        assert httpx.post(f"{two}/v1/models", json={**MODEL, "provider_model_id": "x"}).status_code == 409
        created = httpx.get(f"{one}/v1/models/mine").json()
        assert httpx.get(f"{two}/v1/models/mine").json() == created
    with server(config) as again, server(config) as other:
        assert httpx.get(f"{again}/v1/models/mine").json() == created
        assert httpx.delete(f"{again}/v1/models/mine").status_code == 200
        until(other, 404)


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_postgres_distribution_as_it_is(
    postgres_server: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRES_URL", new_database(postgres_server.port))
    monkeypatch.delenv("SPECSTACK_HOME")
    runner, port = CliRunner(), free_port()
    assert runner.invoke(app, ["db", "status", "postgres"]).exit_code == 1
    with running_server(["postgres", "--port", str(port)], port) as one:
        assert httpx.post(f"{one}/v1/models", json={**MODEL, "provider_id": "llama-cpp"}).status_code == 200
        status = runner.invoke(app, ["db", "status", "postgres"])
        assert (status.exit_code, status.output.split()[4:6]) == (0, ["sql_default", "inference"])
    with running_server(["postgres", "--port", str(port)], port) as again:
        assert httpx.get(f"{again}/v1/models/mine").status_code == 200


def test_a_store_that_cannot_be_opened_is_one_line(tmp_path: Path, upstream: LoopbackUpstream) -> None:
    file = tmp_path / "run.yaml"
    (tmp_path / "data").write_text("a file where a directory should be")
    storage = f"storage: {{backends: {{kv_default: {{type: kv_sqlite, db_path: {tmp_path}/data/kv.db}}}}}}"
    file.write_text(CONFIG.format(up=upstream.base_url, storage=storage))
    command = "from specstack.cli.main import stack_serve; stack_serve()"
    done = subprocess.run(
        [sys.executable, "-c", command, str(file), "--port", str(free_port())],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert f"{file}: storage.backends.kv_default: the SQLite file {tmp_path}/data/kv.db: " in done.stderr
    assert "Traceback" not in done.stderr


WRITER = """
import asyncio, sys
from pathlib import Path
from specstack.storage.kv.sqlite import SqliteKV
from specstack_wire import SHARED

async def main():
    kv = SqliteKV(Path(sys.argv[1])).namespace("load")
    for number in range(10**9):
        await kv.set(SHARED, f"{number:09}", "x" * 200)
        print(number, flush=True)

asyncio.run(main())
"""


async def test_what_was_confirmed_survives_kill_9_under_write_load(tmp_path: Path) -> None:
    file = tmp_path / "kv.db"
    for enough in (25, 60, 110):
        file.unlink(missing_ok=True)
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        lines = await asyncio.to_thread(lambda out, count: [*islice(out, count)], writer.stdout, enough)
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.read().splitlines(keepends=True)
        writer.communicate()
        confirmed = [int(line) for line in lines if line.endswith("\n")]
        assert len(confirmed) >= enough
        backend = SqliteKV(file)
        kept = [item.key for item in await backend.namespace("load").scan(SHARED)]
        await backend.aclose()
        assert kept[: len(confirmed)] == [f"{number:09}" for number in confirmed]
        assert len(kept) - len(confirmed) <= 1


FIFTY = """
import asyncio, sys
from pathlib import Path
from specstack.storage.kv.sqlite import SqliteKV
from specstack_wire import SHARED

async def main():
    kv = SqliteKV(Path(sys.argv[1])).namespace("load")
    async def work(number):
        for step in range(20):
            await kv.incr(SHARED, "all")
    await asyncio.gather(*(work(number) for number in range(10)))

asyncio.run(main())
"""


async def test_fifty_writers_in_five_processes_are_never_locked_out(tmp_path: Path) -> None:
    file = tmp_path / "kv.db"
    writers = [
        subprocess.Popen([sys.executable, "-c", FIFTY, str(file)], stderr=subprocess.PIPE, text=True)
        for _ in range(5)
    ]
    for writer in writers:
        _, said = await asyncio.to_thread(writer.communicate)
        assert (writer.returncode, said) == (0, "")
    backend = SqliteKV(file)
    assert await backend.namespace("load").get(SHARED, "all") == b"1000"
    await backend.aclose()
