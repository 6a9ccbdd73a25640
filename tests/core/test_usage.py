"""Token counts out of a reply's bytes."""

import json

import pytest

from specstack.descriptors import UsageSpec
from specstack.usage import Tokens, UsageReader

CHAT = UsageReader(UsageSpec(input=("usage", "in"), output=("usage", "out")))
EMBED = UsageReader(UsageSpec(input=("usage", "in")))
FLAT = UsageReader(UsageSpec(input=("tokens",)))


@pytest.mark.parametrize(
    ("reader", "reply", "tokens"),
    [
        (CHAT, {"text": "a", "usage": {"in": 3, "out": 5}}, Tokens(3, 5)),
        (CHAT, {"usage": {"details": {"in": 1}, "out": 5, "in": 3}, "text": "é" * 99}, Tokens(3, 5)),
        (CHAT, {"usage": {"in": 3, "out": None}}, Tokens(3, 0)),
        (EMBED, {"data": [1.5] * 99, "usage": {"in": 3}}, Tokens(3, 0)),
        (FLAT, {"tokens": 7}, Tokens(7, 0)),
        (CHAT, {"text": '"usage": {"in": 9, "out": 9}', "usage": {"in": 3, "out": 5}}, Tokens(3, 5)),
        (CHAT, {"usage": {"in": 3, "out": 5}, "text": '"usage": {"in": 9, "out": 9}'}, Tokens(3, 5)),
        (CHAT, {"text": "usage", "usage": None}, None),
        (CHAT, {"usage": {"in": "3"}}, None),
        (CHAT, {"usage": {"in": True}}, None),
        (CHAT, {"usage": [3]}, None),
        (CHAT, {"text": "none"}, None),
    ],
)
def test_counts(reader, reply, tokens):
    assert reader.read(json.dumps(reply).encode()) == tokens
    assert reader.read(json.dumps(reply, separators=(",", ":"), ensure_ascii=False).encode()) == tokens
    assert reader.read(json.dumps(reply, indent=2).encode()) == tokens


def test_bytes_that_are_no_json_have_none():
    assert CHAT.read(b'{"usage": {"in": 3') is None
    assert CHAT.read(b"") is None
