"""The server in the program that uses it: the ordinary client over our own in-process transports."""

import asyncio
import gc
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import specstack
from specstack.inprocess import AsyncTransport, Transport
from specstack.startup import ConfigError, StartupError
from specstack_client import APIStatusError, AsyncSpecstack, Specstack
from specstack_client.errors import ModelNotFound
from support.loopback_upstream import LoopbackUpstream

SLOW = "one two three four five six @@delay=0.3@@"


def config(base_url: str) -> dict[str, Any]:
    provider = {
        "provider_id": "up",
        "provider_type": "remote::openai-compatible",
        "config": {"base_url": base_url},
    }
    return {"version": 2, "distro_name": "t", "providers": {"inference": [provider]}}


def say(text: str) -> Any:
    return {"model": "up/echo", "messages": [{"role": "user", "content": text}]}


def threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "specstack"]


@pytest.fixture
def upstream() -> Iterator[LoopbackUpstream]:
    with LoopbackUpstream.running() as found:
        yield found


def test_sync(upstream: LoopbackUpstream) -> None:
    with specstack.from_config(config(upstream.base_url)) as client:
        assert type(client) is Specstack
        assert "up/echo" in [one.id for one in client.models.list_models().data]
        reply = client.inference.create_chat_completion(**say("hello"))
        assert "hello" in (reply.choices[0].message.content or "")
        with pytest.raises(ModelNotFound):
            client.inference.create_chat_completion(**{**say("x"), "model": "nowhere"})
        assert len(threads()) == 1
    assert threads() == []
    with pytest.raises(RuntimeError, match="closed"):
        client.models.list_models()


async def test_async(upstream: LoopbackUpstream) -> None:
    async with specstack.from_config(config(upstream.base_url), asynchronous=True) as client:
        assert type(client) is AsyncSpecstack
        replies = await asyncio.gather(
            *(client.inference.create_chat_completion(**say(str(n))) for n in range(20))
        )
        assert [str(n) in (one.choices[0].message.content or "") for n, one in enumerate(replies)] == [
            True
        ] * 20
    assert threads() == []
    with pytest.raises(RuntimeError, match="closed"):
        await client.models.list_models()


def test_a_stream_comes_piece_by_piece(upstream: LoopbackUpstream) -> None:
    with specstack.from_config(config(upstream.base_url)) as client:
        stream = client.inference.create_chat_completion(**say(SLOW), stream=True)
        times = [time.monotonic() for _ in stream]
    assert len(times) > 3
    assert times[2] - times[0] > 0.2


async def test_an_async_stream_comes_piece_by_piece(upstream: LoopbackUpstream) -> None:
    async with specstack.from_config(config(upstream.base_url), asynchronous=True) as client:
        stream = await client.inference.create_chat_completion(**say(SLOW), stream=True)
        times = [time.monotonic() async for _ in stream]
    assert len(times) > 3
    assert times[2] - times[0] > 0.2


def test_closing_a_stream_reaches_the_upstream(upstream: LoopbackUpstream) -> None:
    with specstack.from_config(config(upstream.base_url)) as client:
        stream = client.inference.create_chat_completion(**say(SLOW), stream=True)
        next(stream)
        stream.close()
        (chat,) = [one for one in upstream.seen if one.path.endswith("/chat/completions")]
        assert chat.cancelled.wait(3)


async def test_cancelling_a_call_reaches_the_upstream(upstream: LoopbackUpstream) -> None:
    async with specstack.from_config(config(upstream.base_url), asynchronous=True) as client:
        await client.models.list_models()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await client.inference.create_chat_completion(**say("@@hang=20@@"))
        (chat,) = [one for one in upstream.seen if one.path.endswith("/chat/completions")]
        assert await asyncio.to_thread(chat.cancelled.wait, 3)


def test_many_threads_share_one_client(upstream: LoopbackUpstream) -> None:
    found: list[str] = []
    with specstack.from_config(config(upstream.base_url)) as client:

        def work(number: int) -> None:
            reply = client.inference.create_chat_completion(**say(f"n{number}"))
            found.append(reply.choices[0].message.content or "")

        workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for one in workers:
            one.start()
        for one in workers:
            one.join()
    assert sorted(f"n{number}" in "".join(found) for number in range(8)) == [True] * 8


async def test_the_sync_client_works_inside_a_running_loop(upstream: LoopbackUpstream) -> None:
    with specstack.from_config(config(upstream.base_url)) as client:
        assert client.models.list_models().data


