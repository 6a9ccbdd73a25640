"""Changing one top-level string of a JSON object without parsing it."""

import json
import re
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import islice

_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_STRING = re.compile(rb'\s*("(?:[^"\\]|\\.)*")', re.DOTALL)
_SCALAR = re.compile(rb'\s*([^\s"{\[,\]}]+)')
_TEXT_OR_BRACKET = re.compile(_TEXT.pattern + rb"|[{}\[\]]", re.DOTALL)
_DEEPER = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}
_MANY = 16
_SHORT = 256
_LARGE = 2500
# As numbers: `in` takes a fraction of the time for one byte than for bytes, which it tries as a number first.
_BACKSLASH, _LF, _CR = b"\\\n\r"


class _Key:
    """How a field's key is looked for: as it is, and in any spelling, for JSON lets every character be
    written as an escape. `hints` are the beginnings of all escapes that could stand in the key."""

    __slots__ = ("hints", "plain", "quoted", "spelled")

    def __init__(self, field: str) -> None:
        self.quoted = json.dumps(field, ensure_ascii=False).encode()
        spelled = "".join(map(_spellings, field))
        colon = rb"\s*:"
        self.plain = re.compile(re.escape(self.quoted) + colon)
        self.spelled = re.compile(b'"' + spelled.encode() + b'"' + colon)
        self.hints = tuple({f"\\u00{ord(char) >> 4:x}".encode() for char in field if ord(char) < 128})
        if not field.isascii() or any(char in '"\\/' or not char.isprintable() for char in field):
            self.hints = (b"\\",)

    def may_be_spelled(self, raw: bytes) -> bool:
        """Whether some escape in `raw`, which has any, may be part of the key."""
        return any(raw.find(hint) >= 0 for hint in self.hints)


def _spellings(char: str) -> str:
    """A pattern of all ways in which JSON may write a character."""
    units = char.encode("utf-16-be")
    escape = "".join(rf"\\u(?i:{units[at : at + 2].hex()})" for at in range(0, len(units), 2))
    short = r"|\\/" if char == "/" else ""
    return f"(?:{re.escape(json.dumps(char, ensure_ascii=False)[1:-1])}|{escape}{short})"


@cache
def key_of(field: str) -> _Key:
    """What is known of a field's key. Fields are names of the spec: there are few."""
    return _Key(field)


@lru_cache(maxsize=512)
def _quoted(value: str) -> bytes:
    return json.dumps(value).encode()


def quoted(value: str) -> bytes:
    """A string as JSON. Ids come again and again."""
    return _quoted(value) if len(value) <= _SHORT else json.dumps(value).encode()


def _is_top_level(raw: bytes, start: int) -> bool:
    alone = raw.find(b"{", 1, start) < 0 and raw.find(b"[", 1, start) < 0 and raw.find(b"}", 1, start) < 0
    if alone and raw.startswith(b"{"):
        return True
    # From the key it is often nearer to the end: a list of embeddings stands before the model's name.
    if len(raw) - start < start:
        return _depth(raw, start, len(raw)) == -1
    return _depth(raw, 0, start) == 1


def _depth(raw: bytes, start: int, end: int) -> int:
    """By how much a piece of JSON that does not begin within a string goes deeper."""
    piece = raw[start:end]
    outside = _TEXT.sub(b"", piece) if _BACKSLASH in piece else b"".join(piece.split(b'"')[::2])
    return outside.count(b"{") + outside.count(b"[") - outside.count(b"}") - outside.count(b"]")


def _keys(raw: bytes, key: re.Pattern[bytes]) -> Iterator[tuple[int, int]]:
    """Where the key stands, at any depth: offsets of its quote and just after its colon.

    A quote after a backslash is part of a string. Looking for that here keeps the search literal.
    """
    found = (match.span() for match in key.finditer(raw))
    return ((start, end) for start, end in found if raw[start - 1 : start] != b"\\")


def _top_level(raw: bytes, key: re.Pattern[bytes]) -> list[int]:
    """Offsets just after the colon of every top-level key, however many there are further in.

    A key begins outside any string, so that the depth can be counted from each one to the next:
    every byte is looked at once.
    """
    offsets: list[int] = []
    depth = before = 0
    for start, end in _keys(raw, key):
        depth += _depth(raw, before, start)
        before = start
        if depth == 1:
            offsets.append(end)
    return offsets


