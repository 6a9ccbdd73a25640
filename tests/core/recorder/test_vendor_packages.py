"""A vendor's package through the recorder's seam: the real `openai`, on both libraries, blocking and not."""

import asyncio
import inspect
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import httpx2
import openai
import pytest

import specstack_api.errors
from specstack.recorder.exchange import read
from specstack.recorder.recorder import Recorder
from specstack.recorder.verify import faults
from specstack_wire import DIRECT, CallOuts
from specstack_wire.transports import httpx as ours
from specstack_wire.transports import httpx2 as ours2
from support.loopback_upstream import LoopbackUpstream

ROOT = Path(__file__).parents[3]
KEY = "canary-of-the-vendor-1"
GONE = "http://127.0.0.1:9/v1"
HELLO: list[Any] = [{"role": "user", "content": "Hello there, you!"}]
KINDS = [(lib, asynchronous) for lib in (httpx, httpx2) for asynchronous in (True, False)]


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind[0].__name__}-{'async' if kind[1] else 'sync'}")
def kind(request: pytest.FixtureRequest) -> tuple[Any, bool]:
    """The library, and whether the client is asynchronous."""
    return request.param


@pytest.fixture(scope="module")
def far() -> Iterator[LoopbackUpstream]:
    with LoopbackUpstream.running(KEY) as upstream:
        yield upstream


class Client:
    """A vendor's client, blocking or not, in one form."""

    def __init__(self, kind: tuple[Any, bool], calls: CallOuts, url: str, **settings: Any) -> None:
        library, self.asynchronous = kind
        seams = ours if library is httpx else ours2
        if self.asynchronous:
            http: Any = library.AsyncClient(transport=seams.RecordedTransport(calls))
        else:
            http = library.Client(transport=seams.RecordedSyncTransport(calls))
        given: dict[str, Any] = {"base_url": url, "api_key": KEY, "max_retries": 0, "http_client": http}
        vendor = openai.AsyncOpenAI if self.asynchronous else openai.OpenAI
        self.vendor: Any = vendor(**{**given, **settings})

    async def ask(self, call: Callable[[Any], Any]) -> Any:
        """What a call answers; of streams the list of what comes."""

        def work() -> Any:
            found = call(self.vendor)
            return list(found) if isinstance(found, openai.Stream) else found

        if not self.asynchronous:
            return await asyncio.to_thread(work)
        found = call(self.vendor)
        found = await found if inspect.isawaitable(found) else found
        return [one async for one in found] if isinstance(found, openai.AsyncStream) else found

    async def close(self) -> None:
        await self.vendor.close() if self.asynchronous else self.vendor.close()


@asynccontextmanager
async def client(
    kind: tuple[Any, bool], mode: Any, folder: Path, url: str, **settings: Any
) -> AsyncIterator[Client]:
    tape = Recorder(mode, folder, specstack_api.errors)
    tape.begin("file.test_a")
    found = Client(kind, tape.calls("vendor"), url, **settings)
    yield found
    await found.close()
    tape.close()


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("vendor/file.test_a/*.json"))


def chat(vendor: Any, **more: Any) -> Any:
    return vendor.chat.completions.create(model="echo", messages=HELLO, **more)


async def test_recorded_and_replayed_with_the_server_gone(
    kind: tuple[Any, bool], tmp_path: Path, far: LoopbackUpstream
) -> None:
    calls: list[Callable[[Any], Any]] = [
        chat,
        lambda vendor: chat(vendor, stream=True),
        lambda vendor: vendor.embeddings.create(model="echo-embed", input=["a", "é"]),
        lambda vendor: vendor.models.retrieve("echo"),
    ]
    async with client(kind, "record", tmp_path, far.base_url) as recording:
        heard = [await recording.ask(call) for call in calls]
    assert len(files(tmp_path)) == 4
    seen = len(far.seen)
    async with client(kind, "replay", tmp_path, GONE, api_key="another-one") as replayed:
        again = [await replayed.ask(call) for call in calls]
    assert again == heard and len(far.seen) == seen
    assert heard[0].choices[0].message.content and len(heard[1]) > 3
    text = "".join(path.read_text() for path in files(tmp_path))
    assert KEY not in text and "127.0.0.1" not in text and "Hello there, you!" in text
    assert [fault for path in files(tmp_path) for fault in faults(path)] == []


