"""New rows without SQLAlchemy: the same tables, columns and values that SQLAlchemy has of the spec."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from specstack.config import load_reference
from specstack.descriptors import GeneratedServer, SqlColumn, SqlTable
from specstack.storage.sql import apart
from specstack.storage.sql.insertion import TOGETHER, Insertion
from specstack.storage.sql.sqlite import CACHE, SqliteSql
from specstack_server import SERVER
from specstack_wire import Conflict, Owned, OwnedColumns, Scope, StorageUnavailable
from support.sql import making, tables_of

ANN = Scope("acme", "ann")
_ROLLBACK = 1
"""SQLite's number for undoing the transaction, in what EXPLAIN tells of a check."""
KINDS = ("string", "text", "integer", "number", "boolean", "json", "bytes")
ODD = SqlTable(
    name="odd",
    table="specstack_odd",
    api="a",
    store="s",
    model="none:None",
    columns=(
        SqlColumn(name="order", kind="integer"),
        *(SqlColumn(name=f"a_{one}", kind=one) for one in KINDS),
    ),
)


@pytest.fixture(params=["main", "fixture"])
def server(request: pytest.FixtureRequest) -> GeneratedServer:
    if request.param == "main":
        return SERVER
    from fixture_server import SERVER as FIXTURE

    return FIXTURE


def test_the_columns_are_those_of_the_tables(server: GeneratedServer) -> None:
    for spec in server.sql_tables:
        table: Any = load_reference(spec.model).__table__
        assert spec.table == table.name
        columns = [one for one in table.c if one.name not in ("tenant", "owner")]
        assert [(one.name, one.info) for one in spec.columns] == [(one.name, one.info) for one in columns]
        assert [one.nullable for one in spec.columns] == [one.nullable for one in columns]


def test_statements_quote_names_and_say_types_where_postgresql_has_to_know() -> None:
    values = [1, "a", "b", 2, 0.5, True, {"c": "d"}, b"e"]
    row = Owned(ANN, dict(zip([one.name for one in ODD.columns], values, strict=True)))
    names = '"tenant", "owner", "order", ' + ", ".join(f'"a_{one}"' for one in KINDS)
    places = (
        "%s::VARCHAR, %s::VARCHAR, %s::BIGINT, %s::VARCHAR, %s::VARCHAR, %s::BIGINT, %s, %s, %s::JSONB, %s"
    )
    expected = ["acme", "ann", 1, "a", "b", 2, 0.5, True, '{"c":"d"}', b"e"]
    for dialect, verb, place in (
        ("sqlite", "INSERT OR ROLLBACK", ", ".join(["?"] * 10)),
        ("postgresql", "INSERT", places),
    ):
        ((text, given),) = Insertion(ODD, dialect).statements([row])
        assert text == f"{verb} INTO specstack_odd ({names}) VALUES ({place})"
        assert list(given) == expected


