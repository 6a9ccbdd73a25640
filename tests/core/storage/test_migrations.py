"""Tables and their versions: the newest is what the spec says, and what is newer still is left alone."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from specstack.assembly import build
from specstack.config import RunConfig, load_reference, read_config
from specstack.descriptors import GeneratedServer
from specstack.startup import StartupError
from specstack.storage.sql.base import SqlBackend
from specstack.storage.sql.schema import VERSIONS, branches, compare
from specstack_server import SERVER
from specstack_wire import Owned, Scope, StorageUnavailable
from support.sql import MakeSql, tables_of

ANN = Scope("acme", "ann")


@pytest.fixture(params=["main", "fixture"])
def server(request: pytest.FixtureRequest) -> GeneratedServer:
    if request.param == "main":
        return SERVER
    from fixture_server import SERVER as FIXTURE

    return FIXTURE


def asked(backend: SqlBackend, work: Callable[[sa.Connection], Any]) -> Any:
    engine = backend.connected()
    with engine.execution_options(writes=True).begin() as db:
        found = work(db)
    engine.dispose()
    return found


def run(sql: str) -> Callable[[sa.Connection], Any]:
    return lambda db: db.execute(sa.text(sql))


def versions(backend: SqlBackend) -> list[str]:
    return sorted(
        asked(backend, lambda db: list(db.execute(sa.text(f"select version_num from {VERSIONS}")).scalars()))
    )


def metadata_of(server: GeneratedServer) -> sa.MetaData:
    found = sa.MetaData()
    for table in server.sql_tables:
        load_reference(table.model).__table__.to_metadata(found)
    return found


def differences(backend: SqlBackend, metadata: sa.MetaData) -> Any:
    def look(db: sa.Connection) -> Any:
        options = {"version_table": VERSIONS, "compare_type": True, "compare_server_default": True}
        found = list(compare_metadata(MigrationContext.configure(db, opts=options), metadata))
        inspector = sa.inspect(db)
        for table in metadata.tables.values():
            keys = [column.name for column in table.primary_key]
            if inspector.has_table(table.name):
                there = inspector.get_pk_constraint(table.name)["constrained_columns"]
                found += [] if set(there) == set(keys) else [("primary key", table.name, there)]
        return found

    return asked(backend, look)


# -- the newest version and the spec ---------------------------------------------------------


async def test_the_newest_version_is_what_the_spec_says(make_sql: MakeSql, server: GeneratedServer) -> None:
    backend = make_sql(server)
    await backend.upgrade()
    assert differences(backend, metadata_of(server)) == []


async def test_a_column_that_no_revision_brings_is_seen(make_sql: MakeSql) -> None:
    """The test above fails when somebody changes the spec and writes no revision."""
    backend = make_sql(SERVER)
    await backend.upgrade()
    changed = metadata_of(SERVER)
    table = next(iter(changed.tables.values()))
    table.append_column(sa.Column("colour", sa.Text()))
    assert [one[0] for one in differences(backend, changed)] == ["add_column"]
    for change in (
        lambda one: sa.Index("new", one.c.tenant, one.c.created),
        lambda one: setattr(one.c.metadata, "nullable", False),
        lambda one: setattr(one.c.completion_id, "type", sa.String(7)),
    ):
        other = metadata_of(SERVER)
        change(next(iter(other.tables.values())))
        assert differences(backend, other) != []
    rekeyed = sa.MetaData()
    columns = (sa.Column(one.name, one.type, primary_key=one.name == "created") for one in table.columns)
    sa.Table(table.name, rekeyed, *columns)
    assert ("primary key", table.name, ["row_id"]) in differences(backend, rekeyed)


async def test_text_is_compared_by_its_bytes_on_postgresql(make_sql: MakeSql, sql_kind: str) -> None:
    if sql_kind == "sqlite":
        pytest.skip("SQLite always does")
    backend = make_sql()
    await backend.upgrade()
    query = """select column_name, collation_name from information_schema.columns
        where table_name like 'specstack%' and data_type in ('text', 'character varying')"""
    found = asked(backend, run(query)).all()
    assert {tuple(row) for row in found if row[0] != "version_num"} == {
        (name, "C") for name in ("tenant", "owner", "title", "body", "code", "shade")
    }


@pytest.mark.parametrize("package", ["specstack.migrations.revisions", "fixture.migrations"])
def test_revisions_are_called_as_their_files(package: str) -> None:
    files = [one.name for one in resources.files(package).iterdir() if one.name.endswith(".py")]
    stems = {name.removesuffix(".py") for name in files} - {"__init__"}
    apis = {stem.rpartition("_")[0] for stem in stems}
    found = branches(dict.fromkeys(apis, package), apis)
    assert {revision for branch in found for revision in branch.revisions} == stems
    assert [list(branch.revisions) for branch in found] == [
        sorted(stem for stem in stems if stem.rpartition("_")[0] == branch.api) for branch in found
    ]


# -- upgrades ----------------------------------------------------------------------------------


async def test_from_nothing_and_again(make_sql: MakeSql) -> None:
    backend = make_sql()
    state = await backend.state()
    assert (state.present, state.missing) == ({}, {"logbook": ("logbook_0001", "logbook_0002")})
    assert await backend.upgrade() == ("logbook_0001", "logbook_0002")
    assert await backend.upgrade() == ()
    assert versions(backend) == ["logbook_0002"]
    assert (await backend.state()).missing == {}


async def test_an_older_database_keeps_its_rows(make_sql: MakeSql) -> None:
    backend = make_sql()
    sql = tables_of(backend)
    await sql.insert("notes", [Owned(ANN, {"title": "kept"})])
    await backend.aclose()
    asked(backend, run("drop table specstack_stamps"))
    asked(backend, run(f"update {VERSIONS} set version_num = 'logbook_0001'"))
    assert (await backend.state()).missing == {"logbook": ("logbook_0002",)}
    await sql.insert("stamps", [Owned(ANN, {"code": "a"})])
    found = await sql.get(ANN, "notes", {})
    assert found is not None and found["title"] == "kept"
    assert versions(backend) == ["logbook_0002"]
    await backend.aclose()


async def test_apis_have_branches_of_their_own(make_sql: MakeSql) -> None:
    one, other = make_sql(SERVER), make_sql()
    await one.upgrade()
    asked(one, run(f"insert into {VERSIONS} values ('elsewhere_0007')"))
    assert await other.upgrade() == ("logbook_0001", "logbook_0002")
    assert versions(one) == ["elsewhere_0007", "inference_0001", "logbook_0002"]
    assert not (await one.state()).missing and not (await one.state()).newer


async def test_tables_of_a_newer_version_are_not_touched(make_sql: MakeSql) -> None:
    first = make_sql()
    await first.upgrade()
    asked(first, run(f"update {VERSIONS} set version_num = 'logbook_0003'"))
    backend = make_sql()
    assert (await backend.state()).newer == {"logbook": "logbook_0003"}
    with pytest.raises(StorageUnavailable) as caught:
        await tables_of(backend).count(ANN, "notes")
    assert (
        "newer than this specstack: logbook is at logbook_0003, the newest here is logbook_0002"
        in caught.value.reason
    )
    with pytest.raises(StorageUnavailable):
        await backend.upgrade()
    assert versions(first) == ["logbook_0003"]


async def test_tables_are_left_alone_when_nobody_may_change_them(make_sql: MakeSql) -> None:
    backend = make_sql(migrate=False)
    with pytest.raises(StorageUnavailable) as caught:
        await tables_of(backend).count(ANN, "notes")
    assert caught.value.reason.endswith(
        "its tables are not up to date: logbook has none, the newest is logbook_0002"
    )
    await make_sql().upgrade()
    assert await tables_of(backend).count(ANN, "notes") == 0
    await backend.aclose()


BROKEN = {
    "tickets_0001.py": "revision = 'tickets_0001'\ndown_revision = None\nbranch_labels = ('tickets',)\n"
    "from alembic import op\nimport sqlalchemy as sa\n"
    "def upgrade():\n    op.create_table('specstack_tickets', sa.Column('a', sa.Integer()))\n",
    "tickets_0002.py": "revision = 'tickets_0002'\ndown_revision = 'tickets_0001'\nfrom alembic import op\n"
    "def upgrade():\n    op.execute('create table specstack_seats (a integer)')\n"
    "    op.execute('no sql at all')\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package for revisions, `box_migrations`."""
    folder = tmp_path / "packages" / f"box_{tmp_path.name.replace('-', '_')}"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(folder.parent))
    yield folder


