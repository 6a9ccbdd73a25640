"""What a request's tools, messages and sampling fields come down to, without any model."""

import json
import re
from typing import Any

import pytest

from specstack_api.errors import InvalidToolChoice, InvalidValue, UnsupportedContent, UnsupportedParameter
from specstack_providers.inline.inference.llama_grammar import (
    PROBE,
    Function,
    calls_or_text_grammar,
    closed,
    json_grammar,
)
from specstack_providers.inline.inference.llama_messages import plain_messages, text_of
from specstack_providers.inline.inference.llama_sampling import limit_of, sampling, seeded
from specstack_providers.inline.inference.llama_tools import tools_of


def tool(name: str, **function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **function}}


AB = [tool("a", description="does a"), tool("b", parameters={"properties": {"n": {"type": "integer"}}})]


@pytest.mark.parametrize(
    ("choice", "mode", "names"),
    [
        (None, "auto", ["a", "b"]),
        ("auto", "auto", ["a", "b"]),
        ("none", "text", []),
        ("required", "calls", ["a", "b"]),
        ({"type": "function", "function": {"name": "b"}}, "calls", ["b"]),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [tool("b")]}}, "auto", ["b"]),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [tool("a")]}},
            "calls",
            ["a"],
        ),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}, "text", []),
    ],
)
def test_tool_choice(choice: Any, mode: str, names: list[str]) -> None:
    tools = tools_of({"tools": AB, "tool_choice": choice})
    assert tools.mode == mode
    assert [function.name for function in tools.functions] == names
    assert all(json.dumps(name) in tools.prompt() for name in names)
    assert tools.positions == tuple("ab".index(name) for name in names)


@pytest.mark.parametrize("choice", [None, "auto", "none"])
def test_no_tools(choice: Any) -> None:
    assert tools_of({"tool_choice": choice}).mode == "text"


@pytest.mark.parametrize(
    "choice",
    [
        "required",
        {"type": "function", "function": {"name": "z"}},
        {"type": "custom", "custom": {"name": "a"}},
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [tool("z")]}},
        {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "mcp"}]}},
        {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": []}},
    ],
)
def test_a_choice_of_no_tool(choice: Any) -> None:
    with pytest.raises(InvalidToolChoice):
        tools_of({"tools": [] if choice == "required" else AB, "tool_choice": choice})


def test_tools_that_cannot_be_offered() -> None:
    with pytest.raises(UnsupportedParameter):
        tools_of({"tools": [{"type": "custom", "custom": {"name": "x"}}]})
    with pytest.raises(InvalidValue, match="two tools"):
        tools_of({"tools": [AB[0], AB[0]]})


def test_several_calls_only_when_asked_for() -> None:
    assert not tools_of({"tools": AB}).several
    assert not tools_of({"tools": AB, "parallel_tool_calls": False}).several
    assert tools_of({"tools": AB, "parallel_tool_calls": True}).several


def test_schemas_are_closed_where_that_is_safe() -> None:
    assert closed({"properties": {"a": {}}}) == {
        "type": "object",
        "properties": {"a": {}},
        "additionalProperties": False,
    }
    for kept in ({"properties": {}, "additionalProperties": True}, {"$ref": "#/$defs/x", "properties": {}}):
        assert {**closed(kept), "type": "object"} == {**kept, "type": "object"}
    strict = tools_of({"tools": [tool("a", strict=True, parameters={"properties": {}})]}).functions[0]
    assert (strict.schema, strict.strict) == ({"properties": {}}, True)


def test_the_text_of_a_grammar_begins_like_no_call() -> None:
    grammar = calls_or_text_grammar([Function("get.it", {"type": "object"})], several=False)
    (text,) = [line for line in grammar.rules.splitlines() if line.startswith("TEXT:")]
    barred = re.compile(text.partition("& ~/")[2][:-1])
    for reply in ('{"name": "get.it"', '```json\n{"name":"x', ' <tool_call>\n{ "name" : "y'):
        assert barred.fullmatch(reply)
    for reply in ('{"names": 1', '{"title": "x"', 'Say {"name": "get.it"', "```python\nx"):
        assert not barred.fullmatch(reply)
    (head,) = [line for line in grammar.rules.splitlines() if line.startswith("HEAD_0:")]
    pattern = re.sub(r"\\x\{([0-9a-f]+)\}", lambda match: rf"\x{match[1]}", head.partition("/")[2][:-1])
    assert re.fullmatch(pattern, '{"name": "get.it", "arguments": ')
    assert not re.fullmatch(pattern, '{"name": "getxit", "arguments": ')


