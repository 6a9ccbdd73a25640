"""A streamed chat completion put together again, with what providers really send."""

from typing import Any

from specstack.services.stored_completions.chunks import Assembly
from specstack_api.models.inference import CreateChatCompletionResponse
from support import loopback_replies as replies

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "m"}


def chunk(delta: dict[str, Any], index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": index, "delta": delta, "finish_reason": finish, **more}]}


def together(*chunks: Any) -> dict[str, Any]:
    whole = Assembly()
    for one in chunks:
        whole.add(one)
    found = whole.completion()
    assert found is not None
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
    token = {"token": "a", "logprob": -1, "bytes": None, "top_logprobs": []}
    found = together(
        chunk({"content": "a"}, logprobs={"content": [token], "refusal": None}),
        chunk({"content": "a"}, logprobs={"content": [token]}),
        chunk({}, finish="stop", logprobs=None),
    )
    assert found["choices"][0]["logprobs"] == {"content": [token, token], "refusal": None}


def test_without_a_chunk_there_is_nothing() -> None:
    assert Assembly().completion() is None
