"""The recorder by itself: digests, turns, modes, misses, secrets, damaged files."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

import specstack_api.errors
from specstack.recorder.exchange import RecordingDamaged, digest_of, read
from specstack.recorder.library import INDEX
from specstack.recorder.modes import VARIABLES, mode_of
from specstack.recorder.recorder import Recorder, from_environment
from specstack.recorder.scrub import Scrubber
from specstack.recorder.verify import faults
from specstack_api.errors import ContextLengthExceeded
from specstack_wire import (
    RecordingMissing,
    RequestContext,
    UpstreamBroken,
    UpstreamReply,
    UpstreamSettings,
    UpstreamTimeout,
)

CTX = RequestContext("r")


class Engine:
    """Answers with how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def once(self) -> Any:
        self.asked += 1
        return {"count": self.asked}

    async def pieces(self) -> Any:
        for text in ("one", "two"):
            self.asked += 1
            yield {"text": text}

    async def broken(self) -> Any:
        yield {"text": "one"}
        raise ContextLengthExceeded("too long", param="messages")


def recorder(mode: Any, folder: Path, test: str = "file.test_a") -> Recorder:
    found = Recorder(mode, folder, specstack_api.errors)
    found.begin(test)
    return found


async def ask(found: Recorder, engine: Engine, request: Any = None, provider: str = "near") -> Any:
    return await found.calls(provider).call("model", request or {"q": 1}, engine.once)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1.0}, {"a": 1}, True),
        ({"a": None}, {}, True),
        ({"a": [1, None]}, {"a": [1]}, False),
        ({"a": "x"}, {"a": "x "}, False),
        ({"a": True}, {"a": 1}, False),
        ({"a": 0.5}, {"a": 0.25}, False),
    ],
)
def test_what_is_the_same_request(one: Any, other: Any, same: bool) -> None:
    assert (digest_of("engine", "m", one) == digest_of("engine", "m", other)) is same
    assert digest_of("engine", "m", one) != digest_of("engine", "n", one)
    assert digest_of("engine", "m", one) != digest_of("http", "m", one)


async def test_record_then_replay_without_asking(tmp_path: Path) -> None:
    engine = Engine()
    first = recorder("record", tmp_path)
    assert [await ask(first, engine), await ask(first, engine)] == [{"count": 1}, {"count": 2}]
    first.close()
    again = recorder("replay", tmp_path)
    # Each turn has its own answer; from then on the last one is repeated.
    assert [(await ask(again, engine))["count"] for _ in range(3)] == [1, 2, 2]
    assert engine.asked == 2
    again.begin("file.test_b")
    assert (await ask(again, engine))["count"] in (1, 2), "another test may use it too"


async def test_the_index_is_made_again(tmp_path: Path) -> None:
    engine = Engine()
    first = recorder("record", tmp_path)
    await ask(first, engine)
    first.close()
    for damage in (lambda path: path.unlink(), lambda path: path.write_bytes(b"no database" * 99)):
        damage(tmp_path / INDEX)
        again = recorder("replay", tmp_path)
        assert (await ask(again, engine))["count"] == 1
        again.close()
    (path,) = again.library.files()
    path.write_text(path.read_text().replace('"count": 1', '"count": 7'))
    again = recorder("replay", tmp_path)
    assert (await ask(again, engine))["count"] == 7


async def test_a_miss_shows_the_nearest_recording_and_the_difference(tmp_path: Path) -> None:
    engine = Engine()
    first = recorder("record", tmp_path)
    await ask(first, engine, {"messages": [{"role": "user", "content": "hello"}], "heat": 0})
    await ask(first, engine, {"prompt": "another"})
    first.close()
    again = recorder("replay", tmp_path)
    with pytest.raises(RecordingMissing) as missed:
        await ask(again, engine, {"messages": [{"role": "user", "content": "hullo"}], "heat": 0})
    message = missed.value.message
    assert 'messages[0].content: "hullo" is asked, "hello" is recorded' in message
    assert "file.test_a" in message and "record-if-missing" in message and ".json" in message
    with pytest.raises(RecordingMissing, match="nothing is recorded of far"):
        await ask(again, engine, provider="far")
    assert engine.asked == 2