def test_a_probe_writes_a_mark_first() -> None:
    grammar = json_grammar({"type": "object", "x-guidance": {"lenient": True}}, strict=True)
    assert PROBE in grammar.probe()
    assert PROBE not in grammar.source()
    assert '"lenient": false' in grammar.source(), "the caller's own settings must not loosen it"


def test_messages_become_plain_ones() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "two"}]},
        {"role": "assistant", "content": None, "tool_calls": [call, {**call, "id": "2"}]},
        {"role": "tool", "tool_call_id": "2", "content": "second"},
        {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "first"}]},
        {"role": "assistant", "content": "Done.", "refusal": None},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    ]
    assert plain_messages(messages, system="TOOLS", examples=[{"role": "user", "content": "never"}]) == [
        {"role": "system", "content": "Be brief.\n\nTOOLS"},
        {
            "role": "user",
            "content": 'One\ntwo\nf({"x": 1}) returned: second\nf({"x": 1}) returned: first\n'
            "Answer with that, in plain words.",
        },
        {"role": "assistant", "content": "Done.\nNo."},
    ]


def test_the_older_form_of_calls() -> None:
    messages = [
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "x"},
    ]
    assert plain_messages(messages)[0]["content"].startswith("f({}) returned: x")


def test_examples_come_after_the_system_message() -> None:
    examples = tools_of({"tools": AB}).examples()
    plain = plain_messages([{"role": "user", "content": "Hi"}], system="S", examples=examples)
    assert [message["role"] for message in plain] == ["system", *["user", "assistant"] * 3, "user"]
    assert json.loads(plain[-2]["content"]) == {"name": "b", "arguments": {"n": 25}}
    assert plain[-1]["content"] == "Hi"


def test_what_is_no_text() -> None:
    with pytest.raises(UnsupportedContent) as caught:
        text_of([{"type": "text", "text": "a"}, {"type": "file", "file": {}}], "messages[3].content")
    assert caught.value.param == "messages[3].content[1]"
    with pytest.raises(UnsupportedContent) as caught:
        plain_messages([{"role": "assistant", "audio": {"id": "x"}}])
    assert caught.value.param == "messages[0].audio"
    with pytest.raises(InvalidValue) as caught:
        plain_messages([{"role": "tool", "tool_call_id": "9", "content": "x"}])
    assert caught.value.param == "messages[0].tool_call_id"


def sampled(**body: Any) -> dict[str, Any]:
    return sampling(body, {"temperature": 0.2}, vocabulary=100, context=64)


def test_sampling_fields() -> None:
    assert sampled() == {"temperature": 0.2}
    assert sampled(temperature=1.0, top_p=None) == {"temperature": 1.0}
    assert sampled(presence_penalty=1)["repeat_last_n"] == 64
    assert sampled(stop="a")["stop"] == ["a"]
    assert "stop" not in sampled(stop=["", ""])
    assert sampled(logit_bias={"7": -100})["logit_bias"] == [[7, -100]]
    for key in ("100", "-1", "x", "²"):
        with pytest.raises(InvalidValue):
            sampled(logit_bias={key: 1})


@pytest.mark.parametrize("seed", [0, 1, -1, -(2**63) + 1, 2**63 - 1, 5.0])
def test_seeds_fit_and_choices_differ(seed: Any) -> None:
    fields = sampled(seed=seed)
    seeds = {seeded(fields, choice)["seed"] for choice in range(4)}
    assert len(seeds) == 4
    assert all(0 <= each < 2**32 - 1 for each in seeds)
    assert sampled(seed=seed) == fields


def test_limits() -> None:
    assert (
        limit_of({"max_tokens": 5.0, "max_completion_tokens": None}, "max_completion_tokens", "max_tokens")
        == 5
    )
    assert limit_of({}, "max_tokens") is None
    with pytest.raises(InvalidValue):
        limit_of({"max_tokens": -2}, "max_tokens")
