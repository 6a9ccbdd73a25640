"""Several processes over one database: none is locked out, and what was confirmed survives a kill."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from specstack_wire import Scope
from support.sql import MakeSql, tables_of

ANN = Scope("acme", "ann")
FOLDERS = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "fixture" / "generated")]
HEAD = f"""
import asyncio, sys
sys.path[:0] = {FOLDERS!r}
from specstack_wire import Owned, Scope
from support.sql import backend_at, tables_of

backend = backend_at(sys.argv[1])
sql = tables_of(backend)
ANN = Scope("acme", "ann")
"""


def started(code: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HEAD + code, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


FIFTY = """
async def main():
    async def work(number):
        for step in range(10):
            await sql.insert("notes", [Owned(ANN, {"title": f"{number}/{step}"})] * 2)
    await asyncio.gather(*(work(number) for number in range(10)))
    await backend.aclose()
asyncio.run(main())
"""


@pytest.mark.slow
async def test_fifty_writers_in_five_processes_are_never_locked_out(
    make_sql: MakeSql, sql_place: str
) -> None:
    """The database is empty at first: they make its tables at once, too."""
    writers = [started(FIFTY, sql_place) for _ in range(5)]
    for writer in writers:
        _, said = await asyncio.to_thread(writer.communicate)
        assert (writer.returncode, said) == (0, "")
    backend = make_sql()
    assert await tables_of(backend).count(ANN, "notes") == 1000
    await backend.aclose()


WRITER = """
async def main():
    for number in range(10**9):
        rows = [Owned(ANN, {"title": "t", "day": number, "body": "x" * 500}) for _ in range(20)]
        await sql.insert("notes", rows)
        print(number, flush=True)
asyncio.run(main())
"""


@pytest.mark.slow
async def test_what_was_confirmed_survives_kill_9_under_write_load(make_sql: MakeSql, sql_place: str) -> None:
    writer = started(WRITER, sql_place)
    assert writer.stdout is not None
    first = await asyncio.to_thread(writer.stdout.readline)
    await asyncio.sleep(1)
    writer.send_signal(signal.SIGKILL)
    # What `readline` has read ahead is in this object alone: `communicate` would pass it over.
    lines = [first, *(await asyncio.to_thread(writer.stdout.read)).splitlines(keepends=True)]
    writer.communicate()
    confirmed = [int(line) for line in lines if line.endswith("\n")]
    assert len(confirmed) > 5
    backend = make_sql()
    sql = tables_of(backend)
    days = [row["day"] for row in await sql.select(ANN, "notes", order=["note_id"], columns=["day"])]
    # Whole batches, in order, and at most the one that was under way besides those that were confirmed.
    assert days == [number for number in range(len(days) // 20) for _ in range(20)]
    assert len(days) // 20 - len(confirmed) in (0, 1)
    await backend.aclose()