async def test_an_upgrade_that_fails_leaves_nothing_behind(make_sql: MakeSql, package: Path) -> None:
    for name, text in BROKEN.items():
        (package / name).write_text(text)
    backend = make_sql()
    backend.making = type(backend.making)(
        "sql_default", branches({"tickets": package.name}, ["tickets"]), backend.making.migrate
    )
    with pytest.raises(StorageUnavailable, match="syntax"):
        await backend.upgrade()
    assert asked(backend, lambda db: sa.inspect(db).get_table_names()) == []
    (package / "tickets_0002.py").write_text(
        BROKEN["tickets_0002.py"].replace("    op.execute('no sql at all')\n", "")
    )
    assert await backend.upgrade() == ("tickets_0001", "tickets_0002")


TWICE = BROKEN["tickets_0001.py"].replace("tickets_0001", "tickets_0003")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no first revision has the branch label 'tickets'"),
        (
            {"a.py": BROKEN["tickets_0001.py"].replace("('tickets',)", "None")},
            "no first revision has the branch",
        ),
        ({"a.py": BROKEN["tickets_0001.py"], "b.py": TWICE}, "follow the same revision"),
        ({"a.py": "revision = 'tickets_0004'\ndown_revision = ('x', 'y')"}, "a revision follows one other"),
    ],
)
def test_revisions_that_are_no_branch(package: Path, files: dict[str, str], words: str) -> None:
    for name, text in files.items():
        (package / name).write_text(text)
    with pytest.raises(ValueError, match=words):
        branches({"tickets": package.name}, ["tickets"])


