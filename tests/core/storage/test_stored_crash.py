"""A server that is killed while it answers: what it had kept by then is what its documentation promises."""

import asyncio
import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Generator
from itertools import count
from pathlib import Path

import httpx
import psycopg
import pytest

from support.loopback_upstream import LoopbackUpstream
from support.process import free_port

PATH = "/v1/chat/completions"
WINDOW = 1.0
"""Seconds: what was answered longer ago than this is not lost."""
CALLERS, PAUSE = 8, 0.02
"""Who calls at once, and the seconds that each rests after a reply, so that the writer keeps up."""
LOAD, ENOUGH = 3.0, 300
"""Seconds that the server is under load at least before it is killed, and answers that it gives."""


@contextlib.contextmanager
def killed_server(
    sql_place: str, upstream: str, tmp_path: Path
) -> Generator[tuple[str, subprocess.Popen[bytes]]]:
    """The base URL of a server that keeps everything, and its process."""
    kind, place = ("sql_postgres", "url") if "://" in sql_place else ("sql_sqlite", "db_path")
    provider = {"provider_id": "up", "provider_type": "remote::openai-compatible"}
    config = {
        "version": 2,
        "distro_name": "t",
        "providers": {"inference": [{**provider, "config": {"base_url": upstream}}]},
        "storage": {
            "backends": {
                "kv_default": {"type": "kv_sqlite", "db_path": str(tmp_path / "kv.db")},
                "sql_default": {"type": kind, place: sql_place},
            },
            "stores": {"inference": {"mode": "all"}},
        },
    }
    file = tmp_path / "run.yaml"
    file.write_text(json.dumps(config))
    port = free_port()
    command = [sys.executable, "-c", "from specstack.cli.main import stack_serve; stack_serve()", str(file)]
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen([*command, "--port", str(port)], stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.wait()
        log.close()


async def ready(url: str, process: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(60), httpx.AsyncClient(base_url=url) as http:
        for number in count():
            assert process.poll() is None
            with contextlib.suppress(httpx.TransportError):
                await http.get("/v1/health")
                # The database is open and everything is warm when one can be read.
                messages = [{"role": "user", "content": f"ready {number}"}]
                await http.post(PATH, json={"model": "up/echo", "messages": messages})
                if (await http.get(PATH)).json().get("data"):
                    return
            await asyncio.sleep(0.05)


async def load(url: str, process: subprocess.Popen[bytes]) -> tuple[dict[str, float], float]:
    """When each completion was answered, and when the server was killed."""
    answered: dict[str, float] = {}

    async def call(caller: int) -> None:
        async with httpx.AsyncClient(base_url=url, timeout=20) as http:
            for number in range(100_000):
                # Texts of their own, so that no id comes twice.
                messages = [{"role": "user", "content": f"{caller} {number}"}]
                body = {"model": "up/echo", "messages": messages, "stream": number % 3 == 0}
                try:
                    reply = await http.post(PATH, json=body)
                except httpx.TransportError:
                    return
                if "[DONE]" in reply.text or (reply.status_code == 200 and not body["stream"]):
                    first = reply.text.partition("\n")[0].removeprefix("data: ")
                    answered[json.loads(first)["id"]] = time.monotonic()
                await asyncio.sleep(PAUSE)

    callers = [asyncio.create_task(call(caller)) for caller in range(CALLERS)]
    begun = time.monotonic()
    async with asyncio.timeout(60):
        while len(answered) < ENOUGH or time.monotonic() < begun + LOAD:
            await asyncio.sleep(0.05)
    at = time.monotonic()
    process.send_signal(signal.SIGKILL)
    await asyncio.wait(callers)
    return answered, at


def kept(sql_place: str) -> list[str]:
    query = "select completion_id from specstack_chat_completions"
    if "://" not in sql_place:
        with contextlib.closing(sqlite3.connect(sql_place)) as db:
            assert db.execute("pragma integrity_check").fetchone() == ("ok",)
            return [row[0] for row in db.execute(query)]
    with psycopg.connect(sql_place) as db:
        return [row[0] for row in db.execute(query)]


@pytest.mark.slow
async def test_what_was_answered_before_the_window_survives_kill_9(sql_place: str, tmp_path: Path) -> None:
    with (
        LoopbackUpstream.running() as upstream,
        killed_server(sql_place, upstream.base_url, tmp_path) as (url, process),
    ):
        await ready(url, process)
        answered, killed = await load(url, process)
        process.wait()
    found = kept(sql_place)
    assert len(found) == len(set(found)), "none is written twice"
    safe = [one for one, at in answered.items() if at < killed - WINDOW]
    lost = {one: killed - at for one, at in answered.items() if one not in set(found)}
    print(f"{len(answered)} answered, {len(lost)} lost, the oldest {max(lost.values(), default=0):.3f} s old")
    assert safe, "the load was none"
    assert not [one for one in safe if one in lost], f"lost after {max(lost.values()):.3f} s"