async def test_a_miss_is_told_by_the_package_with_what_is_near(
    kind: tuple[Any, bool], tmp_path: Path, far: LoopbackUpstream
) -> None:
    async with client(kind, "record", tmp_path, far.base_url) as recording:
        await recording.ask(chat)
    async with client(kind, "replay", tmp_path, GONE, max_retries=2) as replayed:
        for stream in (False, True):
            with pytest.raises(openai.APIStatusError) as missed:
                await replayed.ask(
                    lambda vendor, stream=stream: vendor.chat.completions.create(
                        model="echo", messages=[{"role": "user", "content": "Hullo"}], stream=stream
                    )
                )
            assert (missed.value.status_code, missed.value.code) == (424, "recording_missing")
            assert "vendor asks POST /v1/chat/completions, and there is no recording of it" in str(
                missed.value
            )
            assert '"Hullo" is asked, "Hello there, you!" is recorded' in missed.value.message
            assert missed.value.request.headers["x-stainless-retry-count"] == "0"
        with pytest.raises(openai.APIStatusError, match="target: GET /v1/models/other is asked"):
            await replayed.ask(lambda vendor: vendor.models.retrieve("other"))


async def test_errors_of_the_server_and_of_the_way(
    kind: tuple[Any, bool], tmp_path: Path, far: LoopbackUpstream
) -> None:
    def fault(said: str, **more: Any) -> Callable[[Any], Any]:
        return lambda vendor: chat(vendor, extra_headers={"x-loopback-fault": said}, user=said, **more)

    calls = {
        openai.RateLimitError: fault("status=429,retry_after=7"),
        openai.APITimeoutError: fault("hang=60", timeout=0.3),
        openai.APIConnectionError: fault("drop=2", stream=True),
    }
    told: list[list[Any]] = []
    for mode, url in (("record", far.base_url), ("replay", GONE)):
        told.append([])
        async with client(kind, mode, tmp_path, url) as one:
            for error, call in calls.items():
                with pytest.raises(error) as failed:
                    await one.ask(call)
                told[-1].append((type(failed.value), str(failed.value)))
                if isinstance(failed.value, openai.RateLimitError):
                    assert failed.value.response.headers["retry-after"] == "7"
            with pytest.raises(openai.AuthenticationError) as refused:
                await one.ask(lambda vendor: chat(vendor.with_options(api_key="canary-of-nobody"), user="x"))
            assert mode == "record" or "[secret]" in refused.value.message
    assert told[0] == told[1] and len(files(tmp_path)) == 4
    assert "canary" not in "".join(path.read_text() for path in files(tmp_path))
    (broken,) = (found for found in map(read, files(tmp_path)) if len(found.answer.pieces or ()) == 3)
    assert (broken.answer.failure or {})["error"] == "UpstreamBroken"


async def test_nobody_listens(kind: tuple[Any, bool], tmp_path: Path) -> None:
    for mode in ("record", "replay"):
        async with client(kind, mode, tmp_path, GONE) as one:
            with pytest.raises(openai.APIConnectionError):
                await one.ask(chat)
    (path,) = files(tmp_path)
    assert (read(path).answer.failure or {})["error"] == "UpstreamUnreachable"


async def test_a_recording_without_a_head_is_an_error(tmp_path: Path, far: LoopbackUpstream) -> None:
    async with client((httpx2, True), "record", tmp_path, far.base_url) as recording:
        await recording.ask(chat)
    (path,) = files(tmp_path)
    path.write_text(re.sub(r'"pieces": \[.*\]', '"pieces": []', path.read_text(), flags=re.S))
    async with client((httpx2, True), "replay", tmp_path, GONE) as replayed:
        with pytest.raises(openai.APIConnectionError) as failed:
            await replayed.ask(chat)
    assert "is empty" in str(failed.value.__cause__)


