"""Stored chat completions over HTTP, on SQLite and on PostgreSQL: what is kept, and what is done with it."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Protocol
from urllib.parse import quote

import httpx
import pytest

from specstack.assembly import Application, build
from specstack.auth.keys import hash_of
from specstack.config import read_config
from specstack.services.stored_completions import service
from specstack_api.models.inference import ChatCompletionMessageList, CreateChatCompletionResponse
from specstack_server import SERVER
from specstack_wire import Owned, Scope
from support.loopback_upstream import LoopbackUpstream
from support.services import Service
from support.storage import fresh_file

PATH = "/v1/chat/completions"
KEYS = {"ann": "sk-ann-of-red-1", "bob": "sk-bob-of-red-2", "ann of blue": "sk-ann-of-blue-3"}


@pytest.fixture(scope="module")
def upstream() -> Iterator[LoopbackUpstream]:
    with LoopbackUpstream.running() as found:
        yield found


class Start(Protocol):
    def __call__(self, keyed: bool = False, **store: Any) -> Any: ...


@pytest.fixture
def start(upstream: LoopbackUpstream, sql_place: str) -> Start:
    """Starts servers over one database. Keyword arguments go to `storage.stores.inference`."""
    kind, place = ("sql_postgres", "url") if "://" in sql_place else ("sql_sqlite", "db_path")
    provider = {"provider_id": "up", "provider_type": "remote::openai-compatible"}
    provider["config"] = {"base_url": upstream.base_url, "timeout_seconds": 20}  # type: ignore[assignment]

    @asynccontextmanager
    async def running(keyed: bool = False, **store: Any) -> AsyncGenerator[Application]:
        document: dict[str, Any] = {"version": 2, "distro_name": "t", "providers": {"inference": [provider]}}
        backends = {
            "kv_default": {"type": "kv_sqlite", "db_path": fresh_file()},
            "sql_default": {"type": kind, place: sql_place},
        }
        document["storage"] = {"backends": backends, "stores": {"inference": store}}
        if keyed:
            document["server"] = {"auth": {"provider_config": {"type": "api_keys", "keys": keys()}}}
        app = build(read_config(json.dumps(document), "t.yaml", SERVER, {}))
        await app.start()
        try:
            yield app
        finally:
            await app.stop()

    return running


def keys() -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for name, key in KEYS.items():
        owner, _, tenant = name.partition(" of ")
        found.append({"id": owner, "tenant": tenant or "red", "hash": hash_of(key)})
    return found


class Caller:
    """Calls a server, as one of `KEYS` if told."""

    def __init__(self, app: Any, who: str | None = None) -> None:
        headers = {} if who is None else {"authorization": f"Bearer {KEYS[who]}"}
        transport = httpx.ASGITransport(app)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://t", headers=headers)

    async def create(self, text: str = "hi", status: int = 200, **fields: Any) -> str:
        """The id of a new completion; of a stream, too."""
        body = {"model": "up/echo", "messages": [{"role": "user", "content": text}], **fields}
        reply = await self.http.post(PATH, json=body)
        assert reply.status_code == status, reply.text
        first = reply.text.partition("\n")[0].removeprefix("data: ")
        return str(json.loads(first)["id"]) if status == 200 else ""

    async def ids(self, **query: Any) -> list[str]:
        found = (await self.http.get(PATH, params=query)).raise_for_status().json()
        return [one["id"] for one in found["data"]]

    async def get(self, completion_id: str, status: int = 200) -> Any:
        reply = await self.http.get(f"{PATH}/{completion_id}")
        assert reply.status_code == status, reply.text
        return reply.json()


@pytest.fixture
async def app(start: Start) -> AsyncIterator[Application]:
    async with start() as found:
        yield found


@pytest.fixture
def caller(app: Application) -> Caller:
    return Caller(app)


async def put(app: Application, *rows: tuple[str, int, str], scope: Scope = Scope()) -> None:
    """Rows as an upstream that repeats ids would leave: id, created, text."""
    owned: list[Owned] = []
    for completion_id, created, text in rows:
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        head = {"id": completion_id, "object": "chat.completion", "created": created, "model": "m"}
        reply = json.dumps({**head, "choices": [choice]}).encode()
        request = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
        values = {"completion_id": completion_id, "created": created, "model": "m", "metadata": None}
        owned.append(Owned(scope, {**values, "request": request, "reply": reply}))
    await app.runtime.storage.sql("inference").insert("chat_completions", owned)


def text_of(completion: Any) -> str:
    return str(completion["choices"][0]["message"]["content"])


# -- what is kept --------------------------------------------------------------------------


async def test_what_was_answered_is_found_again_byte_for_byte_with_its_metadata(caller: Caller) -> None:
    body = {"model": "up/echo", "messages": [{"role": "user", "content": "hé 🙂"}], "store": True}
    answer = (await caller.http.post(PATH, json={**body, "metadata": {"topic": "demo"}})).json()
    assert await caller.get(answer["id"]) == {**answer, "metadata": {"topic": "demo"}}


@pytest.mark.parametrize("store", [False, None, ...])
async def test_only_what_asks_for_it_is_kept(caller: Caller, app: Application, store: Any) -> None:
    found = await caller.create(**({} if store is ... else {"store": store}))
    await caller.get(found, 404)
    await caller.create(**({} if store is ... else {"store": store}), stream=True)
    assert await caller.ids() == []
    assert app.runtime.service("stored_completions").counts.written == 0


async def test_a_stream_is_kept_whole(caller: Caller) -> None:
    options: dict[str, Any] = {
        "stream": True,
        "stream_options": {"include_usage": True},
        "logprobs": True,
        "n": 2,
    }
    found = await caller.get(await caller.create("one two", store=True, metadata={"a": "b"}, **options))
    CreateChatCompletionResponse.model_validate(found)
    assert [one["message"]["content"] for one in found["choices"]] == ["You said: one two"] * 2
    assert found["object"] == "chat.completion" and found["model"] == "up/echo"
    assert found["usage"]["completion_tokens"] > 0 and found["metadata"] == {"a": "b"}
    assert len(found["choices"][1]["logprobs"]["content"]) == 4


@pytest.mark.parametrize("fault", ["drop=3", "error_event=3", "no_finish=1,no_done=1"])
async def test_a_stream_that_failed_is_not_kept(caller: Caller, fault: str) -> None:
    await caller.create(f"@@{fault}@@", store=True, stream=True)
    assert await caller.ids() == []


async def test_a_stream_that_its_client_left_is_not_kept(start: Start) -> None:
    from support.serving import serving

    async with start() as app:
        body = {"model": "up/echo", "messages": [{"role": "user", "content": "@@delay=0.05@@ a b c"}]}
        async with httpx.AsyncClient() as http:
            with serving(app.http, lifespan="off") as url:
                # The app runs in another thread's loop there: reading goes on here only after it has ended.
                async with http.stream(
                    "POST", url + PATH, json={**body, "store": True, "stream": True}
                ) as reply:
                    async for line in reply.aiter_lines():
                        assert line.startswith("data: ")
                        break
        assert app.runtime.service("stored_completions").counts.rows == 0
        assert await Caller(app).ids() == []


async def test_refused_and_failed_calls_are_not_kept(caller: Caller) -> None:
    await caller.create(store=True, status=400, temperature=9)
    await caller.create("@@status=500@@", store=True, status=502)
    await caller.create("@@malformed=1@@", store=True, status=502)
    assert await caller.ids() == []


async def test_mode_all_keeps_everything_and_mode_off_nothing_that_comes(start: Start) -> None:
    async with start(mode="all") as app:
        kept = [await Caller(app).create("a"), await Caller(app).create("b", store=False, stream=True)]
        assert await Caller(app).ids() == kept
    async with start(mode="off") as app:
        caller = Caller(app)
        await caller.create("c", store=True)
        assert await caller.ids() == kept, "what was kept before can be read"
        await caller.get(kept[0])


async def test_replies_without_an_id_or_time_get_them(app: Application, caller: Caller) -> None:
    service = app.runtime.service("stored_completions")
    request = b'{"model": "m", "messages": []}'
    head = b'{"choices": [], "object": "chat.completion", "model": "m", '
    for more in (
        b'"created": "x"}',
        b'"id": "float", "created": 7.5}',
        b'"id": "nan", "created": 8, "x": NaN}',
    ):
        service._queue.put((Scope(), "m", {"a": "b"}, request, head + more), 1)
    for broken in (
        b"[]",
        b"{",
        head + b'"id": "%s", "created": 1}' % (b"x" * 513),
        head + rb'"id": "a\u0000b", "created": 1}',
    ):
        service._queue.put((Scope(), "m", None, request, broken), 1)
    first, second, found = await caller.ids()
    assert (first, (await caller.get(first))["created"]) == ("float", 7)
    assert (second, (await caller.get(second))["x"]) == ("nan", None)
    completion = await caller.get(found)
    assert found.startswith("chatcmpl-") and completion["created"] > 1_700_000_000
    assert completion["metadata"] == {"a": "b"}
    assert service.counts.refused == 4


async def test_what_waits_is_written_when_the_server_stops(start: Start) -> None:
    async with start(flush_interval_seconds=60) as app:
        kept = [await Caller(app).create(str(number), store=True) for number in range(5)]
        assert app.runtime.service("stored_completions").counts.rows == 5
    async with start() as app:
        assert await Caller(app).ids() == kept


async def test_a_completion_that_is_larger_than_the_queue_is_answered_and_not_kept(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with start(max_write_queue_bytes=10_000) as app:
        caller = Caller(app)
        small, large = (
            await caller.create("x" * 1000, store=True),
            await caller.create("x" * 20_000, store=True),
        )
        stream = await caller.create("x " * 9_000, store=True, stream=True)
        await caller.get(large, 404)
        assert await caller.ids() == [small] and stream
        assert app.runtime.service("stored_completions").counts.dropped == 2
    assert "1 chat completions were not kept" in caplog.text


async def test_with_wait_calls_wait_for_room_and_are_then_refused(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    from specstack import write_queue

    monkeypatch.setattr(write_queue, "WAIT_FOR_ROOM", 0.05)
    options: dict[str, Any] = {
        "mode": "all",
        "max_write_queue_size": 1,
        "flush_interval_seconds": 60,
        "when_full": "wait",
    }
    async with start(**options) as app:
        caller = Caller(app)
        first = await caller.create()
        reply = await caller.http.post(PATH, json={"model": "up/echo", "messages": []})
        assert reply.status_code == 503 and reply.headers["retry-after"] == "5"
        assert reply.json()["error"]["code"] == "storage_unavailable"
        assert (await caller.http.get("/v1/models")).status_code == 200, "only what is kept waits"
        assert await caller.ids() == [first], "reading makes room"
        await caller.create()


# -- lists ---------------------------------------------------------------------------------


async def test_a_list_goes_by_time_and_pages(app: Application, caller: Caller) -> None:
    await put(app, ("c", 30, ""), ("a", 10, ""), ("b1", 20, ""), ("b2", 20, ""), ("d", 40, ""))
    assert await caller.ids() == ["a", "b1", "b2", "c", "d"]
    assert await caller.ids(order="desc") == ["d", "c", "b2", "b1", "a"]
    page = (await caller.http.get(PATH, params={"limit": 2})).json()
    assert (page["object"], page["first_id"], page["last_id"], page["has_more"]) == ("list", "a", "b1", True)
    page = (await caller.http.get(PATH, params={"limit": 2, "after": "b1"})).json()
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("b2", "c", True)
    page = (await caller.http.get(PATH, params={"limit": 2, "after": "c"})).json()
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("d", "d", False)
    assert await caller.ids(after="b2", order="desc") == ["b1", "a"]
    empty = (await caller.http.get(PATH, params={"after": "d"})).json()
    assert empty == {"object": "list", "data": [], "first_id": "", "last_id": "", "has_more": False}


async def test_a_page_never_has_more_than_a_hundred(app: Application, caller: Caller) -> None:
    await put(app, *((f"c{number:03}", number, "") for number in range(120)))
    assert len(await caller.ids(limit=10**30)) == 100
    assert len(await caller.ids()) == 20
    reply = await caller.http.get(PATH, params={"limit": 0})
    assert reply.status_code == 400 and reply.json()["error"]["param"] == "limit"


async def test_lists_by_model_and_metadata(caller: Caller) -> None:
    first = await caller.create("1", store=True, metadata={"topic": "a", "user": "x"})
    second = await caller.create("2", store=True, metadata={"topic": "a"})
    third = await caller.create("3", store=True, model="up/org/echo:8b")
    assert await caller.ids(model="up/echo") == [first, second]
    assert await caller.ids(model="up/org/echo:8b") == [third]
    assert await caller.ids(model="echo") == [], "the id that was asked for counts"
    assert await caller.ids(**{"metadata[topic]": "a"}) == [first, second]
    assert await caller.ids(**{"metadata[topic]": "a", "metadata[user]": "x"}) == [first]
    assert await caller.ids(**{"metadata[topic]": "b"}) == []
    assert await caller.ids(**{"metadata[topic]": "a", "model": "\0"}) == []
    for wrong in ("metadata[topic\0]", f"metadata[{'k' * 65}]"):
        assert (await caller.http.get(PATH, params={wrong: "a"})).status_code == 400


async def test_who_deletes_what_he_lists_meets_everything(app: Application, caller: Caller) -> None:
    await put(app, *((f"c{number}", number, "") for number in range(7)))
    after: dict[str, Any] = {}
    while True:
        page = (await caller.http.get(PATH, params={"limit": 3, **after})).raise_for_status().json()
        for one in page["data"]:
            (await caller.http.delete(f"{PATH}/{one['id']}")).raise_for_status()
        if not page["has_more"]:
            break
        after = {"after": page["last_id"]}
    assert await caller.ids() == []


@pytest.mark.parametrize("wanted", ["nobody", "a\0b", "x" * 600])
async def test_what_is_not_there_is_404_everywhere(caller: Caller, wanted: str) -> None:
    path = f"{PATH}/{quote(wanted)}"
    replies = [
        await caller.http.get(path),
        await caller.http.delete(path),
        await caller.http.get(f"{path}/messages"),
        await caller.http.post(path, json={"metadata": {}}),
        await caller.http.get(PATH, params={"after": wanted}),
    ]
    for reply in replies:
        assert reply.status_code == 404, reply.text
        assert reply.json()["error"]["code"] == "chat_completion_not_found"
    assert [reply.json()["error"]["param"] for reply in replies] == ["completion_id"] * 4 + ["after"]


# -- ids that come twice -------------------------------------------------------------------


async def test_an_id_stands_for_the_newest_that_bears_it(app: Application, caller: Caller) -> None:
    await put(app, ("x", 10, "old"), ("y", 20, ""), ("x", 30, "new"), ("z", 40, ""))
    assert text_of(await caller.get("x")) == "new"
    messages = (await caller.http.get(f"{PATH}/x/messages")).json()
    assert messages["data"][0]["content"] == "new"
    assert await caller.ids() == ["y", "x", "z"]
    assert await caller.ids(limit=1) == ["y"] and await caller.ids(limit=1, after="y") == ["x"]
    assert await caller.ids(order="desc", after="x") == ["y"]
    await caller.http.post(f"{PATH}/x", json={"metadata": {"a": "b"}})
    assert (await caller.get("x"))["metadata"] == {"a": "b"}
    assert (await caller.http.delete(f"{PATH}/x")).json() == {
        "id": "x",
        "object": "chat.completion.deleted",
        "deleted": True,
    }
    await caller.get("x", 404)
    assert await caller.ids() == ["y", "z"]


async def test_pages_are_full_though_most_ids_come_again(app: Application, caller: Caller) -> None:
    await put(app, *((f"c{number % 30}", number, str(number)) for number in range(900)))
    expected = [f"c{number}" for number in range(30)]
    found: list[str] = []
    while page := await caller.ids(limit=7, **({"after": found[-1]} if found else {})):
        found += page
    assert found == expected


# -- changing and messages -----------------------------------------------------------------


async def test_metadata_is_replaced(caller: Caller) -> None:
    made = await caller.create(store=True, metadata={"a": "1", "b": "2"})
    path = f"{PATH}/{made}"
    changed = (await caller.http.post(path, json={"metadata": {"c": "3"}})).json()
    assert changed == await caller.get(made) and changed["metadata"] == {"c": "3"}
    assert (
        await caller.ids(**{"metadata[c]": "3"}) == [made] and await caller.ids(**{"metadata[a]": "1"}) == []
    )
    assert (await caller.http.post(path, json={"metadata": None})).json()["metadata"] == {}
    for wrong in ({}, *({"metadata": one} for one in WRONG_METADATA)):
        assert (await caller.http.post(path, json=wrong)).status_code == 400, wrong
    assert (await caller.get(made))["metadata"] == {}


WRONG_METADATA: list[Any] = [
    {"a": 1},
    {"a": None},
    {"a": "x" * 513},
    {"k" * 65: "b"},
    {"a\0": "b"},
    {"a": "b\0"},
    dict.fromkeys("abcdefghijklmnopq", ""),
    [],
]


@pytest.mark.parametrize("metadata", WRONG_METADATA)
async def test_metadata_that_cannot_be_kept_whole_is_refused(caller: Caller, metadata: Any) -> None:
    body = {"model": "up/echo", "messages": [{"role": "user", "content": "x"}], "metadata": metadata}
    for more in ({"store": True}, {"store": True, "stream": True}, {}):
        reply = await caller.http.post(PATH, json=body | more)
        error = reply.json()["error"]
        assert reply.status_code == 400 and error["param"].startswith("metadata"), reply.text
    assert await caller.ids() == []


async def test_metadata_at_its_limits_is_kept_whole(caller: Caller) -> None:
    most = {"é" * 62 + f"{number:02}": "😀" * 512 for number in range(15)} | {"a\nb": "\n"}
    made = await caller.create(store=True, metadata=most)
    assert (await caller.get(made))["metadata"] == most


async def test_messages_are_those_of_the_request(caller: Caller) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "name": "ann", "content": [{"type": "text", "text": "See"}, picture]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "done"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "user", "content": "go on"},
    ]
    made = await caller.create(store=True, messages=messages)
    page = (await caller.http.get(f"{PATH}/{made}/messages")).json()
    ChatCompletionMessageList.model_validate(page)
    data = page["data"]
    assert [one["id"] for one in data] == [f"{made}-{number}" for number in range(6)]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (f"{made}-0", f"{made}-5", False)
    assert data[0] == {
        "id": f"{made}-0",
        "role": "system",
        "content": "Be brief.",
        "refusal": None,
        "content_parts": None,
    }
    assert data[1]["content"] is None and data[1]["name"] == "ann"
    assert data[1]["content_parts"] == [{"type": "text", "text": "See"}, picture]
    assert data[2]["tool_calls"] == [call] and data[3]["tool_call_id"] == "c"
    assert data[4]["refusal"] == "No." and data[4]["content_parts"] == []

    async def numbers(**query: Any) -> list[int]:
        found = (await caller.http.get(f"{PATH}/{made}/messages", params=query)).json()
        return [int(one["id"].rpartition("-")[2]) for one in found["data"]]

    assert await numbers(limit=2) == [0, 1]
    assert await numbers(limit=2, after=f"{made}-1") == [2, 3]
    assert await numbers(order="desc", limit=2, after=f"{made}-3") == [2, 1]
    reply = await caller.http.get(f"{PATH}/{made}/messages", params={"after": f"{made}-9"})
    assert reply.status_code == 404 and reply.json()["error"]["param"] == "after"


# -- whose it is ---------------------------------------------------------------------------


async def test_each_caller_sees_his_own_alone(start: Start) -> None:
    async with start(keyed=True) as app:
        callers = {name: Caller(app, name) for name in KEYS}
        made = {name: await one.create(name, store=True) for name, one in callers.items()}
        assert len({*made.values()}) == 3
        for name, one in callers.items():
            assert await one.ids() == [made[name]]
            for other in made.values():
                await one.get(other, 200 if other == made[name] else 404)
        ann, bob = callers["ann"].http, callers["bob"].http
        path = f"{PATH}/{made['ann']}"
        assert (await bob.get(f"{path}/messages")).status_code == 404
        assert (await bob.post(path, json={"metadata": {"a": "b"}})).status_code == 404
        assert (await bob.delete(path)).status_code == 404
        assert (await bob.get(PATH, params={"after": made["ann"]})).status_code == 404
        assert (await ann.get(path)).json()["metadata"] == {}
        assert (await ann.delete(path)).status_code == 200
    async with start() as app:
        assert await Caller(app).ids() == [], "nobody's are nobody else's"


async def test_the_same_id_of_another_owner_is_another_completion(start: Start) -> None:
    async with start(keyed=True) as app:
        await put(app, ("x", 1, "ann's"), scope=Scope("red", "ann"))
        await put(app, ("x", 2, "bob's"), scope=Scope("red", "bob"))
        ann, bob = Caller(app, "ann"), Caller(app, "bob")
        assert (text_of(await ann.get("x")), text_of(await bob.get("x"))) == ("ann's", "bob's")
        await bob.http.delete(f"{PATH}/x")
        assert text_of(await ann.get("x")) == "ann's"


async def test_an_owner_with_a_long_name_has_his_own(start: Start) -> None:
    from specstack.services.stored_completions.recorder import scope_of
    from specstack_wire import Principal, RequestContext

    names = ["é" * 200 + str(number) for number in range(2)]
    scopes = [scope_of(RequestContext("r", principal=Principal(name), tenant="t")) for name in names]
    assert scopes[0] != scopes[1] and {scope.tenant for scope in scopes} == {"t"}
    async with start() as app:
        for scope in scopes:
            await put(app, ("x", 1, ""), scope=scope)


# -- trouble -------------------------------------------------------------------------------


async def test_an_outage_of_the_database_is_none_of_the_models(
    start: Start,
    sql_service: Service | None,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if sql_service is None:
        pytest.skip("a file does not go away")
    async with start(mode="all", max_write_queue_size=6) as app:
        caller, keeping = Caller(app), app.runtime.service("stored_completions")
        made = [await caller.create("before")]
        assert await caller.ids() == made
        sql_service.stop()
        made += [await caller.create(str(number)) for number in range(10)]
        assert keeping.counts.dropped == 4 and keeping.counts.rows == 6, "six wait, the others are let go"
        try:
            while not keeping.counts.failures:
                await asyncio.sleep(0.01)
            # An hour is what a reader waits for a slow database: here he does not wait at all.
            monkeypatch.setattr(service, "SETTLE", 3600)
            assert (await caller.http.get(PATH)).status_code == 503
            await keeping.settled(1)
            assert keeping.counts.failures > 0 and keeping.counts.rows == 6
        finally:
            sql_service.start()
        await keeping.settled(20)
        assert keeping.counts.rows == 0 and keeping.counts.written == 7
        assert await caller.ids() == made[:7]
    text = caplog.text
    assert text.count("attempts to write chat completions failed") == 1
    assert text.count("chat completions are written again") == 1


async def test_reading_while_the_database_is_away_is_503(
    start: Start, sql_service: Service | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sql_service is None:
        pytest.skip("a file does not go away")
    async with start() as app:
        caller = Caller(app)
        made = await caller.create(store=True)
        await caller.get(made)
        sql_service.stop()
        try:
            for reply in (
                await caller.http.get(PATH),
                await caller.http.get(f"{PATH}/{made}"),
                await caller.http.delete(f"{PATH}/{made}"),
            ):
                assert reply.status_code == 503
                assert reply.json()["error"]["code"] == "storage_unavailable"
        finally:
            sql_service.start()
        await caller.get(made)
