"""`specstack db`: the versions of tables, and bringing them up to date."""

import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from specstack.cli.main import app

CONFIG = """
version: 2
distro_name: t
providers: {}
storage:
  backends:
    sql_default: {type: sql_sqlite, db_path: "FILE"}
  migrate: never
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "tables.db"


@pytest.fixture
def config(tmp_path: Path, database: Path) -> str:
    file = tmp_path / "run.yaml"
    file.write_text(CONFIG.replace("FILE", str(database)))
    return str(file)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["db", *arguments])


def test_tables_are_made_once_and_their_version_is_shown(config: str, database: Path) -> None:
    shown = run("status", config)
    assert (shown.exit_code, database.exists()) == (1, False)
    assert shown.output.splitlines()[1].split() == ["sql_default", "inference", "none", "inference_0001"]
    assert run("upgrade", config).output == "sql_default: applied inference_0001\n"
    assert run("upgrade", config).output == "sql_default: is up to date\n"
    shown = run("status", config)
    assert shown.exit_code == 0
    assert [line.split() for line in shown.output.splitlines()] == [
        ["BACKEND", "API", "VERSION", "NEWEST"],
        ["sql_default", "inference", "inference_0001", "inference_0001"],
    ]


def test_tables_that_are_newer_are_shown_and_left_alone(config: str, database: Path) -> None:
    run("upgrade", config)
    with sqlite3.connect(database) as db:
        db.execute("update specstack_schema set version_num = 'inference_0999'")
    shown = run("status", config)
    assert shown.exit_code == 1 and "inference_0999" in shown.output
    refused = run("upgrade", config)
    where = f"error: {config}: storage.backends.sql_default: "
    assert (refused.exit_code, refused.output) == (
        1,
        f"{where}its tables are newer than this specstack: inference is at inference_0999, the newest here "
        "is inference_0001; install the newer one, or name another database\n",
    )


@pytest.mark.parametrize("command", ["status", "upgrade"])
def test_what_goes_wrong_is_one_line(config: str, database: Path, command: str) -> None:
    database.write_bytes(b"no database at all" * 100)
    failed = run(command, config)
    assert failed.exit_code == 1
    where = f"error: {config}: storage.backends.sql_default: the SQLite file {database}: "
    assert failed.output == where + "file is not a database\n"
    assert run(command, "nowhere.yaml").output == "error: nowhere.yaml: there is no such file\n"
