"""A server with two workers from its start to its end: who serves, who dies, what is said."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from core.workers.kit import CHAT, LOGGED, Team, chat, config, gone, one_client_each, soon, team
from support.loopback_upstream import LoopbackUpstream
from support.process import free_port

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes in /proc")


@pytest.fixture(scope="module")
def upstream() -> Iterator[LoopbackUpstream]:
    with LoopbackUpstream.running() as found:
        yield found


@pytest.fixture
def file(upstream: LoopbackUpstream, tmp_path: Path) -> Path:
    return config(upstream.base_url, tmp_path)


def until_asked(upstream: LoopbackUpstream, text: bytes) -> None:
    soon(lambda: any(text in one.body for one in upstream.seen))


async def test_connections_are_shared_out_evenly(file: Path) -> None:
    with team(file, **LOGGED) as found:
        assert len(found.workers()) == 2
        clients = [httpx.AsyncClient(base_url=found.url, timeout=20) for _ in range(24)]
        replies = await asyncio.gather(*(one.post(CHAT, json=chat()) for one in clients))
        assert {one.status_code for one in replies} == {200}
        served = [found.server_of(one.headers["x-request-id"]) for one in replies]
        for client in clients:
            await client.aclose()
        # Where the machine is busy, one of them may be late for some.
        assert set(served) == set(found.workers())
        assert min(map(served.count, set(served))) >= 6


def test_the_supervisor_has_one_thread_and_takes_nothing(file: Path) -> None:
    with team(file) as found:
        tasks = list(Path(f"/proc/{found.process.pid}/task").iterdir())
        assert len(tasks) == 1


def test_one_worker_is_one_process(file: Path) -> None:
    with team(file, "--workers", "1") as found:
        assert found.workers() == []
        assert httpx.post(found.url + CHAT, json=chat(), timeout=20).status_code == 200


def test_others_go_on_when_a_worker_is_killed_and_it_comes_back(file: Path) -> None:
    with team(file, **LOGGED) as found, one_client_each(found) as (one, two):
        killed = found.server_of(one.get("/v1/health").headers["x-request-id"])
        before = set(found.workers())
        failed: list[Exception | int] = []
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                try:
                    # Each on a connection of its own.
                    status = httpx.post(found.url + CHAT, json=chat(), timeout=20).status_code
                    failed.extend([status] if status != 200 else [])
                except httpx.TransportError as error:
                    failed.append(error)

        asking = threading.Thread(target=ask)
        os.kill(killed, signal.SIGKILL)
        asking.start()
        # The other's kept connection is none the worse for it.
        assert two.post(CHAT, json=chat()).status_code == 200
        soon(lambda: len(set(found.workers()) - {killed}) == 2 and gone(killed))
        time.sleep(0.5)
        over.set()
        asking.join()
        assert failed == []
        assert len(before & set(found.workers())) == 1
        with one_client_each(found) as (three, four):
            assert {three.post(CHAT, json=chat()).status_code, four.get("/v1/health").status_code} == {200}
        assert f"(process {killed}) was ended by SIGKILL; another takes its place now" in found.log()


@pytest.mark.parametrize(
    ("sent", "status"),
    [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 0), (signal.SIGHUP, -signal.SIGHUP)],
)
def test_requests_under_way_are_finished(
    file: Path, upstream: LoopbackUpstream, sent: signal.Signals, status: int
) -> None:
    with team(file) as found:
        workers = found.workers()
        replies: list[int] = []
        mark = f"@@hang=1.5@@ {sent.name}"

        def ask() -> None:
            replies.append(httpx.post(found.url + CHAT, json=chat(mark), timeout=20).status_code)

        asking = [threading.Thread(target=ask) for _ in range(4)]
        for one in asking:
            one.start()
        soon(lambda: sum(mark.encode() in one.body for one in upstream.seen) == 4)
        assert found.stop(sent) == status
        for one in asking:
            one.join()
        assert replies == [200] * 4
        assert all(map(gone, workers))
        with pytest.raises(httpx.ConnectError):
            httpx.get(found.url + "/v1/health")


def test_a_terminal_s_ctrl_c_reaches_all_and_ends_nothing_early(
    file: Path, upstream: LoopbackUpstream
) -> None:
    with team(file) as found:
        replies: list[int] = []
        mark = "@@hang=1.2@@ terminal"

        def ask() -> None:
            replies.append(httpx.post(found.url + CHAT, json=chat(mark), timeout=20).status_code)

        asking = threading.Thread(target=ask)
        asking.start()
        until_asked(upstream, mark.encode())
        for pid in found.workers():
            os.kill(pid, signal.SIGINT)
        assert found.stop(signal.SIGINT) == 0
        asking.join()
        assert replies == [200]


def test_a_second_ctrl_c_ends_it_at_once(file: Path, upstream: LoopbackUpstream) -> None:
    with team(file) as found:
        mark = "@@hang=15@@ second"
        asking = threading.Thread(target=lambda: broken(found, mark))
        asking.start()
        until_asked(upstream, mark.encode())
        began = time.monotonic()
        found.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert found.stop(signal.SIGINT) == 0
        asking.join()
        assert time.monotonic() - began < 4


def broken(found: Team, text: str) -> None:
    try:
        httpx.post(found.url + CHAT, json=chat(text), timeout=20)
    except httpx.TransportError:
        return


def test_workers_do_not_outlive_their_supervisor(file: Path) -> None:
    with team(file) as found:
        workers = found.workers()
        found.stop(signal.SIGKILL)
        soon(lambda: all(map(gone, workers)))
        assert found.log().count("the supervisor is gone") == 2


def test_a_worker_that_is_told_to_stop_is_replaced(file: Path) -> None:
    with team(file) as found:
        one = found.workers()[0]
        os.kill(one, signal.SIGTERM)
        soon(lambda: gone(one) and len(found.workers()) == 2)
        assert httpx.get(found.url + "/v1/health").status_code == 200


# -- starts that fail ------------------------------------------------------------------------


def refused(file: Path, *arguments: str) -> str:
    """What a server says that does not start."""
    found = Team(file, *arguments)
    try:
        assert found.process.wait(60) == 1
        return found.log()
    finally:
        found.end()


def test_a_port_that_is_taken_is_told_once(file: Path) -> None:
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        said = refused(file, "--port", str(port))
    assert said == (
        f"error: server: cannot listen on 127.0.0.1:{port}: another program does; stop it or choose a port "
        "with --port\n"
    )


def test_what_only_a_worker_can_find_out_is_told_once(file: Path) -> None:
    file.with_name("kv.db").write_bytes(b"no database at all" * 100)
    said = refused(file)
    assert said.count("file is not a database") == 1
    assert said.startswith(f"error: {file}: storage.backends.kv_default: the SQLite file")


def test_an_open_address_without_authentication_is_refused(file: Path) -> None:
    assert refused(file, "--host", "0.0.0.0").startswith("error: server.host: 0.0.0.0 takes requests from")


def test_recordings_need_one_process(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECSTACK_TEST_INFERENCE_MODE", "replay")
    assert refused(file) == (
        "error: server.workers: calls are recorded or replayed in their order, by one process; "
        "say --workers 1\n"
    )


def test_it_gives_up_when_no_worker_can_start_any_more(file: Path) -> None:
    with team(file) as found:
        for name in ("kv.db-wal", "kv.db-shm", "kv.db"):
            file.with_name(name).unlink(missing_ok=True)
        file.with_name("kv.db").write_bytes(b"no database at all" * 100)
        for pid in found.workers():
            os.kill(pid, signal.SIGKILL)
        assert found.process.wait(60) == 1
        said = found.log()
        assert "5 starts have failed one after the other, and no worker serves" in said
        assert said.count("cannot start: ") == 5
        assert "another takes its place in 0.5 s" in said


def test_what_loads_weights_in_the_process_is_warned_of(upstream: LoopbackUpstream, tmp_path: Path) -> None:
    inline = {"provider_id": "own", "provider_type": "inline::llama-cpp"}
    models = [{"model_id": "m", "path": str(tmp_path / "there-is-none.gguf")}]
    providers = {"inference": [{**inline, "config": {"models": models}}]}
    said = refused(config(upstream.base_url, tmp_path, providers=providers))
    assert "each of the 2 workers runs the provider own (inline::llama-cpp) for itself" in said
    assert said.count("there-is-none.gguf") == 1


# -- what they share -------------------------------------------------------------------------


def test_every_completion_of_every_worker_is_kept(upstream: LoopbackUpstream, tmp_path: Path) -> None:
    storage = {
        "backends": {
            "kv_default": {"type": "kv_sqlite", "db_path": str(tmp_path / "kv.db")},
            "sql_default": {"type": "sql_sqlite", "db_path": str(tmp_path / "sql.db")},
        },
        "stores": {"inference": {"mode": "all"}},
    }
    file = config(upstream.base_url, tmp_path, storage=storage)

    async def load(url: str) -> list[str]:
        ids: list[str] = []

        async def ask(number: int) -> None:
            async with httpx.AsyncClient(base_url=url, timeout=60) as client:
                for step in range(15):
                    reply = await client.post(CHAT, json=chat(f"{number}/{step}"))
                    assert reply.status_code == 200
                    ids.append(reply.headers["x-request-id"])

        await asyncio.gather(*(ask(number) for number in range(40)))
        return ids

    with team(file, **LOGGED) as found:
        ids = asyncio.run(load(found.url))
        served = [found.server_of(one) for one in ids[::30]]
        assert len(set(served)) == 2
        found.stop()
        assert "locked" not in found.log()
        assert '"level": "error"' not in found.log()
    with sqlite3.connect(tmp_path / "sql.db") as db:
        assert db.execute("select count(*) from specstack_chat_completions").fetchone() == (600,)


MODEL = {"model_id": "mine", "provider_id": "up", "provider_model_id": "echo"}


def test_registrations_and_deletes_reach_the_other_worker(file: Path) -> None:
    with team(file, **LOGGED) as found, one_client_each(found) as (one, two):
        for _ in range(3):
            assert one.post("/v1/models", json=MODEL).status_code == 200
            # Who asks for it by its name need not wait for the other to look.
            assert two.post(CHAT, json={**chat(), "model": "mine"}).status_code == 200
            assert two.get("/v1/models/mine").status_code == 200
            assert one.delete("/v1/models/mine").status_code in (200, 204)
            soon(lambda: two.get("/v1/models/mine").status_code == 404, 1)


def test_a_quota_is_one_for_all_workers(upstream: LoopbackUpstream, tmp_path: Path) -> None:
    quota = {"anonymous": [{"per": "day", "requests": 20}]}
    file = config(upstream.base_url, tmp_path, server={"quota": quota})

    async def load(url: str) -> list[int]:
        clients = [httpx.AsyncClient(base_url=url, timeout=60) for _ in range(10)]
        replies = await asyncio.gather(
            *(client.post(CHAT, json=chat()) for client in clients for _ in range(5))
        )
        for client in clients:
            await client.aclose()
        return [one.status_code for one in replies]

    with team(file, **LOGGED) as found:
        statuses = asyncio.run(load(found.url))
        assert (statuses.count(200), statuses.count(429)) == (20, 30)


def test_each_worker_finds_the_provider_s_models(file: Path) -> None:
    with team(file, **LOGGED) as found, one_client_each(found) as clients:
        listed = [[one["id"] for one in client.get("/v1/models").json()["data"]] for client in clients]
        assert listed[0] == listed[1]
        assert "up/echo" in listed[0]
