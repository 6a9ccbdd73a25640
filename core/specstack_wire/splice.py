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
    start, end = rb"(?<!\\)", rb"\s*:"
    return re.compile(start + plain + end), re.compile(start + b'"' + spelled.encode() + b'"' + end)


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


def _top_level_values(raw: bytes, key: re.Pattern[bytes]) -> list[int]:
    """Offsets just after the colon of every top-level key that matches; none when there are very many."""
    ends = [(found.start(), found.end()) for found in islice(key.finditer(raw), _MANY)]
    return [] if len(ends) == _MANY else [end for start, end in ends if _depth_before(raw, start) == 1]


def splice_string(raw: bytes, field: str, value: str) -> bytes | None:
    """`raw` with its one top-level string `field` set to `value`.

    None when `raw` has not exactly one such top-level key or its value is no string: the caller
    then parses. Escaped spellings of the key count, so that no reader can see another value.
    """
    plain, spelled = _key_patterns(field)
    pattern = spelled if b"\\u" in raw else plain
    found = pattern.search(raw)
    if found is None:
        return None
    if pattern.search(raw, found.end()) is None:
        offsets = [found.end()] if _is_top_level(raw, found.start()) else []
    else:
        offsets = _top_level_values(raw, pattern)
    if len(offsets) != 1:
        return None
    old = _STRING.match(raw, offsets[0])
    if old is None:
        return None
    return raw[: old.start(1)] + json.dumps(value).encode() + raw[old.end(1) :]
