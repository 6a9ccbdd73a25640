"""A streamed chat completion put together from its chunks."""

import re
from collections.abc import Mapping
from typing import Any, cast

from pydantic_core import from_json

Json = dict[str, Any]

_CONTENT = re.compile(rb'"content"\s*:\s*"')
_TEXT = re.compile(rb'(?:[^"\\]|\\.)*+', re.DOTALL)
"""What stands between the quotes of a JSON text."""

_WHOLE = frozenset({"id", "type", "role", "name", "index", "object", "expires_at", "finish_reason"})
"""Fields that come whole; of several the last counts. Other texts come in pieces."""
_OF_CHUNKS = frozenset({"object", "choices", "obfuscation"})
"""Fields of a chunk that the whole answer does not take from it."""


class Assembly:
    """The answer as far as its chunks have come. `read` each (or `add` parsed ones), then take `completion`.

    Fields that OpenAI does not have are kept too: texts are joined, lists too, of others the last counts.
    """

    def __init__(self) -> None:
        self._fields: Json = {}
        self._choices: dict[int, Json] = {}
        # Most chunks are the one before with another text: what stands around it, whose it is, and the texts.
        self._around: tuple[bytes, bytes] | None = None
        self._speaker: Json = {}
        self._texts: list[bytes] = []

    def read(self, raw: bytes) -> None:
        """Take in a chunk as JSON. Raises ValueError for what is none."""
        if self._around is not None:
            before, after = self._around
            if raw.startswith(before) and raw.endswith(after, len(before)):
                text = raw[len(before) : len(raw) - len(after)]
                if _TEXT.fullmatch(text):
                    self._texts.append(text)
                    return
        self._join()
        chunk = from_json(raw)
        self.add(chunk)
        self._learn(raw, chunk)

    def _join(self) -> None:
        """Put the texts that were not parsed one by one behind what their speaker has said."""
        if self._texts:
            self._speaker["content"] += from_json(b'"' + b"".join(self._texts) + b'"')
            self._texts = []
        self._around = None

    def _learn(self, raw: bytes, chunk: Any) -> None:
        """See whether the next chunk may be this one with another text.

        That holds for one that says a text and nothing else that grows: taking it in again with another text
        changes the text alone.
        """
        choices = cast(Json, chunk).get("choices") if isinstance(chunk, dict) else None
        if not isinstance(choices, list) or len(cast("list[Any]", choices)) != 1:
            return
        choice = cast("list[Any]", choices)[0]
        delta = cast(Json, choice).get("delta") if isinstance(choice, dict) else None
        if not isinstance(delta, dict) or not isinstance(cast(Json, delta).get("content"), str):
            return
        others = [value for name, value in cast(Json, delta).items() if name not in ("content", "role")]
        rest = [value for name, value in cast(Json, choice).items() if name != "delta"]
        keys = [*_CONTENT.finditer(raw)]
        if any(one is not None for one in others) or any(isinstance(one, dict | list) for one in rest):
            return
        if len(keys) == 1:
            begin = keys[0].end()
            text = _TEXT.match(raw, begin)
            self._speaker = self._choices[_number(cast(Json, choice))]["message"]
            self._around = (raw[:begin], raw[text.end() :]) if text is not None else None

    def add(self, chunk: Any) -> None:
        """Take in a chunk; what is no chunk is passed over."""
        if not isinstance(chunk, dict):
            return
        fields = cast(Json, chunk)
        for name, value in fields.items():
            if name not in _OF_CHUNKS and (value is not None or name not in self._fields):
                self._fields[name] = value
        choices = fields.get("choices")
        for choice in cast("list[Any]", choices) if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._add_choice(cast(Json, choice))

    def _add_choice(self, piece: Json) -> None:
        number = _number(piece)
        choice = self._choices.setdefault(number, {"index": number})
        for name, value in piece.items():
            if name == "delta":
                if isinstance(value, dict):
                    _grow(choice.setdefault("message", {}), cast(Json, value))
            elif isinstance(value, dict) and isinstance(choice.get(name), dict):
                _grow(choice[name], cast(Json, value))
            elif value is not None or name not in choice:
                choice[name] = value

    def completion(self) -> Json | None:
        """The whole `chat.completion`; None if there was no chunk. What none told gets a fitting value."""
        self._join()
        if not self._fields and not self._choices:
            return None
        choices = [_finished(choice) for _, choice in sorted(self._choices.items())]
        found = {**self._fields, "object": "chat.completion", "choices": choices}
        if found.get("usage") is None:
            found.pop("usage", None)
        return found


def _number(choice: Json) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else 0


def _grow(into: Json, piece: Mapping[str, Any]) -> None:
    """Put the next piece of an object behind what is there."""
    for name, value in piece.items():
        before = into.get(name)
        if value is None:
            into.setdefault(name, None)
        elif name in _WHOLE:
            # A later piece of a call may repeat its id or name, or send it empty.
            into[name] = value if value != "" else (before or "")
        elif before is None:
            into[name] = _copied(value)
        elif isinstance(before, str) and isinstance(value, str):
            into[name] = before + value
        elif isinstance(before, dict) and isinstance(value, dict):
            _grow(cast(Json, before), cast(Json, value))
        elif isinstance(before, list) and isinstance(value, list):
            _append(cast("list[Any]", before), cast("list[Any]", value))
        else:
            into[name] = value


def _copied(value: Any) -> Any:
    """A list that can grow, its items merged where one piece holds several of the same item."""
    if not isinstance(value, list):
        return value
    found: list[Any] = []
    _append(found, cast("list[Any]", value))
    return found


def _append(into: list[Any], pieces: list[Any]) -> None:
    """Items with an `index` are pieces of the item that has it; others are items themselves."""
    for piece in pieces:
        index = _index(piece)
        known: list[Any] = [] if index is None else [one for one in into if _index(one) == index]
        if known:
            _grow(known[0], cast(Json, piece))
        else:
            into.append(piece)


def _index(item: Any) -> Any:
    return cast(Json, item).get("index") if isinstance(item, dict) else None


def _finished(choice: Json) -> Json:
    message: Json = choice.get("message") or {}
    message = {"content": None, "refusal": None, **message, "role": "assistant"}
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        known = [cast(Json, one) for one in cast("list[Any]", calls) if isinstance(one, dict)]
        message["tool_calls"] = [_call(one) for one in sorted(known, key=_place)]
    called = message.get("function_call")
    if isinstance(called, dict):
        message["function_call"] = {"name": "", "arguments": "", **cast(Json, called)}
    logprobs = choice.get("logprobs")
    if isinstance(logprobs, dict):
        logprobs = {"content": None, "refusal": None, **cast(Json, logprobs)}
    return {
        **choice,
        "message": message,
        "logprobs": logprobs,
        "finish_reason": choice.get("finish_reason") or "stop",
    }


def _place(call: Json) -> int:
    index = call.get("index")
    return index if isinstance(index, int) else 0


def _call(call: Json) -> Json:
    found = {name: value for name, value in call.items() if name != "index"}
    kind = found.setdefault("type", "function") or "function"
    inner: Json = found.get(kind) or {}
    empty = {"name": "", "arguments": ""} if kind == "function" else {"name": "", "input": ""}
    return {"id": "", **found, "type": kind, kind: {**empty, **inner}}
