"""A streamed chat completion put together from its chunks."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic_core import from_json

from specstack.services.stored_completions.alike import Alike, alike

Json = dict[str, Any]

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
        # How the chunk that comes next may look, whose text it has, and the texts of those that did.
        self._alike: Alike | None = None
        self._speaker: Json = {}
        self._texts: list[bytes] = []

    def read(self, chunks: Sequence[bytes]) -> None:
        """Take in chunks as JSON. Raises ValueError for what is none."""
        at = 0
        while at < len(chunks):
            if self._alike is not None:
                texts = self._alike.texts(chunks, at)
                self._texts += texts
                at += len(texts)
                if at == len(chunks):
                    return
                self._join()
            raw = chunks[at]
            chunk = from_json(raw)
            self.add(chunk)
            self._alike = alike(raw, chunk)
            if self._alike is not None:
                self._speaker = self._choices[_number(chunk["choices"][0])]["message"]
            at += 1

    def _join(self) -> None:
        """Put the texts that were not parsed one by one behind what their speaker has said."""
        if self._texts:
            self._speaker["content"] += from_json(b'"' + b"".join(self._texts) + b'"')
            self._texts = []
        self._alike = None

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
            if name in ("delta", "message"):
                message = choice.setdefault("message", {})
                if isinstance(value, dict):
                    _grow(message, cast(Json, value))
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
    said = found.get("type")
    kind = said if isinstance(said, str) and said else "function"
    held = found.get(kind)
    inner = cast(Json, held) if isinstance(held, dict) else {}
    empty = {"name": "", "arguments": ""} if kind == "function" else {"name": "", "input": ""}
    return {"id": "", **found, "type": kind, kind: {**empty, **inner}}
