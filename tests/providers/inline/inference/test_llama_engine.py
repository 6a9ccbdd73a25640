"""The engine of inline::llama-cpp, always the real one: slots, cancelling, threads, its port, its end."""

import asyncio
import json
import logging
import os
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from specstack_api.errors import ModelUnavailable
from specstack_api.provider_config.inference.inline_llama_cpp import InlineLlamaCppConfig
from support.llama import CTX, chat, chat_request, embed, user

from .conftest import make_deps

pytestmark = [pytest.mark.live, pytest.mark.model, pytest.mark.asyncio(loop_scope="session")]


def engine_of(live_llama: Any) -> Any:
    return live_llama._models["smol"].engine.engine


async def idle(live_llama: Any, limit: float = 10.0) -> float:
    """Seconds until no slot is taken."""
    began = time.monotonic()
    while engine_of(live_llama)._running:
        assert time.monotonic() - began < limit, "a cancelled generation goes on"
        await asyncio.sleep(0.002)
    return time.monotonic() - began


async def test_a_closed_stream_frees_its_slot(live_llama: Any) -> None:
    stream = await live_llama.create_chat_completion(
        CTX, chat_request("Count to one thousand.", stream=True, max_completion_tokens=900)
    )
    events = aiter(stream)
    for _ in range(3):
        await anext(events)
    await stream.aclose()
    assert await idle(live_llama) < 1.0


async def test_a_cancelled_call_frees_its_slot_also_while_it_reads_the_prompt(live_llama: Any) -> None:
    for text in ("Count to one thousand.", "many words " * 480):
        task = asyncio.create_task(chat(live_llama, text, max_completion_tokens=500))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await idle(live_llama)


async def test_requests_beyond_the_slots_wait_and_can_be_cancelled_there(live_llama: Any) -> None:
    busy = [
        asyncio.create_task(chat(live_llama, "Count to 100.", max_completion_tokens=40)) for _ in range(3)
    ]
    await asyncio.sleep(0.1)
    waiting = asyncio.create_task(chat(live_llama, "Hi", max_completion_tokens=2))
    dropped = asyncio.create_task(chat(live_llama, "Hi", max_completion_tokens=2))
    await asyncio.sleep(0.05)
    dropped.cancel()
    began = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await dropped
    assert time.monotonic() - began < 0.2
    assert (await waiting)["usage"]["completion_tokens"] == 2
    await asyncio.gather(*busy)


async def test_slots_run_side_by_side(live_llama: Any) -> None:
    await asyncio.gather(*(chat(live_llama, f"Say {n}", max_completion_tokens=20) for n in range(3)))
    streams = [
        await live_llama.create_chat_completion(
            CTX, chat_request(f"Tell me about {n}", stream=True, max_completion_tokens=16)
        )
        for n in ("cats", "dogs")
    ]
    order: list[int] = []

    async def drain(number: int) -> None:
        async for _ in streams[number]:
            order.append(number)

    await asyncio.gather(drain(0), drain(1))
    assert order != sorted(order), "the second ran only after the first"


async def test_the_event_loop_stays_free(live_llama: Any) -> None:
    task = asyncio.create_task(chat(live_llama, "Tell me a story.", max_completion_tokens=40))
    ticks = 0
    while not task.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert ticks > 10


async def test_the_loopback_port_answers_nobody_without_the_key(live_llama: Any) -> None:
    address = engine_of(live_llama).address
    assert address.startswith("http://127.0.0.1:")

    def status(path: str, body: bytes | None, **headers: str) -> int:
        request = urllib.request.Request(address + path, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                return reply.status
        except urllib.error.HTTPError as error:
            return error.code

    ask = json.dumps({"messages": user("hi"), "max_tokens": 1}).encode()
    for path, body in (("/v1/chat/completions", ask), ("/completion", b'{"prompt":"a"}'), ("/props", None)):
        assert await asyncio.to_thread(status, path, body) == 401
        assert await asyncio.to_thread(status, path, body, authorization="Bearer guess") == 401
    for path in ("/", "/index.html"):
        assert await asyncio.to_thread(status, path, None) in (401, 404), "the web UI is on"


async def test_the_key_is_in_no_log(
    chat_weights: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    from specstack_providers.inline.inference.llama_engine import EngineSettings, LlamaEngine

    caplog.set_level(logging.DEBUG)
    engine = LlamaEngine(
        EngineSettings(name="smol", path=chat_weights, context=256, slots=1), logging.getLogger("l")
    )
    await engine.load()
    await engine.ask("/props")
    key = engine._key
    assert len(key) >= 32
    await engine.close()
    out, err = capfd.readouterr()
    assert key not in caplog.text + out + err + repr(engine.settings) + str(
        vars(engine.settings) if hasattr(engine.settings, "__dict__") else ""
    )


async def test_threads_do_not_oversubscribe(monkeypatch: pytest.MonkeyPatch) -> None:
    from specstack_providers.inline.inference import llama_engine

    for cores, generate in ((1, 1), (2, 1), (8, 4), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        assert llama_engine.generation_threads() == generate
        assert llama_engine.batch_threads() == generate


async def test_stop_frees_the_model_and_refuses_what_comes_later(chat_weights: Path) -> None:
    from specstack_providers.inline.inference.llama_cpp import create

    model = {"model_id": "e", "path": str(chat_weights), "embedding": True, "context_length": 256}
    config = InlineLlamaCppConfig.model_validate(
        {"models": [model], "threads": 1, "batch_threads": 1, "slots": 2}
    )
    provider: Any = await create(config, make_deps())
    await provider.start()
    assert len((await embed(provider, input=["a", "b"]))["data"]) == 2
    assert (await provider.health()).status == "ok"
    await provider.stop()
    await provider.stop()
    assert (await provider.health()).status == "error"
    with pytest.raises(ModelUnavailable):
        await embed(provider, input="a")


@pytest.mark.parametrize("content", [None, b"", b"GGUF and then nonsense" * 100])
async def test_weights_that_are_missing_or_broken_are_one_line(tmp_path: Path, content: bytes | None) -> None:
    pytest.importorskip("xllamacpp", reason="the extra `llama-cpp` is not installed")
    from specstack_providers.inline.inference.llama_cpp import create

    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    config = InlineLlamaCppConfig.model_validate({"models": [{"model_id": "m", "path": str(path)}]})
    provider: Any = await create(config, make_deps())
    with pytest.raises(ModelUnavailable, match=str(path)) as caught:
        await provider.start()
    assert "\n" not in caught.value.message
    await provider.stop()
