"""A program that ends while its server, in a thread of it, still has rows to write."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, atexit, json, sys, threading

from specstack.config import read_config
from specstack.resolver import Supplies
from specstack.runtime import Runtime
from specstack.sources import RandomIds, SystemClock, cache_dir
from specstack.upstream import UpstreamPool
from specstack_server import SERVER
from specstack_wire import SHARED

config = {
    "version": 2,
    "distro_name": "ending",
    "providers": {
        "inference": [
            {
                "provider_id": "p",
                "provider_type": "remote::openai-compatible",
                "config": {"base_url": "http://127.0.0.1:9/v1", "allowed_models": []},
            }
        ]
    },
    "storage": {
        "backends": {
            "kv_default": {"type": "kv_sqlite", "db_path": sys.argv[1] + "/kv.db"},
            "sql_default": {"type": "sql_sqlite", "db_path": sys.argv[1] + "/sql.db"},
        },
        "stores": {"inference": {"mode": "all"}},
    },
}
loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()


def call(work):
    return asyncio.run_coroutine_threadsafe(work, loop).result(20)


async def start():
    supplies = Supplies(UpstreamPool(), RandomIds(), SystemClock(), cache_dir())
    return await Runtime.start(read_config(json.dumps(config), "test", SERVER, {}), SERVER, supplies)


async def put(many):
    for number in range(many):
        queue.put((SHARED, "m", None, b"{}", json.dumps({"id": f"c-{number}"}).encode()), 100)


def end():
    call(put(5))
    call(runtime.stop())
    print(queue.counts.written, queue.counts.lost, queue.counts.refused)


runtime = call(start())
queue = runtime.service("stored_completions")._queue
if sys.argv[2] == "open":
    call(put(3))
    call(queue.settled(10))
    call(runtime.storage.kv("registry").set(SHARED, "k", b"v"))
atexit.register(end)
"""


@pytest.mark.parametrize(("state", "kept"), [("new", 5), ("open", 8)])
def test_what_is_put_in_when_no_thread_starts_any_more_is_written(
    state: str, kept: int, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), state]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout.split()) == (0, [str(kept), "0", "0"]), ended.stderr
    assert "RuntimeError" not in ended.stderr
    with sqlite3.connect(tmp_path / "sql.db") as db:
        assert db.execute("select count(*) from specstack_chat_completions").fetchone() == (kept,)