def find_string(raw: bytes, field: str) -> tuple[int, int] | None:
    """Where the value of the one top-level string `field` stands in `raw`, quotes included.

    None when `raw` has not exactly one such top-level key or its value is no string: the caller
    then decides. Escaped spellings of the key count, so that no reader can see another value.
    """
    key = key_of(field)
    if _BACKSLASH not in raw or raw.find(b"\\u") < 0 or not key.may_be_spelled(raw):
        found = _only(raw, key.quoted)
        if found is not None:
            return found
        pattern = key.plain
    else:
        pattern = key.spelled
    keys = list(islice(_keys(raw, pattern), _MANY))
    if len(keys) == _MANY:
        offsets = _top_level(raw, pattern)
    else:
        offsets = [end for start, end in keys if _is_top_level(raw, start)]
    if len(offsets) != 1:
        return None
    old = _STRING.match(raw, offsets[0])
    return None if old is None else old.span(1)


def _only(raw: bytes, quoted_key: bytes) -> tuple[int, int] | None:
    """The value's place in the usual case: the key occurs once, even as a text, and the value is plain."""
    # The interpreter searches large data forwards in another way, four times slower than backwards.
    large = len(raw) >= _LARGE
    start = raw.rfind(quoted_key) if large else raw.find(quoted_key)
    end = start + len(quoted_key)
    if start < 1 or raw[start - 1] == _BACKSLASH:
        return None
    if (raw.rfind(quoted_key, 0, start) if large else raw.find(quoted_key, end)) >= 0:
        return None
    begin = raw.find(b'"', end)
    if begin < 0 or raw[end:begin].strip() != b":" or not _is_top_level(raw, start):
        return None
    close = raw.find(b'"', begin + 1)
    if close < 0 or raw.find(b"\\", begin, close) >= 0:
        return None
    return begin, close + 1


def splice_string(raw: bytes, field: str, value: str) -> bytes | None:
    """`raw` with its one top-level string `field` set to `value`; None where `find_string` finds none."""
    place = find_string(raw, field)
    return None if place is None else b"".join((raw[: place[0]], quoted(value), raw[place[1] :]))


def splice_every(raw: bytes, field: str, value: str) -> bytes | None:
    """`raw`, which must be JSON, with every top-level value of `field` set to `value`; None if there is none.

    For what `splice_string` leaves alone: a field that is given more than once, or is no string. As all
    of them get the same value, it does not matter which one a reader takes.
    """
    offsets = _top_level(raw, key_of(field).spelled)
    if not offsets:
        return None
    parts: list[bytes] = []
    done = 0
    for offset in offsets:
        start, end = _value(raw, offset)
        parts += (raw[done:start], quoted(value))
        done = end
    return b"".join((*parts, raw[done:]))


def _value(raw: bytes, offset: int) -> tuple[int, int]:
    """Where the value of any kind stands that begins at `offset` or after white space."""
    scalar = _SCALAR.match(raw, offset)
    if scalar is not None:
        return scalar.span(1)
    start = end = offset
    depth = 0
    for match in _TEXT_OR_BRACKET.finditer(raw, offset):
        start = start if depth else match.start()
        end = match.end()
        depth += _DEEPER.get(match[0], 0)
        if depth == 0:
            break
    return start, end


class Splicer:
    """Sets one field in many objects that begin alike, such as the events of a stream.

    `before` is how they begin, up to the field's value and with it; b"" as long as that is not known.
    """

    __slots__ = ("_after", "_key", "_quoted", "before", "field", "value")

    def __init__(self, field: str, value: str) -> None:
        self.field = field
        self.value = value
        self._key = key_of(field)
        self._quoted = quoted(value)
        self.before = self._after = b""

    def splice(self, raw: bytes) -> bytes | None:
        """What `splice_string` gives, found at once where `raw` begins as the one before did."""
        before = self.before
        # The beginning holds the one key and its whole value; the rest must not have the key again.
        if before and raw.startswith(before):
            rest = raw[len(before) :]
            if self._lacks_key(rest):
                return self._after + rest
        place = find_string(raw, self.field)
        if place is None:
            return None
        self.before = raw[: place[1]]
        self._after = raw[: place[0]] + self._quoted
        return self._after + raw[place[1] :]

    def splice_each(self, raws: list[bytes], start: bytes, end: bytes) -> bytes | None:
        """Many objects at once, which begin with `start` and then as the one before did, each with `end`
        behind. None where one has the key again, or a line break."""
        known = len(start) + len(self.before)
        tails = [raw[known:] for raw in raws]
        rest = b"".join(tails)
        if _LF in rest or _CR in rest or not self._lacks_key(rest):
            return None
        head = start + self._after
        return b"".join((head, (end + head).join(tails), end))

    def _lacks_key(self, rest: bytes) -> bool:
        key = self._key
        return rest.find(key.quoted) < 0 and not (
            _BACKSLASH in rest and rest.find(b"\\u") >= 0 and key.may_be_spelled(rest)
        )