@pytest.mark.parametrize("many", [0, 1, 7, 8, 63, 64, 65, 137, 500])
def test_every_row_is_in_one_statement(many: int) -> None:
    table = SqlTable(name="t", table="t", api="a", store="s", model="", columns=(ODD.columns[0],))
    found = list(Insertion(table, "sqlite").statements([Owned(ANN, {"order": n}) for n in range(many)]))
    assert [n for _, values in found for n in values[2::3]] == list(range(many))
    assert {len(values) // 3 for _, values in found} <= set(TOGETHER)


@pytest.mark.parametrize("usual", [True, False])
@pytest.mark.parametrize("one_owner", [True, False])
def test_rows_in_columns_are_as_single_ones(usual: bool, one_owner: bool) -> None:
    scopes = [ANN if one_owner or n % 2 else Scope("acme", "bob") for n in range(70)]
    columns = {
        "order": list(range(70)),
        **{f"a_{one}": [value] * 70 for one, value in zip(KINDS, ["a", "b", 2, 0.5, True], strict=False)},
        "a_json": [{"c": "d"} if usual or n else {"c": [1]} for n in range(70)],
        "a_bytes": [b"e"] * 70,
    }
    together = OwnedColumns(scopes, columns)
    assert list(Insertion(ODD, "sqlite").statements(together)) == list(
        Insertion(ODD, "sqlite").statements(list(together))
    )


def test_rows_in_columns_are_a_sequence_of_rows() -> None:
    together = OwnedColumns([ANN, ANN, Scope()], {"a": [1, 2, 3], "b": ("x", "y", "z")})
    assert list(together[1:]) == [Owned(ANN, {"a": 2, "b": "y"}), Owned(Scope(), {"a": 3, "b": "z"})]
    assert (len(together), together[-1].values["a"], bool(together[3:])) == (3, 3, False)


@pytest.mark.parametrize("columns", [{"order": [1]}, {key: [1] for key in "abcdefgh"}])
def test_rows_in_columns_that_the_table_does_not_have_are_refused(columns: dict[str, list[int]]) -> None:
    with pytest.raises(ValueError):
        Insertion(ODD, "sqlite").statements(OwnedColumns([ANN], columns))


def test_sqlite_writes_down_no_statement_to_undo_it(tmp_path: Path) -> None:
    """The journal of a statement would hold all pages once more: it has one if it may be undone alone."""
    table = SqlTable(name="t", table="t", api="a", store="s", model="", columns=(ODD.columns[0],))
    ((text, given),) = Insertion(table, "sqlite").statements([Owned(ANN, {"order": n}) for n in range(8)])
    with closing(sqlite3.connect(tmp_path / "x.db")) as db:
        db.execute('create table t(tenant not null, owner not null, "order" not null)')
        checks = [row[3] for row in db.execute(f"explain {text}", given) if row[1] == "HaltIfNull"]
    assert checks and set(checks) == {_ROLLBACK}


# -- the connection that inserts ---------------------------------------------------------------


def stamp(code: str) -> Owned:
    return Owned(ANN, {"code": code, "serial": ord(code)})


async def test_a_refused_insertion_leaves_nothing_and_the_next_goes_on(tmp_path: Path) -> None:
    backend = SqliteSql(tmp_path / "sql.db", making())
    sql = tables_of(backend)
    await sql.insert("stamps", [stamp("a")])
    with pytest.raises(Conflict):
        await sql.insert("stamps", [stamp("b"), stamp("a")])
    await sql.insert("stamps", [stamp("c")])
    assert [row["code"] for row in await sql.select(ANN, "stamps", order=("code",))] == ["a", "c"]
    await backend.aclose()


async def test_connections_have_small_caches_and_are_closed(tmp_path: Path) -> None:
    backend = SqliteSql(tmp_path / "sql.db", making())
    await tables_of(backend).insert("stamps", [stamp("a")])
    assert (tmp_path / "sql.db-wal").exists()
    with backend.connected().connect() as db:
        assert db.exec_driver_sql("pragma cache_size").scalar() == -CACHE
    await backend.aclose()
    await backend.aclose()
    assert not backend.in_use
    with pytest.raises(StorageUnavailable, match="closed"):
        backend.execute([])


# -- bringing tables up to date in another process ---------------------------------------------


@pytest.fixture
def as_in_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "alembic", raising=False)


@pytest.mark.usefixtures("as_in_a_server")
def test_another_process_makes_the_tables(tmp_path: Path) -> None:
    backend = SqliteSql(tmp_path / "sql.db", making(SERVER))
    assert apart.upgraded_apart(backend)
    assert list(backend.applied()) == ["inference_0001"]


@pytest.mark.usefixtures("as_in_a_server")
@pytest.mark.parametrize("why", ["cannot start", "fails"])
async def test_what_another_process_cannot_do_is_done_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    def run(command: list[str], **options: Any) -> Any:
        if why == "cannot start":
            raise OSError("no more processes")
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(subprocess, "run", run)
    backend = SqliteSql(tmp_path / "sql.db", making())
    await tables_of(backend).insert("stamps", [stamp("a")])
    assert list(backend.applied()) == ["logbook_0002"]
    await backend.aclose()


@pytest.mark.usefixtures("as_in_a_server")
def test_the_place_of_the_database_is_no_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def run(command: list[str], **options: Any) -> Any:
        seen.append((command, options.pop("input"), options))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    assert apart.upgraded_apart(SqliteSql(tmp_path / "canary.db", making()))
    ((command, told, options),) = seen
    assert b"canary" in told and "canary" not in repr((command, options))
