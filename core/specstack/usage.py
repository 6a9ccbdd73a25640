"""How many tokens a call took, read from its reply's bytes without parsing the rest."""

import json
import re
from typing import Any, NamedTuple, cast

from specstack.descriptors import UsageSpec

_decode = json.JSONDecoder().raw_decode
_LONGEST = 16384
"""Bytes in which the counts must end after the key that begins them."""


class Tokens(NamedTuple):
    """The tokens that went in and came out."""

    input: int
    output: int


class UsageReader:
    """Finds the token counts that an operation's replies or events hold, where its spec says.

    Bytes without `hint` in them hold none, which is quicker to see than to read.
    """

    __slots__ = ("_begin", "_spec", "hint")

    def __init__(self, spec: UsageSpec) -> None:
        self._spec = spec
        self.hint = b'"' + spec.input[0].encode() + b'"'
        # Inside of a string the quotes have a backslash before them, so only a key looks like this.
        self._begin = re.compile(b'"' + re.escape(spec.input[0].encode()) + rb'"\s*:\s*')

    def read(self, raw: bytes) -> Tokens | None:
        """The counts in a JSON reply or event; None where it has none."""
        for found in reversed([*self._begin.finditer(raw)]):
            tail = raw[found.end() : found.end() + _LONGEST].decode("utf-8", "replace")
            try:
                value, _ = _decode(tail)
            except ValueError:
                continue
            tokens = self._tokens(value)
            if tokens is not None:
                return tokens
        return None

    def _tokens(self, value: Any) -> Tokens | None:
        came_in = _at(value, self._spec.input[1:])
        if came_in is None:
            return None
        # A lint rule keeps both counts in one field.
        out = _at(value, self._spec.output[1:]) if self._spec.output else None
        return Tokens(came_in, out or 0)


def _at(value: Any, way: tuple[str, ...]) -> int | None:
    for name in way:
        if not isinstance(value, dict):
            return None
        value = cast("dict[str, Any]", value).get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
