"""Changing one top-level string without a parse: same meaning for every reader, or refused."""

import json

import pytest

from specstack_wire.splice import splice_string


@pytest.mark.parametrize(
    "raw",
    [
        '{"model":"a"}',
        '{"model": "a", "n": 1}',
        '{\n  "messages": [{"role": "user", "content": "say \\"model\\": \\"x\\""}],\n  "model"\t:\t"a"\n}',
        '{"tools":[{"function":{"parameters":{"properties":{"model":{"type":"string"}}}}}],"model":"a"}',
        '{"model":"a\\"b\\\\","x":"}{]["}',
        '{"model":"\\u00e9","text":"caf\\u00e9"}',
        '{"x":{"model":"inner"},"model":"a","y":[{"model":"inner"}]}',
    ],
)
def test_the_value_is_replaced_and_nothing_else(raw: str) -> None:
    spliced = splice_string(raw.encode(), "model", 'new "id"/é')
    assert spliced is not None
    assert json.loads(spliced) == {**json.loads(raw), "model": 'new "id"/é'}


@pytest.mark.parametrize(
    "raw",
    [
        '{"model":"a","model":"b"}',
        '{"model":"a","mod\\u0065l":"b"}',
        '{"mod\\u0065l":"a","model":"b"}',
        '{"x":{"model":"inner"}}',
        '{"model":null}',
        '{"model":{"model":"a"}}',
        '["model","a"]',
        '{"other":"a"}',
        '{"bad\\uZZZZ":1,"model":"a","model":"b"}',
        "",
    ],
)
def test_what_is_not_exactly_one_top_level_string_is_left_to_the_parser(raw: str) -> None:
    assert splice_string(raw.encode(), "model", "new") is None


def test_an_escaped_spelling_alone_is_found() -> None:
    spliced = splice_string(b'{"mod\\u0065l":"a"}', "model", "b")
    assert spliced is not None and json.loads(spliced) == {"model": "b"}