def test_an_api_whose_name_begins_another_ones() -> None:
    known = branches({"logbook": "fixture.migrations"}, ["logbook"])
    assert compare(known, ["logbook_extra_0001"]).present == {}


# -- at start ----------------------------------------------------------------------------------

HEAD = """\
version: 2
distro_name: t
providers:
  inference:
    - {provider_id: up, provider_type: "remote::openai-compatible", config: {base_url: "http://127.0.0.1:9/v1"}}
"""


def config(place: str, **more: str) -> RunConfig:
    backend = (
        f"type: sql_postgres, url: '{place}'" if "://" in place else f"type: sql_sqlite, db_path: '{place}'"
    )
    storage = {"backends": f"{{sql_default: {{{backend}}}}}", **more}
    text = HEAD + "storage:\n" + "".join(f"  {key}: {value}\n" for key, value in storage.items())
    return read_config(text, "run.yaml", SERVER, {})


async def refused(place: str, **more: str) -> str:
    app = build(config(place, **more))
    with pytest.raises(StartupError) as caught:
        await app.start()
    (line,) = caught.value.lines
    return line


async def test_a_server_brings_its_tables_up_to_date_at_start(
    make_sql: MakeSql, sql_place: str, sql_kind: str
) -> None:
    app = build(config(sql_place))
    await app.start()
    # Who stores nothing in a file pays nothing for it.
    assert Path(sql_place).exists() is False
    await app.runtime.storage.sql("inference").count(ANN, "chat_completions")
    await app.stop()
    assert (await make_sql(SERVER).state()).missing == {}
    asked(make_sql(SERVER), run("drop table specstack_chat_completions"))
    asked(make_sql(SERVER), run(f"delete from {VERSIONS}"))
    await app.start()
    await app.stop()
    assert (await make_sql(SERVER).state()).missing == {}


async def test_a_server_does_not_start_on_newer_tables(make_sql: MakeSql, sql_place: str) -> None:
    await make_sql(SERVER).upgrade()
    asked(make_sql(SERVER), run(f"update {VERSIONS} set version_num = 'inference_0999'"))
    assert await refused(sql_place) == (
        "run.yaml: storage.backends.sql_default: its tables are newer than this specstack: inference is at "
        "inference_0999, the newest here is inference_0001; install the newer one, or name another database"
    )


