"""Changing one top-level string of a JSON object without parsing it."""

import json
import re
from functools import cache
from itertools import islice

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)
_STRING = re.compile(rb'\s*("(?:[^"\\]|\\.)*")', re.DOTALL)
_MANY = 16


@cache
def _key_patterns(field: str) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """Finds the key as it is, and in any spelling: JSON lets every character be written as an escape."""
    plain = re.escape(json.dumps(field)).encode()
    spelled = "".join(f"(?:{re.escape(json.dumps(char)[1:-1])}|\\\\u(?i:{ord(char):04x}))" for char in field)
    colon = rb"\s*:"
    return re.compile(plain + colon), re.compile(b'"' + spelled.encode() + b'"' + colon)


def _is_top_level(raw: bytes, end: int) -> bool:
    alone = raw.count(b"{", 0, end) == 1 and raw.find(b"[", 0, end) < 0 and raw.find(b"}", 0, end) < 0
    return (alone and raw.startswith(b"{")) or _depth_before(raw, end) == 1


def _depth_before(raw: bytes, end: int) -> int:
    depth = 0
    for match in _TOKEN.finditer(raw, 0, end):
        token = match[0]
        if token in (b"{", b"["):
            depth += 1
        elif token in (b"}", b"]"):
            depth -= 1
    return depth


def _keys(raw: bytes, key: re.Pattern[bytes]) -> list[tuple[int, int]]:
    """Where the key stands, at any depth: offsets of its quote and just after its colon, at most `_MANY`.

    A quote after a backslash is part of a string. Looking for that here keeps the search literal.
    """
    found = (match.span() for match in key.finditer(raw))
    return list(islice(((start, end) for start, end in found if raw[start - 1 : start] != b"\\"), _MANY))


def splice_string(raw: bytes, field: str, value: str) -> bytes | None:
    """`raw` with its one top-level string `field` set to `value`.

    None when `raw` has not exactly one such top-level key or its value is no string: the caller
    then parses. Escaped spellings of the key count, so that no reader can see another value.
    """
    plain, spelled = _key_patterns(field)
    pattern = spelled if b"\\u" in raw else plain
    keys = _keys(raw, pattern)
    if len(keys) == _MANY:
        return None
    offsets = [end for start, end in keys if _is_top_level(raw, start)]
    if len(offsets) != 1:
        return None
    old = _STRING.match(raw, offsets[0])
    if old is None:
        return None
    return raw[: old.start(1)] + json.dumps(value).encode() + raw[old.end(1) :]
