"""Slots, waiting and cancellation of the engine, with a stand-in for llama.cpp that writes when told to."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from specstack_api.errors import InternalError, InvalidValue, ModelUnavailable, Overloaded
from specstack_providers.inline.inference.llama_engine import EngineSettings, LlamaEngine
from specstack_providers.inline.inference.llama_grammar import json_grammar
from specstack_providers.inline.inference.llama_runs import merged


class StandIn:
    """Writes "tick" until cancelled, or until `count` ticks."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.lock = threading.Lock()

    def handle_completions(self, request: dict[str, Any], callback: Callable[[dict[str, Any]], bool]) -> None:
        assert request["stream"] is True
        if "fail" in request:
            raise request["fail"]
        if "error" in request:
            callback({"error": request["error"]})
            return
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            callback({"prompt_progress": {}})
            for number in range(request.get("count", request.get("n_predict", 10**6))):
                if callback(_chunk(f"tick{number}")):
                    return
                threading.Event().wait(0.002)
            if "broken" not in request:
                callback(_chunk("", finish="length"))
        finally:
            with self.lock:
                self.running -= 1


def _chunk(text: str, finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"text": text, "finish_reason": finish}]}


@pytest.fixture
def stand_in() -> StandIn:
    return StandIn()


@pytest.fixture
async def engine(stand_in: StandIn) -> Any:
    settings = EngineSettings(name="toy", path=Path("/none"), slots=2, waiting=3)
    engine = LlamaEngine(settings, logging.getLogger("toy"))
    engine._server = stand_in
    yield engine
    await engine.close()


async def all_of(engine: LlamaEngine, **request: Any) -> list[str]:
    return [text async for chunk in engine.generate(request) if (text := chunk["choices"][0]["text"])]


async def test_as_many_run_as_there_are_slots(engine: LlamaEngine, stand_in: StandIn) -> None:
    runs = await asyncio.gather(*(all_of(engine, count=5) for _ in range(5)))
    assert runs == [[f"tick{number}" for number in range(5)]] * 5
    assert stand_in.most == 2


async def test_too_many_waiting_are_turned_away(engine: LlamaEngine) -> None:
    endless = [asyncio.create_task(all_of(engine)) for _ in range(5)]
    await asyncio.sleep(0.05)
    with pytest.raises(Overloaded, match="3 requests waiting") as caught:
        await all_of(engine)
    assert int(caught.value.headers["retry-after"]) > 0
    endless[4].cancel()  # one that waits: its place is free at once
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert engine._waiting == 2
    for task in endless:
        task.cancel()
    await asyncio.gather(*endless, return_exceptions=True)
    assert await all_of(engine, count=1) == ["tick0"]


async def test_leaving_early_stops_the_run(engine: LlamaEngine, stand_in: StandIn) -> None:
    async with contextlib.aclosing(engine.generate({})) as chunks:
        await anext(chunks)
        assert stand_in.running == 1
    for _ in range(100):
        if not stand_in.running:
            break
        await asyncio.sleep(0.005)
    assert stand_in.running == 0
    assert not engine._running


async def test_closing_stops_what_runs_and_refuses_what_waits(engine: LlamaEngine, stand_in: StandIn) -> None:
    tasks = [asyncio.create_task(all_of(engine)) for _ in range(4)]
    await asyncio.sleep(0.05)
    await engine.close()
    await engine.close()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, ModelUnavailable) for result in results), (
        "half an answer passes for a whole one"
    )
    assert stand_in.running == 0
    with pytest.raises(ModelUnavailable):
        await all_of(engine)
    with pytest.raises(ModelUnavailable):
        await engine.ask("/props")


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"fail": ValueError("bad field")}, InvalidValue),
        ({"fail": RuntimeError("bad field")}, InvalidValue),
        ({"error": {"code": 400, "message": "bad field"}}, InvalidValue),
        ({"error": {"code": 500, "message": "bad field"}}, InternalError),
    ],
)
async def test_refusals_free_the_slot(
    engine: LlamaEngine, request_: dict[str, Any], error: type[Exception]
) -> None:
    for _ in range(3):
        with pytest.raises(error, match="bad field"):
            await all_of(engine, **request_)
    assert await all_of(engine, count=1) == ["tick0"]


async def test_a_run_that_breaks_off_is_no_answer(engine: LlamaEngine) -> None:
    with pytest.raises(InternalError, match="broke off"):
        await all_of(engine, count=2, broken=True)


async def test_a_grammar_that_is_ignored_is_not_supported(engine: LlamaEngine) -> None:
    """The stand-in ignores every grammar, as llama.cpp does with one that it cannot read."""
    assert not await engine.supports(json_grammar({}, strict=True))


async def test_runs_are_merged_and_the_first_error_ends_them() -> None:
    closed: list[int] = []

    async def run(index: int) -> Any:
        try:
            for number in range(3):
                await asyncio.sleep(0)
                if index == 4:
                    raise InvalidValue("the fifth")
                yield index, number
        finally:
            closed.append(index)

    seen = [item async for item in merged(run, 3, at_once=2)]
    assert sorted(seen) == [(index, number) for index in range(3) for number in range(3)]
    with pytest.raises(InvalidValue, match="the fifth"):
        _ = [item async for item in merged(run, 6, at_once=6)]
    closed.clear()
    async with contextlib.aclosing(merged(run, 3, at_once=3)) as items:
        await anext(items)
    assert sorted(closed) == [0, 1, 2]
