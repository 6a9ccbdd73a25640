"""Changing one top-level string of a JSON object without parsing it."""

import json
import re
from functools import cache

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]:]', re.DOTALL)
_STRING = re.compile(rb'\s*("(?:[^"\\]|\\.)*")', re.DOTALL)


@cache
def _key_pattern(field: str) -> re.Pattern[bytes]:
    return re.compile(rb"(?<!\\)" + re.escape(json.dumps(field).encode()) + rb"\s*:")


def _depth_before(raw: bytes, end: int) -> int:
    depth = 0
    for match in _TOKEN.finditer(raw, 0, end):
        token = match[0]
        if token in (b"{", b"["):
            depth += 1
        elif token in (b"}", b"]"):
            depth -= 1
    return depth


def _top_level_values(raw: bytes, field: str) -> list[int]:
    """Offsets just after the colon of every top-level key that means `field`, escapes included."""
    offsets: list[int] = []
    depth, previous = 0, b""
    for match in _TOKEN.finditer(raw):
        token = match[0]
        if token in (b"{", b"["):
            depth += 1
        elif token in (b"}", b"]"):
            depth -= 1
        elif token == b":" and depth == 1 and previous[:1] == b'"' and json.loads(previous) == field:
            offsets.append(match.end())
        previous = token
    return offsets


def splice_string(raw: bytes, field: str, value: str) -> bytes | None:
    """`raw` with its one top-level string `field` set to `value`.

    None when `raw` has not exactly one such top-level key or its value is no string: the caller
    then parses. Escaped spellings of the key count, so that no reader can see another value.
    """
    candidates = [match.end() for match in _key_pattern(field).finditer(raw)]
    if len(candidates) == 1 and b"\\u" not in raw:
        offsets = candidates if _depth_before(raw, candidates[0]) == 1 else []
    else:
        try:
            offsets = _top_level_values(raw, field)
        except ValueError:
            return None
    if len(offsets) != 1:
        return None
    found = _STRING.match(raw, offsets[0])
    if found is None:
        return None
    return raw[: found.start(1)] + json.dumps(value).encode() + raw[found.end(1) :]
