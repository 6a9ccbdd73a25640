"""Reads what a model writes, as it comes, as text or as function calls."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

_ARGUMENTS = re.compile(r'\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\S)')
_SPACE = re.compile(r"\s*")
_FENCES = ("```json", "```")
_TAG = ("<tool_call>",)


@dataclass(frozen=True, slots=True)
class Text:
    """More of the reply's text."""

    text: str


@dataclass(frozen=True, slots=True)
class CallStart:
    """A call of a function begins. `index` counts the calls of a reply."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    """More of a call's arguments, as JSON text."""

    index: int
    text: str


Piece = Text | CallStart | CallArguments


class ReplyReader:
    """Cuts a reply into pieces. Text is handed on at once as soon as it cannot be a call any more.

    `text_allowed=False` is for replies that the grammar holds to calls: what is no call is no text then.
    """

    def __init__(self, names: Sequence[str], *, text_allowed: bool) -> None:
        self._quoted = tuple(json.dumps(name) for name in names)
        self._text_allowed = text_allowed
        self._state: Literal["start", "text", "name", "arguments", "after"] = "start"
        self._buffer = ""
        self._calls = 0
        self._value = _ValueEnd()

    @property
    def calls(self) -> int:
        """Calls begun so far."""
        return self._calls

    @property
    def undecided(self) -> bool:
        """Whether everything so far is held back, since it may become text or a call."""
        return self._state == "start"

    @property
    def complete(self) -> bool:
        """Whether the reply may end here: in text, or after a whole call."""
        return self._state in ("text", "after") or (self._state == "start" and self._text_allowed)

    def feed(self, text: str) -> list[Piece]:
        """The pieces that `text` completes."""
        self._buffer += text
        pieces: list[Piece] = []
        while self._buffer and self._step(pieces):
            pass
        return pieces

    def end(self) -> list[Piece]:
        """What was held back and turned out to be text."""
        if self._state == "start" and self._text_allowed and self._buffer:
            self._state = "text"
            return [Text(self._taken())]
        return []

    def _step(self, pieces: list[Piece]) -> bool:
        """Does what can be done with the buffer. False when it takes more text."""
        match self._state:
            case "text":
                pieces.append(Text(self._taken()))
                return False
            case "start" | "after":
                return self._read_head()
            case "name":
                return self._read_name(pieces)
            case "arguments":
                return self._read_arguments(pieces)

    def _taken(self) -> str:
        text, self._buffer = self._buffer, ""
        return text

    def _read_head(self) -> bool:
        """Decides between call and text."""
        found = _head(self._buffer, self._quoted)
        if found == "more":
            return False
        if found != "text":
            self._buffer = self._buffer[found:]
            self._state = "name"
            return True
        if self._state == "start" and self._text_allowed:
            self._state = "text"
            return True
        # The rest of a fence or tag, or what follows the last call: nothing of it is the reply.
        self._buffer = self._buffer[1:]
        return True

    def _read_name(self, pieces: list[Piece]) -> bool:
        quoted = next(name for name in self._quoted if self._buffer.startswith(name))
        match = _ARGUMENTS.match(self._buffer, len(quoted))
        if match is None:
            return False
        pieces.append(CallStart(self._calls, json.loads(quoted)))
        self._calls += 1
        self._buffer = self._buffer[match.end() :]
        self._value = _ValueEnd()
        self._state = "arguments"
        return True

    def _read_arguments(self, pieces: list[Piece]) -> bool:
        end = self._value.find(self._buffer)
        text = self._buffer[:end]
        if text:
            pieces.append(CallArguments(self._calls - 1, text))
        self._buffer = self._buffer[len(text) :]
        if end is None:
            return False
        self._state = "after"
        return True


class _ValueEnd:
    """Finds where a JSON value ends, over several pieces of text."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._begun = False

    def find(self, text: str) -> int | None:
        """The index after the value's last character, None when `text` ends within it."""
        for index, char in enumerate(text):
            if self._in_string:
                if self._escaped:
                    self._escaped = False
                elif char == "\\":
                    self._escaped = True
                elif char == '"':
                    self._in_string = False
                    if not self._depth:
                        return index + 1
            elif char == '"':
                self._in_string = True
            elif char in "{[":
                self._depth += 1
            elif char in "}]" and self._depth:
                self._depth -= 1
                if not self._depth:
                    return index + 1
            elif self._begun and not self._depth and (char in "},]" or char.isspace()):
                return index
            self._begun = True
        return None


def _head(text: str, quoted: Sequence[str]) -> int | Literal["text", "more"]:
    """Where the function's quoted name stands when `text` begins as a call; "more" while that is open."""
    position = 0
    steps = (
        (_FENCES, True),
        (_TAG, True),
        (("{",), False),
        (('"name"',), False),
        ((":",), False),
        (quoted, False),
    )
    for literals, optional in steps:
        position = _SPACE.match(text, position).end()  # type: ignore[union-attr]
        rest = text[position:]
        if any(literal.startswith(rest) and literal != rest for literal in literals):
            return "more"
        hit = next((literal for literal in literals if rest.startswith(literal)), None)
        if hit is not None:
            if literals is quoted:
                return position
            position += len(hit)
        elif not optional:
            return "text"
    return "more"
