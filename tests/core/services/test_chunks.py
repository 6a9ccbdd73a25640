"""A streamed chat completion put together again, with what providers really send."""

import json
import random
from typing import Any

import pytest

from specstack.services.stored_completions import chunks
from specstack.services.stored_completions.chunks import Assembly
from specstack_api.models.inference import CreateChatCompletionResponse
from support import loopback_replies as replies

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "m"}


def chunk(delta: dict[str, Any], index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": index, "delta": delta, "finish_reason": finish, **more}]}


def together(*chunks: Any) -> dict[str, Any]:
    """Of parsed chunks, and of the same as bytes, one by one and at once."""
    parsed, read, at_once = Assembly(), Assembly(), Assembly()
    raw = [json.dumps(one).encode() for one in chunks]
    for one, piece in zip(chunks, raw, strict=True):
        parsed.add(one)
        read.read([piece])
    at_once.read(raw)
    found = parsed.completion()
    assert found is not None
    assert read.completion() == found
    assert at_once.completion() == found
    CreateChatCompletionResponse.model_validate(found)
    return found


def message(*chunks: Any) -> dict[str, Any]:
    found: dict[str, Any] = together(*chunks)["choices"][0]["message"]
    return found


def test_it_is_what_the_provider_would_have_answered_whole() -> None:
    tool = {
        "type": "function",
        "function": {"name": "f", "parameters": {"properties": {"a": {"type": "string"}}}},
    }
    bodies: list[dict[str, Any]] = [
        {"messages": [{"role": "user", "content": "Hello there, you"}]},
        {"messages": [{"role": "user", "content": "x"}], "n": 3, "logprobs": True, "top_logprobs": 2},
        {"messages": [{"role": "user", "content": "x"}], "tools": [tool], "tool_choice": "required"},
    ]
    for body in bodies:
        asked = {"model": "echo", **body, "stream": True, "stream_options": {"include_usage": True}}
        streamed = together(*replies.chat_events(asked))
        plain = replies.chat({"model": "echo", **body})
        # What differs with the request: the id, and the number of tokens that were read.
        assert streamed["choices"] == plain["choices"], body
        assert streamed.keys() == plain.keys()
        assert streamed["usage"]["completion_tokens"] == plain["usage"]["completion_tokens"]


def test_text_refusal_and_fields_that_openai_does_not_have() -> None:
    found = together(
        chunk({"role": "assistant", "content": "", "refusal": None}),
        chunk({"reasoning_content": "let me "}),
        chunk({"reasoning_content": "think"}),
        chunk({"content": "Pa"}, x_seen=1),
        chunk({"content": "ris", "role": None}, x_seen=2),
        chunk({"refusal": "No"}),
        chunk({"refusal": "!"}, finish="stop"),
        {
            **HEAD,
            "choices": [],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
            "x_groq": 7,
        },
        "no chunk",
    )
    assert found == {
        "id": "chatcmpl-1",
        "created": 5,
        "model": "m",
        "object": "chat.completion",
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        "x_groq": 7,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Paris",
                    "refusal": "No!",
                    "reasoning_content": "let me think",
                },
                "finish_reason": "stop",
                "logprobs": None,
                "x_seen": 2,
            }
        ],
    }


def test_padding_and_empty_usage_are_left_out() -> None:
    found = together(
        {**chunk({"content": "a"}), "obfuscation": "xyz", "usage": None}, chunk({}, finish="length")
    )
    assert found.keys() == {"id", "object", "created", "model", "choices"}
    assert found["choices"][0]["finish_reason"] == "length"


def test_several_choices_come_mixed() -> None:
    found = together(
        chunk({"content": "b"}, 1),
        chunk({"content": "a"}),
        chunk({"content": "B"}, 1, "stop"),
        chunk({}, 0, "stop"),
    )
    assert [one["message"]["content"] for one in found["choices"]] == ["a", "bB"]
    assert [one["index"] for one in found["choices"]] == [0, 1]