def test_a_name_a_path_and_an_environment(tmp_path: Path, upstream: LoopbackUpstream) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "version: 2\ndistro_name: t\nproviders:\n  inference:\n    - provider_id: up\n"
        "      provider_type: remote::openai-compatible\n      config: {base_url: '${env.UP}'}\n"
    )
    for source in (path, str(path), tmp_path):
        with specstack.from_config(source, env={"UP": upstream.base_url}) as client:
            assert client.models.list_models().data
    with pytest.raises(ConfigError, match="environment variable UP is not set"):
        specstack.from_config(path, env={})
    with pytest.raises(StartupError, match="did you mean 'starter'"):
        specstack.from_config("startr")
    with pytest.raises(ConfigError, match=r"<mapping>:.*: sever: unknown key"):
        specstack.from_config({**config("http://h/v1"), "sever": {}})


def test_keys_are_asked_for_as_behind_a_socket(upstream: LoopbackUpstream) -> None:
    keyed = {"auth": {"provider_config": {"type": "api_keys", "plain_keys": "the-key-of-a-test-0123456789"}}}
    closed = {**config(upstream.base_url), "server": keyed}
    with specstack.from_config(closed) as client:
        with pytest.raises(APIStatusError) as caught:
            client.models.list_models()
        assert caught.value.status_code == 401
        assert client.inspect.health()
    with specstack.from_config(closed, api_key="the-key-of-a-test-0123456789") as client:
        assert client.models.list_models().data


def test_a_server_that_cannot_start_says_so_each_time() -> None:
    missing = {
        "provider_id": "l",
        "provider_type": "inline::llama-cpp",
        "config": {"models": [{"model_id": "m"}]},
    }
    client = specstack.from_config({**config("http://h/v1"), "providers": {"inference": [missing]}})
    for _ in range(2):
        with pytest.raises(StartupError, match=r"providers.inference\[0\]"):
            client.models.list_models()
    client.close()
    assert threads() == []


def test_a_client_that_nobody_closes_ends_with_its_last_use(upstream: LoopbackUpstream) -> None:
    client = specstack.from_config(config(upstream.base_url))
    assert client.models.list_models().data
    del client
    gc.collect()
    for thread in threads():
        thread.join(10)
    assert threads() == []


def test_a_program_that_closes_nothing_ends(upstream: LoopbackUpstream) -> None:
    made = f"specstack.from_config({config(upstream.base_url)!r})"
    code = f"import specstack\nclient = {made}\nprint(len(client.models.list_models().data))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert int(done.stdout) > 0
    assert done.stderr == ""


APP = """
import asyncio, httpx
from specstack.inprocess import Transport

async def app(scope, receive, send):
    await receive()
    if scope["type"] == "lifespan":
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.to_thread(print, "stopped")
        await send({"type": "lifespan.shutdown.complete"})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})

client = httpx.Client(transport=Transport(app), base_url="http://t")
client.get("/")
"""