async def test_a_server_that_may_not_migrate_names_the_command(make_sql: MakeSql, sql_place: str) -> None:
    assert await refused(sql_place, migrate="never") == (
        "run.yaml: storage.backends.sql_default: its tables are not up to date: inference has none, "
        "the newest is inference_0001; run: specstack db upgrade run.yaml"
    )
    await make_sql(SERVER).upgrade()
    app = build(config(sql_place, migrate="never"))
    await app.start()
    await app.stop()


async def test_apis_that_are_not_served_have_no_tables(sql_place: str) -> None:
    read = config(sql_place, migrate="never")
    alone = read_config(
        "version: 2\ndistro_name: t\nproviders: {}\nstorage: {migrate: never}", "r", SERVER, {}
    )
    app = build(alone)
    await app.start()
    await app.stop()
    assert read.stack.storage.migrate == "never"


async def test_a_database_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a directory should be")
    line = await refused(f"{tmp_path}/data/x.db", migrate="never")
    assert "its tables are not up to date" in line
    (tmp_path / "no.db").write_bytes(b"no database at all" * 100)
    line = await refused(f"{tmp_path}/no.db")
    where = f"run.yaml: storage.backends.sql_default: the SQLite file {tmp_path}/no.db: "
    assert line == where + "file is not a database"
    line = await refused("postgresql://ann:canary@127.0.0.1:9/d")
    assert line.startswith(
        "run.yaml: storage.backends.sql_default: PostgreSQL does not answer as it should: "
    )
    assert "canary" not in line and "\n" not in line


async def test_a_server_with_tables_of_its_own_keeps_rows_in_them(home: Path) -> None:
    """The fixture: an API that is not ours, generated elsewhere, in a store of the main spec."""
    from fixture_server import SERVER as FIXTURE

    text = (Path(__file__).parents[2] / "fixture" / "config.yaml").read_text()
    app = build(read_config(text, "fixture.yaml", FIXTURE, {"KV_FILE": str(home / "kv.db")}))
    await app.start()
    store = app.runtime.storage.sql("inference")
    await store.insert("notes", [Owned(ANN, {"title": "kept"})])
    await app.stop()
    await app.start()
    assert await app.runtime.storage.sql("inference").count(ANN, "notes", {"title": "kept"}) == 1
    await app.stop()


OPENS = """
import asyncio, sys
sys.path[:0] = [sys.argv[2], sys.argv[2] + "/fixture/generated"]
from support.sql import backend_at
backend = backend_at(sys.argv[1])
print(len(asyncio.run(backend.upgrade())))
"""


@pytest.mark.slow
async def test_of_processes_that_start_at_once_one_makes_the_tables(
    make_sql: MakeSql, sql_place: str
) -> None:
    tests = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", OPENS, sql_place, tests]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(5)
    ]
    said = [await asyncio.to_thread(one.communicate) for one in started]
    assert sorted(out.strip() for out, _ in said) == ["0", "0", "0", "0", "2"], said
    assert versions(make_sql()) == ["logbook_0002"]


STARTS = """
import asyncio, sys
from specstack.assembly import build
from specstack.cli.loading import load_distribution
from specstack_wire import SHARED, Owned

KEPT = {"completion_id": "c", "created": 1, "model": "m", "request": b"{}", "reply": b"{}"}

def loaded():
    return sorted({name.split(".")[0] for name in sys.modules} & {"sqlalchemy", "sqlmodel", "alembic"})

async def main():
    app = build(load_distribution("openai-gateway"))
    await app.start()
    store = app.runtime.storage.sql("inference")
    await store.insert("chat_completions", [Owned(SHARED, KEPT)])
    await app.runtime.storage.sql_backend("sql_default").ping()
    written = loaded()
    print(written, await store.count(SHARED, "chat_completions"), loaded())
    await app.stop()

asyncio.run(main())
"""


def test_a_server_that_reads_no_rows_imports_nothing_for_them() -> None:
    """Neither while there is no database, nor when its tables are up to date: SQLAlchemy takes 27 MB."""

    def said() -> str:
        done = subprocess.run([sys.executable, "-c", STARTS], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert said() == "[] 1 ['sqlalchemy', 'sqlmodel']"
    assert said() == "[] 2 ['sqlalchemy', 'sqlmodel']"
