"""The conformance suite of SqlStore: what every SQL backend does alike."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from specstack.storage.sql.base import SqlBackend
from specstack.storage.sql.store import Tables
from specstack_wire import SHARED, Conflict, Owned, Scope, SqlStore, StorageUnavailable
from support.services import Service
from support.sql import MakeSql, backend_at, tables_of

ANN = Scope("acme", "ann")
BOB = Scope("acme", "bob")
ODD = "ü ~ \U0001f600 ￿ \"'\\%_\n\t{}"


def note(title: str = "t", scope: Scope = ANN, **more: Any) -> Owned:
    return Owned(scope, {"title": title, **more})


async def titles(sql: SqlStore, scope: Scope = ANN, **wanted: Any) -> list[str]:
    wanted.setdefault("order", ["note_id"])
    return [row["title"] for row in await sql.select(scope, "notes", columns=["title"], **wanted)]


async def test_a_row_comes_back_as_it_was_written(sql: SqlStore) -> None:
    assert isinstance(sql, SqlStore)
    whole = {
        "title": ODD,
        "body": ODD * 1000,
        "day": -(2**63),
        "weight": 0.1,
        "pinned": True,
        "metadata": {"a": [1, 2.5, None, True, {"b": ODD}], "": "x", ODD: ""},
        "image": bytes(range(256)),
    }
    await sql.insert("notes", [Owned(ANN, whole)])
    assert await sql.get(ANN, "notes", {}) == {"note_id": 1, **whole}


async def test_no_row_is_in_the_log_at_any_level(sql: SqlStore, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    caplog.set_level("DEBUG", "sqlalchemy")
    await sql.insert("notes", [note("canary-title", body="canary-body"), note("canary-other")])
    assert await titles(sql) == ["canary-title", "canary-other"]
    assert await sql.update(ANN, "notes", {}, {"body": "canary-new"}) == 2
    assert "INSERT INTO" in caplog.text
    assert "canary" not in caplog.text


async def test_what_a_row_leaves_out_is_its_default_or_null(sql: SqlStore) -> None:
    await sql.insert("notes", [note("t"), note("u", day=2**63 - 1, body="b")])
    first, second = await sql.select(ANN, "notes", order=["note_id"])
    empty = {"weight": None, "pinned": False, "metadata": None, "image": None}
    assert first == {"note_id": 1, "title": "t", "body": "", "day": 0, **empty}
    assert second == {"note_id": 2, "title": "u", "body": "b", "day": 2**63 - 1, **empty}


@pytest.mark.parametrize("value", [[], {}, [1], "text", 0, 1.5, True, False, "", {"a": {"b": [None]}}])
async def test_json_is_whatever_json_has(sql: SqlStore, value: Any) -> None:
    await sql.insert("notes", [note(metadata=value)])
    found = await sql.get(ANN, "notes", {})
    assert found is not None
    assert (found["metadata"], type(found["metadata"])) == (value, type(value))
    assert await sql.update(ANN, "notes", {}, {"metadata": [value]}) == 1
    changed = await sql.get(ANN, "notes", {})
    assert changed is not None and changed["metadata"] == [value]
    assert await sql.update(ANN, "notes", {}, {"metadata": None}) == 1
    assert await sql.count(ANN, "notes", {"metadata": None}) == 1


async def test_scopes_are_apart_whatever_is_asked(sql: SqlStore) -> None:
    scopes = [
        SHARED,
        Scope("acme", ""),
        Scope("", "acme"),
        ANN,
        BOB,
        Scope("acme%", "ann"),
        Scope("Acme", "ann"),
    ]
    await sql.insert("notes", [note(str(index), scope) for index, scope in enumerate(scopes)])
    for index, scope in enumerate(scopes):
        assert await titles(sql, scope) == [str(index)]
        assert await sql.get(scope, "notes", {"title": str((index + 1) % len(scopes))}) is None
        assert await sql.count(scope, "notes") == 1
        assert await sql.update(scope, "notes", {}, {"day": index}) == 1
    days = [row["day"] for scope in scopes for row in await sql.select(scope, "notes")]
    assert days == list(range(len(scopes)))
    assert await sql.delete(ANN, "notes", {}) == 1
    assert [await sql.count(scope, "notes") for scope in scopes] == [1, 1, 1, 0, 1, 1, 1]


async def test_conditions(sql: SqlStore) -> None:
    await sql.insert("notes", [note(str(day), day=day, weight=day / 2) for day in range(5)])
    await sql.insert("notes", [note("light", image=b"\0\xff")])
    assert await titles(sql, where={"day": 3}) == ["3"]
    assert await titles(sql, where={"day": [1, 3, 9], "weight": 1.5}) == ["3"]
    assert await titles(sql, where={"weight": None}) == ["light"]
    assert await titles(sql, where={"weight": [0.5, None]}) == ["1", "light"]
    assert await titles(sql, where={"image": b"\0\xff"}) == ["light"]
    assert await titles(sql, where={"pinned": True}) == []
    assert await titles(sql, where={"pinned": False, "day": []}) == []
    assert await titles(sql, where={"title": ["1' or '1'='1", "%"]}) == []
    assert await titles(sql, where={"day": list(range(1000))}) == ["0", "1", "2", "3", "4", "light"]


async def test_members_of_json(sql: SqlStore) -> None:
    kinds: list[Any] = ["1", 1, 1.5, True, False, None, [1], {"x": 1}]
    await sql.insert("notes", [note(str(index), metadata={"k": value}) for index, value in enumerate(kinds)])
    await sql.insert("notes", [note("none"), note("list", metadata=["k"]), note("text", metadata="k")])
    expected = {0: ["0"], 1: ["1"], 2: ["2"], 3: ["3"], 4: ["4"], 5: ["5"]}
    for index, wanted in expected.items():
        assert await titles(sql, where={"metadata": {"k": kinds[index]}}) == wanted
    assert await titles(sql, where={"metadata": {"k": 1.0}}) == ["1"]
    assert await titles(sql, where={"metadata": {"other": None}}) == []
    assert await sql.count(ANN, "notes", {"metadata": {}}) == len(kinds)


@pytest.mark.parametrize(
    "key", ["a.b", "a b", '"', "\\", "$", "[0]", "0", "", "'", "ü", "\n", "\U0001f600", 'a"b\\c']
)
async def test_members_by_any_key_and_text(sql: SqlStore, key: str) -> None:
    await sql.insert(
        "notes", [note("it", metadata={key: key, "z": "1"}), note("no", metadata={key + "x": key})]
    )
    assert await titles(sql, where={"metadata": {key: key}}) == ["it"]
    assert await titles(sql, where={"metadata": {key: key, "z": "1"}}) == ["it"]
    assert await titles(sql, where={"metadata": {key: key, "z": "2"}}) == []


async def test_pages_in_both_directions_meet_every_row_once(sql: SqlStore) -> None:
    await sql.insert("notes", [note(str(index), day=index // 3) for index in range(20)])
    for order in (
        ["day", "note_id"],
        ["-day", "-note_id"],
        ["-day", "note_id"],
        ["day", "-note_id"],
        ["-note_id"],
    ):
        seen: list[dict[str, Any]] = []
        while page := await sql.select(
            ANN,
            "notes",
            order=order,
            limit=3,
            after={name.lstrip("-"): seen[-1][name.lstrip("-")] for name in order} if seen else None,
        ):
            assert len(page) <= 3
            seen += page
        whole = await sql.select(ANN, "notes", order=order)
        assert seen == whole and len(whole) == 20
    newest = await sql.select(ANN, "notes", order=["-day", "note_id"], limit=3, columns=["day", "note_id"])
    assert newest == [{"day": 6, "note_id": 19}, {"day": 6, "note_id": 20}, {"day": 5, "note_id": 16}]


async def test_text_is_in_the_order_of_its_code_points(sql: SqlStore) -> None:
    given = ["b", "a", "B", "ä", "z", "a b", "a-b", "ab", "\U0001f600", "￿", "", "_"]
    await sql.insert("notes", [note(title) for title in given])
    assert await titles(sql, order=["title"]) == sorted(given)
    assert await titles(sql, order=["-title"], after={"title": "a b"}) == ["a", "_", "B", ""]


async def test_first_row_that_fits(sql: SqlStore) -> None:
    await sql.insert("notes", [note("old", day=1), note("new", day=2), note("mine", BOB, day=3)])
    found = await sql.get(ANN, "notes", {}, order=["-day"])
    assert found is not None and found["title"] == "new"
    assert await sql.get(ANN, "notes", {"day": 9}) is None


async def test_changes_and_removals_say_how_many_rows(sql: SqlStore) -> None:
    await sql.insert("notes", [note(str(day), day=day) for day in range(4)])
    assert (
        await sql.update(ANN, "notes", {"day": [1, 2]}, {"title": "x", "metadata": {"a": 1}, "image": b"i"})
        == 2
    )
    assert await sql.update(ANN, "notes", {"day": 9}, {"title": "y"}) == 0
    assert await titles(sql, where={"metadata": {"a": 1}, "image": b"i"}) == ["x", "x"]
    assert await sql.delete(ANN, "notes", {"title": "x"}) == 2
    assert await sql.delete(ANN, "notes", {"title": "x"}) == 0
    assert await titles(sql) == ["0", "3"]


async def test_a_key_that_is_taken_is_a_conflict_and_nothing_is_written(sql: SqlStore) -> None:
    await sql.insert("stamps", [Owned(ANN, {"code": "a", "serial": 1})])
    for again in ({"code": "a"}, {"code": "c", "serial": 1}):
        with pytest.raises(Conflict):
            await sql.insert("stamps", [Owned(ANN, {"code": "b"}), Owned(ANN, again)])
    await sql.insert("stamps", [Owned(BOB, {"code": "a", "serial": 1}), Owned(ANN, {"code": "n"})])
    await sql.insert("stamps", [Owned(ANN, {"code": "m"})])
    with pytest.raises(Conflict):
        await sql.update(ANN, "stamps", {"code": "m"}, {"serial": 1})
    assert [row["code"] for row in await sql.select(ANN, "stamps", order=["code"])] == ["a", "m", "n"]
    assert await sql.get(BOB, "stamps", {}) == {"code": "a", "serial": 1, "shade": "red"}


async def test_no_rows_are_no_work(sql: SqlStore) -> None:
    await sql.insert("notes", [])
    with pytest.raises(ValueError, match="no table 'nots'"):
        await sql.insert("nots", [])


async def test_large_values(sql: SqlStore) -> None:
    image, body = bytes(range(256)) * 65536, "ü" * 2_000_000
    await sql.insert("notes", [note(image=image, body=body, metadata={"text": body})])
    found = await sql.get(ANN, "notes", {})
    assert found is not None
    assert (found["image"], found["body"], found["metadata"]) == (image, body, {"text": body})


async def test_many_rows_in_one_call(sql: SqlStore) -> None:
    await sql.insert("notes", [note(str(index)) for index in range(5000)])
    assert await sql.count(ANN, "notes") == 5000
    assert await titles(sql) == [str(index) for index in range(5000)]


async def test_fifty_writers_at_once_lose_nothing(make_sql: MakeSql, sql: SqlStore) -> None:
    other = make_sql()
    stores = [sql, tables_of(other)]

    async def work(number: int) -> None:
        store = stores[number % 2]
        for step in range(4):
            await store.insert("notes", [note(f"{number}/{step}", day=number) for _ in range(3)])
            assert await store.update(ANN, "notes", {"title": f"{number}/{step}"}, {"pinned": True}) == 3

    await asyncio.gather(*(work(number) for number in range(50)))
    assert await sql.count(ANN, "notes", {"pinned": True}) == 600
    await other.aclose()
    await other.aclose()


async def test_it_is_there_after_a_restart(make_sql: MakeSql, sql: Tables) -> None:
    await sql.insert("notes", [note("kept")])
    await sql.backend.aclose()
    again = make_sql()
    assert await titles(tables_of(again)) == ["kept"]
    await again.aclose()
    assert await titles(sql) == ["kept"]


async def test_calls_work_again_when_the_server_is_back(
    sql: SqlStore, sql_service: Service | None, caplog: pytest.LogCaptureFixture
) -> None:
    if sql_service is None:
        pytest.skip("SQLite has no server")
    await asyncio.gather(*(sql.insert("notes", [note()]) for _ in range(8)))
    await asyncio.to_thread(sql_service.stop)
    try:
        with pytest.raises(StorageUnavailable) as caught:
            await sql.insert("notes", [note()])
        with pytest.raises(StorageUnavailable):
            await sql.count(ANN, "notes")
    finally:
        await asyncio.to_thread(sql_service.start)
    said = "The server's storage does not answer; try again in a moment."
    assert caught.value.message == said
    assert len([one for one in caplog.records if one.name == "specstack.storage"]) == 1
    await sql.insert("notes", [note()])
    await asyncio.gather(*(sql.insert("notes", [note()]) for _ in range(8)))
    assert await sql.count(ANN, "notes") == 17


BAD_VALUES: dict[str, list[Any]] = {
    "title": [None, 1, b"t", "x" * 41, "a\0b", "\ud800"],
    "body": [None, ["x"], "\0"],
    "day": [None, "1", 1.0, True, 2**63, -(2**63) - 1],
    "weight": ["1", True, float("nan"), float("inf")],
    "pinned": [None, 1, "true"],
    "metadata": [
        float("nan"),
        {"a": float("inf")},
        "a\0",
        {"a\0": 1},
        [{"b": "\0"}],
        "\ud800",
        object(),
        b"x",
    ],
    "image": ["text", 1, bytearray(b"x")],
}


@pytest.mark.parametrize(
    ("column", "value"), [(name, one) for name, all_ in BAD_VALUES.items() for one in all_]
)
async def test_values_that_no_backend_takes(sql: SqlStore, column: str, value: Any) -> None:
    given = {"title": "t", column: value}
    with pytest.raises(ValueError, match=f"{column}: "):
        await sql.insert("notes", [note(), Owned(ANN, given)])
    with pytest.raises(ValueError, match=f"{column}: "):
        await sql.update(ANN, "notes", {}, {column: value})
    if value is not None and column != "metadata":
        with pytest.raises(ValueError, match=f"{column}: "):
            await sql.select(ANN, "notes", where={column: value if not isinstance(value, list) else [value]})
    assert await sql.count(ANN, "notes") == 0


async def test_a_backslash_before_what_looks_like_an_escape_is_no_nul(sql: SqlStore) -> None:
    await sql.insert("notes", [note(metadata={"a": "\\u0000"})])
    assert await sql.count(ANN, "notes", {"metadata": {"a": "\\u0000"}}) == 1


async def test_names_and_arguments_that_the_spec_does_not_have(sql: SqlStore) -> None:
    async def refused(words: str, call: Any) -> None:
        with pytest.raises(ValueError, match=words):
            await call

    await sql.insert("notes", [note()])
    await refused("no table 'chat'", sql.count(ANN, "chat"))
    for name in ("colour", "tenant", "owner", "title; drop table", "metadata_"):
        await refused("no column", sql.get(ANN, "notes", {name: "x"}))
        await refused("no column", sql.select(ANN, "notes", order=[name]))
        await refused("no column", sql.select(ANN, "notes", columns=[name]))
        await refused("no column", sql.update(ANN, "notes", {}, {name: "x"}))
        await refused("no column", sql.insert("notes", [note(**{name: "x"})]))
    await refused("counts it up", sql.insert("notes", [note(note_id=7)]))
    await refused("counts it up", sql.update(ANN, "notes", {}, {"note_id": 7}))
    await refused("title: may not be null", sql.insert("notes", [Owned(ANN, {})]))
    for name in ("weight", "metadata", "image", "pinned"):
        await refused("are not ordered by", sql.select(ANN, "notes", order=[name]))
    await refused("a limit is at least 1", sql.select(ANN, "notes", limit=0))
    await refused("`after` holds", sql.select(ANN, "notes", after={"day": 1}))
    await refused("`after` holds", sql.select(ANN, "notes", order=["day", "note_id"], after={"day": 1}))
    await refused("day: must be an integer", sql.select(ANN, "notes", order=["day"], after={"day": "x"}))
    await refused("no column to change", sql.update(ANN, "notes", {}, {}))
    await refused("no column to give", sql.select(ANN, "notes", columns=[]))
    await refused("at most 1000 values", sql.count(ANN, "notes", {"day": list(range(1001))}))
    await refused("members can be asked for", sql.count(ANN, "notes", {"metadata": "x"}))
    await refused("a member has", sql.count(ANN, "notes", {"metadata": {"a": [1]}}))
    await refused("tenant: ", sql.count(Scope("x" * 256, ""), "notes"))
    await refused("must have no NUL", sql.insert("notes", [note(scope=Scope("", "\0"))]))
    assert await titles(sql) == ["t"]


async def test_after_closing_it_opens_again(sql_backend: SqlBackend) -> None:
    await sql_backend.aclose()
    sql = tables_of(sql_backend)
    await sql.insert("notes", [note()])
    await sql_backend.aclose()
    assert await sql.count(ANN, "notes") == 1


async def test_what_clients_are_told_names_no_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "secret.db").write_bytes(b"no database at all" * 100)
    backend = backend_at(str(tmp_path / "secret.db"))
    with pytest.raises(StorageUnavailable) as caught:
        await tables_of(backend).insert("notes", [note()])
    assert "secret" not in caught.value.message and caught.value.status == 503
    assert f"the SQLite file {tmp_path}/secret.db: file is not a database" in caplog.text


async def test_no_log_and_no_error_holds_a_password(caplog: pytest.LogCaptureFixture) -> None:
    urls = (
        "postgresql://ann:can%40ary@127.0.0.1:9/d",
        "postgresql://ann:can@ary@127.0.0.1:can@ary/d",
        "postgresql://ann:canary@[::1:canary/d",
    )
    for url in urls:
        backend = backend_at(url)
        with pytest.raises(StorageUnavailable) as caught:
            await tables_of(backend).count(ANN, "notes")
        said = caught.value.message + caught.value.reason + caplog.text
        assert "canary" not in said and "can@ary" not in said and "can%40ary" not in said, url


async def test_a_database_that_does_not_answer_is_waited_for_once(
    sql_backend: SqlBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = tables_of(sql_backend)
    await sql.insert("notes", [note()])
    monkeypatch.setattr("specstack.storage.sql.base.PATIENCE", 1.5)
    release, asked = threading.Event(), 0

    def stuck() -> Any:
        nonlocal asked
        asked += 1
        release.wait(20)
        raise ValueError("nobody waits for this any more")

    try:
        with pytest.raises(StorageUnavailable) as caught:
            await sql_backend.read(stuck)
    finally:
        release.set()
    assert asked == 1 and "no answer within 1.5 s" in caught.value.reason
    assert await sql.count(ANN, "notes") == 1