async def test_record_if_missing_asks_once(tmp_path: Path) -> None:
    engine = Engine()
    for _ in range(2):
        found = recorder("record-if-missing", tmp_path)
        assert (await ask(found, engine))["count"] == 1
        found.close()
    assert engine.asked == 1


async def test_recording_again_replaces_what_the_test_had(tmp_path: Path) -> None:
    engine = Engine()
    first = recorder("record", tmp_path)
    await ask(first, engine, {"q": "old"})
    first.begin("file.test_b")
    await ask(first, engine, {"q": "kept"})
    first.close()
    second = recorder("record", tmp_path)
    await ask(second, engine, {"q": "new"})
    second.close()
    asked = {json.loads(path.read_text())["request"]["q"] for path in second.library.files()}
    assert asked == {"new", "kept"}


async def test_streams_with_their_times_and_failures(tmp_path: Path) -> None:
    engine = Engine()
    first = recorder("record", tmp_path)
    calls = first.calls("near")
    assert [one async for one in calls.stream("m", {"q": 1}, engine.pieces)] == [
        {"text": "one"},
        {"text": "two"},
    ]
    with pytest.raises(ContextLengthExceeded):
        [one async for one in calls.stream("m", {"q": 2}, engine.broken)]
    async with contextlib.aclosing(calls.stream("m", {"q": 3}, engine.pieces)) as left:
        async for _ in left:
            break
    first.close()
    replay = recorder("replay", tmp_path).calls("near")
    assert len([one async for one in replay.stream("m", {"q": 1}, engine.pieces)]) == 2
    got = []
    with pytest.raises(ContextLengthExceeded, match="too long") as failed:
        async for one in replay.stream("m", {"q": 2}, engine.broken):
            got.append(one)
    assert (got, failed.value.param) == ([{"text": "one"}], "messages")
    assert len([one async for one in replay.stream("m", {"q": 3}, engine.pieces)]) == 1
    times = [[piece.at for piece in read(path).answer.pieces or ()] for path in first.library.files()]
    assert all(one == sorted(one) and min(one) >= 0 for one in times)


class Far:
    """Another server, and the calls to it."""

    def __init__(self) -> None:
        self.calls = 0

    async def request(self, ctx, method, path, *, body=None, headers=None, timeout=None):  # type: ignore[no-untyped-def]
        self.calls += 1
        if path == "/slow":
            raise UpstreamTimeout("too slow")
        return UpstreamReply(
            200, {"content-type": "application/json", "set-cookie": "c"}, b'{"a":"\xc3\xa9"}'
        )

    async def stream(self, ctx, method, path, *, body=None, headers=None):  # type: ignore[no-untyped-def]
        self.calls += 1
        return FarStream()

    async def aclose(self) -> None:
        pass


class FarStream:
    status = 200
    headers = {"content-type": "text/event-stream"}  # noqa: RUF012

    async def chunks(self):  # type: ignore[no-untyped-def]
        yield b'data: {"text":"\xc3'
        yield b'\xa9"}\n\n'
        raise UpstreamBroken("broken off")

    async def read(self) -> bytes:
        return b""

    async def aclose(self) -> None:
        pass


async def use(found: Recorder, far: Far, ctx: RequestContext = CTX) -> list[Any]:
    settings = UpstreamSettings("http://localhost:1", headers={"authorization": "Bearer hush-hush-1"})
    upstream = found.upstream("far", settings, far)
    body = json.dumps({"q": "say hush-hush-1 and hush-hush-2", "api_key": "hush-hush-3"}).encode()
    reply = await upstream.request(ctx, "POST", "/a?x=1", body=body)
    got: list[Any] = [reply.status, reply.headers["content-type"], reply.body]
    with pytest.raises(UpstreamTimeout, match="too slow"):
        await upstream.request(ctx, "GET", "/slow")
    stream = await upstream.stream(ctx, "POST", "/b", body=b"\xff\x00")
    chunks = []
    with pytest.raises(UpstreamBroken, match="broken off"):
        async for chunk in stream.chunks():
            chunks.append(chunk)
    return [*got, stream.status, b"".join(chunks)]