def test_an_app_that_stops_by_a_thread_may_do_so_at_the_end_of_the_program() -> None:
    done = subprocess.run([sys.executable, "-c", APP], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("stopped\n", "")


def test_the_package_alone_imports_neither_client_nor_server() -> None:
    loaded = "[m for m in sys.modules if m.startswith('specstack_')]"
    code = f"import sys, specstack; print({loaded}); specstack.nothing"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout == "[]\n"
    assert "module 'specstack' has no attribute 'nothing'" in done.stderr


# -- the transports, with apps of every kind -----------------------------------------------


class App:
    """An ASGI app with a lifespan; `kind` is what it does with a request."""

    def __init__(self, kind: str = "echo", lifespan: str = "whole") -> None:
        self.kind = kind
        self.lifespan = lifespan
        self.log: list[str] = []
        self.sent = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await getattr(self, f"_{self.kind}")(scope, receive, send)

    async def _live(self, receive: Any, send: Any) -> None:
        if self.lifespan == "none":
            raise RuntimeError("no lifespan here")
        assert (await receive())["type"] == "lifespan.startup"
        self.log.append("start")
        if self.lifespan == "slow":
            await asyncio.sleep(0.3)
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        self.log.append("stop")
        await send({"type": "lifespan.shutdown.complete"})

    async def _echo(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        head = f"{scope['method']} {scope['path']} {scope['raw_path']} {scope['query_string']} ".encode()
        await send(
            {"type": "http.response.start", "status": 201, "headers": [(b"x-a", b"1"), (b"x-a", b"2")]}
        )
        await send({"type": "http.response.body", "body": head + body})

    async def _crash(self, scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("early")

    async def _silent(self, scope: Any, receive: Any, send: Any) -> None:
        """Ends without a reply."""

    async def _broken(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        raise ValueError("late")

    async def _endless(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        gone = asyncio.ensure_future(self._until_gone(receive))
        while not gone.done():
            await send({"type": "http.response.body", "body": b"x" * 10, "more_body": True})
            self.sent += 1
            await asyncio.sleep(0)
        self.log.append("gone")

    async def _until_gone(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def _stubborn(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await asyncio.sleep(60)


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("specstack.inprocess.STOP_LIMIT", 0.1)


def sync_client(app: App) -> httpx.Client:
    return httpx.Client(transport=Transport(app), base_url="http://t")


def async_client(app: App) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=AsyncTransport(app), base_url="http://t")


def test_what_goes_over() -> None:
    app = App()
    with sync_client(app) as client:
        reply = client.post("/a%2Fb/ä?q=1&r=%20", content=iter([b"one ", b"two"]))
        assert reply.text == "POST /a/b/ä b'/a%2Fb/%C3%A4' b'q=1&r=%20' one two"
        assert (reply.status_code, reply.headers.get_list("x-a")) == (201, ["1", "2"])
        assert client.get("/").text.startswith("GET / b'/'")
        assert client.post("/", files={"f": b"data"}).text.count("data") >= 1
    assert app.log == ["start", "stop"]


async def test_what_goes_over_async() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    app = App()
    async with async_client(app) as client:
        assert (await client.post("/", content=body())).text.endswith(" one two")
    assert app.log == ["start", "stop"]


@pytest.mark.parametrize(("kind", "cause"), [("crash", ValueError), ("silent", type(None))])
def test_an_app_without_a_reply(kind: str, cause: type) -> None:
    with (
        sync_client(App(kind)) as client,
        pytest.raises(httpx.RemoteProtocolError, match="gave no reply") as caught,
    ):
        client.get("/")
    assert type(caught.value.__cause__) is cause


def test_an_app_that_breaks_off() -> None:
    with sync_client(App("broken")) as client, client.stream("GET", "/") as reply:
        pieces: list[bytes] = []
        with pytest.raises(httpx.RemoteProtocolError, match="broke off") as caught:
            pieces.extend(reply.iter_raw())
    assert type(caught.value.__cause__) is ValueError


def test_a_slow_reader_holds_the_app_up() -> None:
    app = App("endless")
    with sync_client(app) as client, client.stream("GET", "/") as reply:
        next(reply.iter_raw())
        time.sleep(0.2)
        assert app.sent < 50
        reply.close()
        time.sleep(0.1)
        assert app.log == ["start", "gone"]


def test_a_limit_on_waiting(no_patience: None) -> None:
    with sync_client(App("stubborn")) as client:
        with client.stream("GET", "/", timeout=0.2) as reply, pytest.raises(httpx.ReadTimeout):
            list(reply.iter_raw())


async def test_what_does_not_end_is_cancelled(no_patience: None) -> None:
    app = App("stubborn")
    client = async_client(app)
    request = client.build_request("GET", "/")
    await client.send(request, stream=True)
    started = time.monotonic()
    await client.aclose()
    assert time.monotonic() - started < 2
    assert app.log == ["start", "stop"]


async def test_a_caller_that_gives_up_leaves_no_half_started_app() -> None:
    app = App(lifespan="slow")
    client = async_client(app)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await client.get("/")
    assert (await client.get("/")).status_code == 201
    await client.aclose()
    assert app.log == ["start", "stop"]


async def test_closing_while_it_starts() -> None:
    app = App(lifespan="slow")
    client = async_client(app)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await client.get("/")
    await client.aclose()
    assert app.log == ["start", "stop"]


def test_an_app_whose_lifespan_fails() -> None:
    with sync_client(App(lifespan="none")) as client, pytest.raises(RuntimeError, match="no lifespan here"):
        client.get("/")


def test_another_loop_is_refused() -> None:
    client = async_client(App())
    asyncio.run(_get(client))
    with pytest.raises(RuntimeError, match="belongs to another event loop"):
        asyncio.run(_get(client))


async def _get(client: httpx.AsyncClient) -> None:
    assert (await client.get("/")).status_code == 201


def test_the_server_itself_cannot_wait_for_itself() -> None:
    found: list[str] = []

    class Inside(App):
        async def _inside(self, scope: Any, receive: Any, send: Any) -> None:
            try:
                client.get("/")
            except RuntimeError as error:
                found.append(str(error))
            await self._echo(scope, receive, send)

    client = sync_client(Inside("inside"))
    assert client.get("/").status_code == 201
    client.close()
    client.close()
    assert found == ["called from inside the server itself, which would wait for itself for ever"]
