"""What a model writes, cut anywhere, comes out as the same text and calls."""

import pytest

from specstack_providers.inline.inference.llama_calls import CallArguments, CallStart, ReplyReader, Text

NAMES = ("get_weather", "add", "add_more", 'odd"name')

CALL = '{"name": "get_weather", "arguments": {"city": "Pa\\"}ris", "days": [1, {"a": "]"}]}}'
CALL_ARGUMENTS = '{"city": "Pa\\"}ris", "days": [1, {"a": "]"}]}'


def read(parts: list[str], *, text_allowed: bool = True) -> tuple[str, list[tuple[str, str]], bool]:
    reader = ReplyReader(NAMES, text_allowed=text_allowed)
    pieces = [piece for part in parts for piece in reader.feed(part)] + reader.end()
    calls: list[tuple[str, str]] = []
    text = ""
    for piece in pieces:
        if isinstance(piece, Text):
            text += piece.text
        elif isinstance(piece, CallStart):
            assert piece.index == len(calls)
            calls.append((piece.name, ""))
        elif isinstance(piece, CallArguments):
            name, arguments = calls[piece.index]
            calls[piece.index] = (name, arguments + piece.text)
    assert reader.calls == len(calls)
    return text, calls, reader.complete


CASES = {
    "": ("", []),
    "Hello {world}.": ("Hello {world}.", []),
    "  Hi": ("  Hi", []),
    "{": ("{", []),
    '{"nam': ('{"nam', []),
    '{"names": 1}': ('{"names": 1}', []),
    '{"name": "unknown", "arguments": {}}': ('{"name": "unknown", "arguments": {}}', []),
    "```python\nprint()\n```": ("```python\nprint()\n```", []),
    "```": ("```", []),
    "<tool_cake>": ("<tool_cake>", []),
    CALL: ("", [("get_weather", CALL_ARGUMENTS)]),
    f"```json\n{CALL}\n```": ("", [("get_weather", CALL_ARGUMENTS)]),
    f"<tool_call>\n{CALL}\n</tool_call>": ("", [("get_weather", CALL_ARGUMENTS)]),
    '\n{ "name" : "add" , "parameters" : {} }': ("", [("add", "{}")]),
    '{"name": "add_more", "arguments": 12}': ("", [("add_more", "12")]),
    '{"name": "add", "arguments": "x}"}': ("", [("add", '"x}"')]),
    '{"name": "odd\\"name", "arguments": {"a": {}}}': ("", [('odd"name', '{"a": {}}')]),
    f'{CALL}\n{{"name": "add", "arguments": {{}}}}': ("", [("get_weather", CALL_ARGUMENTS), ("add", "{}")]),
}


@pytest.mark.parametrize("reply", CASES, ids=lambda reply: repr(reply[:30]))
def test_wherever_it_is_cut(reply: str) -> None:
    text, calls = CASES[reply]
    assert read([reply]) == (text, calls, True)
    assert read(list(reply)) == (text, calls, True)
    for cut in range(1, len(reply)):
        assert read([reply[:cut], reply[cut:]]) == (text, calls, True), cut


def test_text_is_not_held_back_once_it_cannot_be_a_call() -> None:
    reader = ReplyReader(NAMES, text_allowed=True)
    assert reader.feed('{"') == []
    assert reader.undecided
    assert reader.feed("answer") == [Text('{"answer')]
    assert reader.feed(" 4") == [Text(" 4")]
    assert not reader.undecided


@pytest.mark.parametrize("end", range(1, len(CALL) - 2))
def test_half_a_call_is_not_complete(end: int) -> None:
    text, calls, complete = read([CALL[:end]], text_allowed=False)
    assert not complete
    assert text == ""
    assert len(calls) <= 1


def test_where_only_calls_may_stand_nothing_else_counts() -> None:
    assert read(["Hello!"], text_allowed=False) == ("", [], False)