async def test_pieces_of_a_stream_are_kept_with_their_times(
    kind: tuple[Any, bool], tmp_path: Path, far: LoopbackUpstream
) -> None:
    slow = {"x-loopback-fault": "delay=0.03"}
    async with client(kind, "record", tmp_path, far.base_url) as recording:
        chunks = await recording.ask(lambda vendor: chat(vendor, stream=True, extra_headers=slow))
    (path,) = files(tmp_path)
    found = read(path)
    head, *pieces = found.answer.pieces or ()
    assert head.data["status"] == 200 and head.data["headers"]["content-type"].startswith("text/event-stream")
    assert "".join(piece.data["text"] for piece in pieces).count("data: ") == len(chunks) + 1
    # The server waits before each event, so that the last cannot have come earlier.
    assert pieces[-1].at >= 0.03 * len(chunks)
    assert found.target == "POST /v1/chat/completions" and found.request["body"]["json"]["stream"] is True


async def test_a_stream_that_is_left_is_kept_as_far_as_it_was_read(
    tmp_path: Path, far: LoopbackUpstream
) -> None:
    slow = {"x-loopback-fault": "delay=0.2"}
    async with client((httpx2, True), "record", tmp_path, far.base_url) as recording:
        async with await chat(recording.vendor, stream=True, extra_headers=slow) as stream:
            first = await anext(aiter(stream))
        seen = far.seen[-1]
        assert await asyncio.to_thread(seen.cancelled.wait, 20), "and the connection is closed"
    async with client((httpx2, True), "replay", tmp_path, GONE) as replayed:
        again = await replayed.ask(lambda vendor: chat(vendor, stream=True))
    assert again[0] == first and len(again) < 6


async def test_uploads_are_the_same_each_time(
    kind: tuple[Any, bool], tmp_path: Path, far: LoopbackUpstream
) -> None:
    for mode, url in (("record", far.base_url), ("replay", GONE)):
        async with client(kind, mode, tmp_path, url) as one:
            with pytest.raises(openai.BadRequestError, match="The body is not JSON"):
                await one.ask(lambda vendor: vendor.files.create(file=("a", b"\xff123"), purpose="batch"))
    (path,) = files(tmp_path)
    assert read(path).request["content_type"] == "multipart/form-data; boundary=boundary"


async def test_where_nobody_records_all_goes_straight_through(
    kind: tuple[Any, bool], far: LoopbackUpstream
) -> None:
    one = Client(kind, DIRECT, far.base_url)
    assert (await one.ask(chat)).choices[0].message.content
    assert "gzip" in far.seen[-1].headers["accept-encoding"]
    raw = await one.ask(
        lambda vendor: vendor.chat.completions.with_raw_response.create(model="echo", messages=HELLO)
    )
    assert "date" in raw.headers
    await one.close()


async def test_a_client_that_blocks_must_not_block_the_loop(tmp_path: Path) -> None:
    tape = Recorder("record", tmp_path, specstack_api.errors)
    with httpx.Client(transport=ours.RecordedSyncTransport(tape.calls("vendor"))) as blocking:
        with pytest.raises(RuntimeError, match=r"await asyncio\.to_thread"):
            blocking.get(GONE)
    tape.close()


async def test_the_documented_provider(tmp_path: Path, far: LoopbackUpstream) -> None:
    document = (ROOT / "docs/recordings.md").read_text()
    (example,) = re.findall(r"```python\n# my_provider.py\n(.*?)```", document, re.S)
    names: dict[str, Any] = {"MyProvider": lambda vendor, deps: vendor}
    exec(example, names)
    tape = Recorder("record", tmp_path, specstack_api.errors)
    config = SimpleNamespace(base_url=far.base_url, api_key=KEY)
    vendor = await names["create"](config, SimpleNamespace(calls=tape.calls("vendor")))
    await chat(vendor)
    await vendor.close()
    assert len(tape.library.files()) == 1
    tape.close()


def test_neither_library_is_imported_for_those_who_do_not_use_it() -> None:
    check = "import sys, specstack_wire, specstack.assembly, specstack.recorder.recorder; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert {"httpx", "httpx2", "specstack_wire.transports"} & set(done.stdout.split()) == set()