def test_calls_of_tools_come_in_pieces() -> None:
    first = {"index": 0, "id": "call_a", "type": "function", "function": {"name": "f", "arguments": ""}}
    second = {"index": 1, "id": "call_b", "type": "function", "function": {"name": "g", "arguments": "{}"}}
    found = message(
        chunk({"role": "assistant", "content": None, "tool_calls": [first]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]}),
        # SGLang and Llama Stack send null for what is not new, others the name again or empty.
        chunk(
            {
                "tool_calls": [
                    {"index": 0, "id": None, "type": None, "function": {"name": None, "arguments": ":1}"}}
                ]
            }
        ),
        chunk(
            {"tool_calls": [{"index": 0, "id": "", "function": {"name": "", "arguments": ""}}, second]},
            finish="tool_calls",
        ),
    )
    assert found["content"] is None
    assert found["tool_calls"] == [
        {"id": "call_a", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "call_b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]


def test_calls_of_custom_tools_and_of_the_older_form() -> None:
    custom = {"index": 0, "id": "c", "type": "custom", "custom": {"name": "f", "input": "a"}}
    found = message(
        chunk({"tool_calls": [custom]}), chunk({"tool_calls": [{"index": 0, "custom": {"input": "b"}}]})
    )
    assert found["tool_calls"] == [{"id": "c", "type": "custom", "custom": {"name": "f", "input": "ab"}}]
    found = message(
        chunk({"function_call": {"name": "f"}}),
        chunk({"function_call": {"arguments": "{}"}}, finish="function_call"),
    )
    assert found["function_call"] == {"name": "f", "arguments": "{}"}


def test_log_probabilities_are_joined() -> None:
    token: dict[str, Any] = {"token": "a", "logprob": -1, "bytes": None, "top_logprobs": []}
    found = together(
        chunk({"content": "a"}, logprobs={"content": [token], "refusal": None}),
        chunk({"content": "a"}, logprobs={"content": [token]}),
        chunk({}, finish="stop", logprobs=None),
    )
    assert found["choices"][0]["logprobs"] == {"content": [token, token], "refusal": None}


def test_without_a_chunk_there_is_nothing() -> None:
    assert Assembly().completion() is None


TEXTS = ["a", " b", '"', "\\", "\n", "é", "🙂", "", '","role":"x', '\\"', "\\u0041", "}"]


@pytest.mark.parametrize("seed", range(30))
def test_texts_that_are_not_parsed_one_by_one_come_out_the_same(seed: int) -> None:
    dice = random.Random(seed)
    pieces: list[dict[str, Any]] = []
    for _ in range(40):
        delta: dict[str, Any] = {"content": dice.choice(TEXTS)}
        if dice.random() < 0.2:
            delta = dice.choice(
                [
                    {**delta, "role": "assistant"},
                    {**delta, "refusal": dice.choice([None, "no"])},
                    {"reasoning_content": "hm"},
                    {"tool_calls": [{"index": 0, "function": {"arguments": "x"}}]},
                    {},
                ]
            )
        one = chunk(delta, dice.choice([0, 0, 0, 1]))
        if dice.random() < 0.1:
            one["system_fingerprint"] = dice.choice(["a", "b"])
        if seed % 2:
            one["obfuscation"] = "".join(dice.choices('ab"\\', (5, 5, 0.1, 0.1), k=dice.randrange(8)))
        if dice.random() < 0.1:
            one["choices"][0]["logprobs"] = {
                "content": [{"token": "a", "logprob": -1, "bytes": None, "top_logprobs": []}]
            }
        pieces.append(one)
    together(*pieces)


@pytest.mark.parametrize("padded", [False, True])
def test_most_texts_are_not_parsed_one_by_one(padded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    from_json = chunks.from_json

    def counting(raw: bytes) -> Any:
        parsed.append(raw)
        return from_json(raw)

    monkeypatch.setattr(chunks, "from_json", counting)
    whole = Assembly()
    pieces = [chunk({"content": f" {number} é"}) for number in range(100)]
    for number, piece in enumerate(pieces):
        if padded:
            piece["obfuscation"] = "x" * (number % 9)
    raw = [json.dumps(piece, ensure_ascii=False).encode() for piece in pieces]
    whole.read(raw[:1])
    whole.read(raw[1:70])
    whole.read(raw[70:])
    found = whole.completion()
    assert found is not None
    assert found["choices"][0]["message"]["content"] == "".join(f" {number} é" for number in range(100))
    assert "obfuscation" not in found
    assert len(parsed) == 2


def test_a_text_that_only_looks_like_the_padding_stays() -> None:
    said = ['a","obfuscation":"b', "c", '"', "d"]
    inner = chunk({"content": "x"})
    inner["service"] = {"obfuscation": "kept"}
    other = chunk({"content": "y"})
    other["service"] = {"obfuscation": "newer"}
    assert together(inner, other)["service"] == {"obfuscation": "newer"}
    pieces = [{**chunk({"content": text}), "obfuscation": "ab"} for text in ["x", *said]]
    assert message(*pieces)["content"] == "".join(["x", *said])


def test_what_is_no_json_is_refused() -> None:
    whole = Assembly()
    whole.read([json.dumps(chunk({"content": "a"})).encode()])
    with pytest.raises(ValueError):
        whole.read([b"{"])


ODD = [None, "x", 7, 1.5, True, [], {}, [None], ["x"], {"x": "y"}, {"content": 5}, [{"index": []}], [[]]]
NAMES = ["id", "index", "message", "delta", "content", "tool_calls", "function", "function_call", "type"]
NAMES += ["logprobs", "finish_reason", "choices", "usage", "name", "arguments", "role", "x"]


@pytest.mark.parametrize("seed", range(20))
def test_no_chunk_is_too_odd(seed: int) -> None:
    chance = random.Random(seed)

    def odd(depth: int) -> Any:
        if depth > 4 or chance.random() < 0.3:
            return chance.choice(ODD)
        if chance.random() < 0.3:
            return [odd(depth + 1) for _ in range(chance.randrange(3))]
        return {name: odd(depth + 1) for name in chance.sample(NAMES, chance.randrange(1, 6))}

    for _ in range(200):
        whole = Assembly()
        for _ in range(3):
            choices = [{"index": 0, "delta": odd(0), chance.choice(NAMES): odd(1)} for _ in range(2)]
            whole.read([json.dumps({"id": "c", "choices": choices}).encode()])
        found = whole.completion()
        assert found is not None and all(isinstance(one["message"], dict) for one in found["choices"])


@pytest.mark.parametrize("message", [None, "said"])
def test_a_message_beside_the_delta_that_is_none_changes_nothing(message: Any) -> None:
    whole = Assembly()
    for text in ("a", "b"):
        whole.add({"choices": [{"index": 0, "message": message, "delta": {"content": text}}]})
    found = whole.completion()
    assert found is not None and found["choices"][0]["message"]["content"] == "ab"
