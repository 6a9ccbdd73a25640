"""Inference as clients see it, by recordings of real models: here and behind another server."""

import json
from typing import Any

import pytest

from specstack_client import APIError, NotFoundError, Specstack
from specstack_wire import given

CHAT = "llama-cpp/smollm2-135m-instruct"
EMBED = "embeddings/all-minilm-l6-v2"
QUESTION: Any = [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def test_a_chat_completion(client: Specstack) -> None:
    reply = client.inference.create_chat_completion(
        model=CHAT, messages=QUESTION, max_completion_tokens=24, temperature=0
    )
    assert "Paris" in (reply.choices[0].message.content or "")
    assert reply.model == CHAT
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens  # type: ignore[union-attr]


def test_a_streamed_chat_completion(client: Specstack) -> None:
    events = list(
        client.inference.create_chat_completion(
            model=CHAT, messages=QUESTION, max_completion_tokens=24, temperature=0, stream=True
        )
    )
    text = "".join(given(event.choices[0].delta.content) or "" for event in events if event.choices)
    assert "Paris" in text
    assert len({event.id for event in events}) == 1
    assert events[-1].choices[0].finish_reason in ("stop", "length")


def test_a_tool_call(client: Specstack) -> None:
    reply = client.inference.create_chat_completion(
        model=CHAT,
        messages=[{"role": "user", "content": "How is the weather in Oslo?"}],
        tools=[WEATHER],
        tool_choice="required",
        max_completion_tokens=48,
        temperature=0,
    )
    (call,) = reply.choices[0].message.tool_calls or ()
    assert call.function.name == "get_weather"  # type: ignore[union-attr]
    assert "city" in json.loads(call.function.arguments)  # type: ignore[union-attr]


def test_an_answer_after_a_schema(client: Specstack) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "big": {"type": "boolean"}},
        "required": ["city", "big"],
        "additionalProperties": False,
    }
    reply = client.inference.create_chat_completion(
        model=CHAT,
        messages=QUESTION,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": schema},
        },
        max_completion_tokens=60,
        temperature=0,
    )
    assert set(json.loads(reply.choices[0].message.content or "")) == {"city", "big"}


def test_a_completion(client: Specstack) -> None:
    reply = client.inference.create_completion(
        model=CHAT, prompt="The sun rises in the", max_tokens=5, temperature=0
    )
    assert reply.choices[0].text
    assert reply.usage is not None and reply.usage.completion_tokens <= 5


def test_embeddings_tell_how_alike_texts_are(client: Specstack) -> None:
    reply = client.inference.create_embedding(model=EMBED, input=["bread", "a loaf", "a sports car"])
    bread, loaf, car = (one.embedding for one in reply.data)
    assert dot(bread, loaf) > dot(bread, car) + 0.1
    assert len(bread) == 384


def test_reranking(client: Specstack) -> None:
    reply = client.inference.rerank(
        model=EMBED, query="What do cats eat?", items=["Cars need fuel.", "Cats like fish.", "It rains."]
    )
    assert reply.data[0].index == 1


def test_what_is_refused_is_not_asked(client: Specstack) -> None:
    with pytest.raises(NotFoundError):
        client.inference.create_chat_completion(model="llama-cpp/none", messages=QUESTION)
    with pytest.raises(APIError, match="cannot be cut to 7"):
        client.inference.create_embedding(model=EMBED, input="a", dimensions=7)


def test_a_chat_completion_of_another_server(remote: Specstack) -> None:
    reply = remote.inference.create_chat_completion(
        model="far/smol", messages=QUESTION, max_completion_tokens=24, temperature=0
    )
    assert "Paris" in (reply.choices[0].message.content or "")
    assert reply.model == "far/smol"


def test_a_stream_of_another_server(remote: Specstack) -> None:
    events = list(
        remote.inference.create_chat_completion(
            model="far/smol", messages=QUESTION, max_completion_tokens=24, temperature=0, stream=True
        )
    )
    text = "".join(given(event.choices[0].delta.content) or "" for event in events if event.choices)
    assert "Paris" in text
    assert {event.model for event in events} == {"far/smol"}


def test_an_error_of_another_server(remote: Specstack) -> None:
    with pytest.raises(APIError) as refused:
        remote.inference.create_chat_completion(
            model="far/smol", messages=[{"role": "user", "content": "word " * 3000}], temperature=0
        )
    assert refused.value.status == 400


def dot(one: Any, other: Any) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
