"""What must not stand in a recording: credentials, wherever they are in it."""

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, cast
from urllib.parse import quote, quote_plus

from specstack.recorder.content import readable, run_of_bytes
from specstack.recorder.exchange import Answer, Piece
from specstack.secret_shapes import SHORTEST, blotted, names_secret

SCRUBBED = "[secret]"
_URLSAFE = str.maketrans("+/", "-_")

# Tokens that are places in a list, or a model's own, and no secrets.
_HARMLESS = re.compile(r"((next_?)?page|next|continuation|bos|eos|eot|pad|unk|sep|cls|mask)_?token", re.I)
_TOKENS = re.compile(r"(.*[_-])?token", re.I)
_SCHEMA_KEYS = frozenset({"$ref", "allOf", "anyOf", "const", "enum", "oneOf"})
_SCHEMA_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_SCHEMES = frozenset({"bearer", "basic", "token", "key", "apikey", "api-key"})


class Scrubber:
    """Takes secrets out of JSON: values under telling names, known values, and what looks like one."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._search: re.Pattern[str] | None = None

    def learn(self, values: Iterable[str]) -> None:
        """Values that are secret, such as those of a provider's headers."""
        for value in values:
            scheme, _, rest = value.partition(" ")
            bare = rest.strip() if scheme.lower() in _SCHEMES else value
            for secret in (value, bare):
                if len(secret) >= SHORTEST and secret not in self._known:
                    self._known.update(_written(secret))
                    self._search = None

    def clean(self, value: Any) -> Any:
        """A copy without secrets."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            members = cast("Mapping[str, Any]", value)
            if "base64" in members and (content := run_of_bytes(members)) is not None:
                return {"base64": base64.b64encode(self._bytes(content)).decode()}
            return {
                self._text(key): _hidden(item) if _tells(members, key, item) else self.clean(item)
                for key, item in members.items()
            }
        if isinstance(value, list | tuple):
            items = cast("list[Any]", value)
            if items and all(_is_pair(item) for item in items):
                return [[self._text(name), *_first(self.clean({name: item}))] for name, item in items]
            return [self.clean(item) for item in items]
        return value

    def answer(self, answer: Answer) -> Answer:
        """An answer without secrets."""
        return Answer(
            head=self.clean(answer.head),
            body=self.clean(answer.body),
            pieces=None if answer.pieces is None else self.pieces(answer.pieces),
            failure=self.clean(answer.failure),
        )

    def pieces(self, pieces: Sequence[Piece]) -> tuple[Piece, ...]:
        """The pieces of a stream without secrets. Those across which a secret stands become one."""
        found: list[Piece] = []
        for of_body, run in groupby(pieces, lambda piece: run_of_bytes(piece.data) is not None):
            these = list(run)
            found += self._uncut(these) if of_body else these
        return tuple(Piece(one.at, self.clean(one.data)) for one in found)

    def _uncut(self, run: list[Piece]) -> list[Piece]:
        """Pieces of a body, such that no secret stands in more than one."""
        parts = [run_of_bytes(piece.data) or b"" for piece in run]
        whole = b"".join(parts)
        clean = self._bytes(whole)
        if clean == b"".join(map(self._bytes, parts)):
            return run
        found: list[Piece] = []
        begin = end = 0
        for piece, part in zip(run, parts, strict=True):
            end += len(part)
            if self._bytes(whole[:end]) + self._bytes(whole[end:]) == clean:
                found.append(Piece(piece.at, readable(whole[begin:end], as_json=False)))
                begin = end
        return found

    def _bytes(self, content: bytes) -> bytes:
        # Secrets are ASCII, and a piece may begin amid a character: each byte is one.
        return self._text(content.decode("latin-1")).encode("latin-1")

    def _text(self, text: str) -> str:
        if self._known:
            if self._search is None:
                longest_first = sorted(self._known, key=len, reverse=True)
                self._search = re.compile("|".join(map(re.escape, longest_first)))
            text = self._search.sub(SCRUBBED, text)
        return blotted(text, SCRUBBED, prose=True)


def _tells(members: Mapping[str, Any], key: str, value: Any) -> bool:
    """Whether a member's name, or that beside it in `{"name": …, "value": …}`, says that it is a secret."""
    if value is None or value == "" or isinstance(value, bool):
        return False
    if key.lower() == "value" and isinstance(value, str):
        told = next((item for name, item in members.items() if name.lower() in ("name", "key")), None)
        return isinstance(told, str) and names_secret(told) and not _HARMLESS.fullmatch(told)
    if not names_secret(key) or _HARMLESS.fullmatch(key):
        return False
    if _TOKENS.fullmatch(key) and not isinstance(value, str):
        return False  # numbers of tokens, and what is said of one
    if isinstance(value, Mapping) and _is_schema(cast("Mapping[str, Any]", value)):
        return False
    # With a probability beside it, a token is a piece of what a model wrote.
    return key != "token" or not isinstance(members.get("logprob"), int | float)


def _is_schema(value: Mapping[str, Any]) -> bool:
    """Whether an object is the JSON Schema of a secret, as the tools of a chat have them."""
    kind = value.get("type")
    kinds = cast("list[Any]", kind) if isinstance(kind, list) else [kind]
    return not _SCHEMA_KEYS.isdisjoint(value) or any(one in _SCHEMA_TYPES for one in kinds)


def _hidden(value: Any) -> Any:
    """What stands under the name of a secret: each text and number in it is one."""
    if isinstance(value, Mapping):
        return {key: _hidden(item) for key, item in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_hidden(item) for item in cast("list[Any]", value)]
    return value if value is None or value == "" or isinstance(value, bool) else SCRUBBED


def _is_pair(value: Any) -> bool:
    """Whether it is a name and a text, as headers are often written."""
    return (
        isinstance(value, list | tuple)
        and len(cast("list[Any]", value)) == 2
        and all(isinstance(one, str) for one in cast("list[Any]", value))
    )


def _first(members: Mapping[str, Any]) -> list[Any]:
    return list(members.values())


def _written(secret: str) -> set[str]:
    """A secret as it stands in texts, in URLs, in JSON that is a text, and anywhere in base64."""
    found = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
    raw = secret.encode("utf-8", "surrogatepass")
    for before in range(3):
        whole = base64.b64encode(b"-" * before + raw).decode()
        # Characters that depend on what stands before or behind are left out.
        core = whole[(0, 2, 3)[before] : (before + len(raw)) * 8 // 6]
        found |= {core, core.translate(_URLSAFE)}
    return found