async def test_another_server_is_recorded_without_secrets(tmp_path: Path) -> None:
    far = Far()
    ctx = RequestContext("r", provider_data={"nested": [{"key": "hush-hush-2"}]})
    first = recorder("record", tmp_path)
    heard = await use(first, far, ctx)
    first.close()
    again = recorder("replay", tmp_path)
    assert await use(again, far, ctx) == heard
    assert far.calls == 3
    text = "".join(path.read_text() for path in first.library.files())
    assert "hush-hush" not in text and "set-cookie" not in text and "localhost" not in text
    assert [fault for path in first.library.files() for fault in faults(path)] == []


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/models?key=k1234&page=2", "/models?key=[secret]&page=2"),
        ("/models?page=2&api_key=k1234", "/models?page=2&api_key=[secret]"),
        ("/models?page_token=p2&x-sig=k1234", "/models?page_token=p2&x-sig=[secret]"),
        ("Basic dXNlcjpwYXNz", "Basic [secret]"),
        ("it is hf_0123456789abcdefgh", "it is [secret]"),
        ("/models?monkey=k1234&keys=2", "/models?monkey=k1234&keys=2"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str, kept: str) -> None:
    assert Scrubber().clean({"path": text}) == {"path": kept}
    assert Scrubber().clean(kept) == kept


@pytest.mark.parametrize(
    "said",
    [
        {"token": "Hello", "logprob": -0.5, "bytes": None},
        {"next_page_token": "p2", "nextPageToken": "p3"},
        {"eos_token": "</s>", "bos_token": "<s>"},
    ],
)
def test_tokens_that_are_no_secrets_stay(said: dict[str, Any]) -> None:
    assert Scrubber().clean([said]) == [said]


@pytest.mark.parametrize("said", [{"token": "t1234"}, {"access_token": "t1234", "logprob": -1}])
def test_tokens_that_are_secrets_go(said: dict[str, Any]) -> None:
    assert "t1234" not in str(Scrubber().clean(said))


async def test_verify_names_what_is_wrong(tmp_path: Path) -> None:
    first = recorder("record", tmp_path)
    await ask(first, Engine(), {"q": 1})
    (path,) = first.library.files()
    good = path.read_text()
    for old, new, fault in (
        ('"q": 1', '"q": 2', "record it again"),
        ('"count": 1', '"count": "sk-0123456789abcdef"', "looks like a secret"),
        ('"format": 1', '"format": 9', "no recording of format 1"),
        ("{", "", "no JSON"),
    ):
        path.write_text(good.replace(old, new, 1))
        assert any(fault in one for one in faults(path)), fault
    with pytest.raises(RecordingDamaged):
        read(path)
    path.write_text(good)
    assert list(faults(path)) == []


def test_modes_and_where_they_come_from(tmp_path: Path) -> None:
    ours, theirs = VARIABLES
    assert (ours, theirs) == ("SPECSTACK_TEST_INFERENCE_MODE", "LLAMA_STACK_TEST_INFERENCE_MODE")
    assert mode_of(None, {}) is None
    assert mode_of(None, {theirs: "record"}) == "record"
    assert mode_of(None, {theirs: "record", ours: "live"}) == "live"
    assert mode_of("replay", {ours: "live"}) == "replay"
    with pytest.raises(ValueError, match=f"{theirs}: 'nonsense' is no mode; there are: live, record,"):
        mode_of(None, {theirs: "nonsense"})
    assert from_environment(specstack_api.errors, {ours: "live"}) is None
    found = from_environment(
        specstack_api.errors, {ours: "replay", "SPECSTACK_TEST_RECORDING_DIR": str(tmp_path)}
    )
    assert found is not None and (found.mode, found.library.folder) == ("replay", tmp_path)


def test_ids_and_time_are_the_same_each_time(tmp_path: Path) -> None:
    found = recorder("replay", tmp_path)
    first = [found.ids.new("a-"), found.ids.new("a-")]
    found.begin("file.test_a")
    assert [found.ids.new("a-"), found.ids.new("a-")] == first
    assert first[0] != first[1] and first[0].startswith("a-") and len(first[0]) == 26
    found.begin("file.test_b")
    assert found.ids.new("a-") not in first
    assert found.clock.now() == found.clock.created()
