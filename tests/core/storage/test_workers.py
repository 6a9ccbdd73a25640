"""Servers with several workers begin at once over one database: tables are made once, no row is lost."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg
import pytest

from core.workers.kit import CHAT, Team, chat, config
from support.loopback_upstream import LoopbackUpstream
from support.services import Service
from support.sql import new_database

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes in /proc")

COUNT = "select count(*) from specstack_chat_completions"


@pytest.fixture(params=["sqlite", "postgres"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path
) -> tuple[dict[str, str], Callable[[], tuple[int, ...] | None]]:
    """An empty database as the run config has it, and what counts its rows."""
    if request.param == "postgres":
        service: Service = request.getfixturevalue("postgres_server")
        url = new_database(service.port)

        def rows() -> tuple[int, ...] | None:
            with psycopg.connect(url) as db:
                return db.execute(COUNT).fetchone()

        return {"type": "sql_postgres", "url": url}, rows
    # A file that is there is brought up to date at the start, one that is not at the first use.
    file = tmp_path / "sql.db"
    file.touch()

    def kept() -> tuple[int, ...] | None:
        with sqlite3.connect(file) as db:
            return db.execute(COUNT).fetchone()

    return {"type": "sql_sqlite", "db_path": str(file)}, kept


@pytest.mark.slow
def test_two_servers_with_two_workers_begin_at_once(
    place: tuple[dict[str, str], Callable[[], tuple[int, ...] | None]], tmp_path: Path
) -> None:
    backend, rows = place
    storage = {
        "backends": {
            "kv_default": {"type": "kv_sqlite", "db_path": str(tmp_path / "kv.db")},
            "sql_default": backend,
        },
        "stores": {"inference": {"mode": "all"}},
    }

    async def load(urls: list[str]) -> None:
        async def ask(number: int) -> None:
            async with httpx.AsyncClient(base_url=urls[number % 2], timeout=60) as client:
                for step in range(10):
                    assert (await client.post(CHAT, json=chat(f"{number}/{step}"))).status_code == 200

        await asyncio.gather(*(ask(number) for number in range(20)))

    with contextlib.ExitStack() as stack, LoopbackUpstream.running() as upstream:
        teams: list[Team] = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            file = config(upstream.base_url, tmp_path / name, storage=storage)
            teams.append(Team(file))
            stack.callback(teams[-1].end)
        asyncio.run(load([one.ready().url for one in teams]))
        for one in teams:
            one.stop()
            assert one.log() == ""
    assert rows() == (200,)
