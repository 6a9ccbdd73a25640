"""inline::llama-cpp calls functions: recordings of the real default model."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from support.llama import SCHEMA, TOOLS, chat, chat_stream, text_in, user

pytestmark = pytest.mark.asyncio(loop_scope="session")


def calls_in(reply: Mapping[str, Any]) -> list[tuple[str, Any]]:
    choice = reply["choices"][0]
    assert choice["finish_reason"] == "tool_calls", choice
    assert choice["message"]["content"] is None
    calls = choice["message"]["tool_calls"]
    assert all(call["type"] == "function" and call["id"].startswith("call_") for call in calls)
    assert len({call["id"] for call in calls}) == len(calls)
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]


async def test_auto_calls_when_a_function_fits_and_talks_when_none_does(llama: Any) -> None:
    call = await chat(llama, "Is it raining in London right now?", tools=TOOLS, max_completion_tokens=60)
    assert calls_in(call) == [("get_weather", {"city": "London"})]
    text = await chat(llama, "Hello, how are you?", tools=TOOLS)
    assert "tool_calls" not in text["choices"][0]["message"]
    assert text["choices"][0]["message"]["content"]
    assert text["choices"][0]["finish_reason"] in ("stop", "length")


async def test_a_streamed_call(llama: Any) -> None:
    chunks = await chat_stream(llama, "Add 12 and 30.", tools=TOOLS, max_completion_tokens=60)
    deltas = [part for chunk in chunks for part in chunk["choices"][0]["delta"].get("tool_calls", [])]
    assert deltas[0]["function"]["name"] == "add_numbers"
    assert deltas[0]["id"].startswith("call_")
    assert len(deltas) > 2, "arguments shall come as they are written"
    assert json.loads("".join(part["function"]["arguments"] for part in deltas)) == {"a": 12, "b": 30}
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert text_in(chunks) == ""


async def test_text_under_auto_streams_as_it_is_written(llama: Any) -> None:
    chunks = await chat_stream(llama, "Hello, how are you?", tools=TOOLS, max_completion_tokens=12)
    assert len([chunk for chunk in chunks if chunk["choices"][0]["delta"].get("content")]) > 5


async def test_required_always_calls(llama: Any) -> None:
    reply = await chat(
        llama, "Hello, how are you?", tools=TOOLS, tool_choice="required", max_completion_tokens=24
    )
    choice = reply["choices"][0]
    assert len(choice["message"]["tool_calls"]) == 1
    assert choice["message"]["tool_calls"][0]["function"]["name"] in ("get_weather", "add_numbers")


async def test_a_named_function_is_the_one_called(llama: Any) -> None:
    named = {"type": "function", "function": {"name": "add_numbers"}}
    reply = await chat(
        llama, "What is the weather?", tools=TOOLS, tool_choice=named, max_completion_tokens=80
    )
    ((name, arguments),) = calls_in(reply)
    assert name == "add_numbers"
    assert set(arguments) == {"a", "b"}
    allowed = {
        "type": "allowed_tools",
        "allowed_tools": {
            "mode": "required",
            "tools": [{"type": "function", "function": {"name": "get_weather"}}],
        },
    }
    reply = await chat(
        llama, "Add 1 and 2 in Rome.", tools=TOOLS, tool_choice=allowed, max_completion_tokens=80
    )
    assert reply["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "get_weather"


async def test_none_never_calls(llama: Any) -> None:
    reply = await chat(llama, "What is the weather in Paris?", tools=TOOLS, tool_choice="none")
    assert "tool_calls" not in reply["choices"][0]["message"]


async def test_parallel_calls_come_only_when_asked_for(llama: Any) -> None:
    reply = await chat(
        llama,
        "What is the weather in Rome, Paris and London?",
        tools=TOOLS[:1],
        tool_choice="required",
        parallel_tool_calls=True,
        max_completion_tokens=60,
    )
    calls = reply["choices"][0]["message"]["tool_calls"]
    assert 1 <= len(calls) <= 8
    assert {call["function"]["name"] for call in calls} == {"get_weather"}


async def test_a_tools_result_becomes_an_answer(llama: Any) -> None:
    called = {
        "id": "c1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city":"Rome"}'},
    }
    messages = [
        *user("What is the weather in Rome?"),
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c1", "content": '{"sky": "sunny", "celsius": 21}'},
    ]
    reply = await chat(llama, messages, tools=TOOLS, max_completion_tokens=40)
    answer = reply["choices"][0]["message"]["content"]
    assert answer and ("sunny" in answer or "21" in answer)


async def test_tools_beside_a_schema(llama: Any) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "town", "schema": SCHEMA}}
    reply = await chat(llama, "Describe Paris.", tools=TOOLS, response_format=form, max_completion_tokens=80)
    message = reply["choices"][0]["message"]
    assert message.get("tool_calls") or set(json.loads(message["content"])) == {"city", "size", "river"}
