"""What must not stand in a recording: credentials, wherever they are in it."""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, cast

from specstack.masking import is_secret
from specstack.recorder.content import readable, run_of_bytes
from specstack.recorder.exchange import Answer, Piece
from specstack.secret_shapes import SHORTEST, blotted

SCRUBBED = "[secret]"

# Tokens that are places in a list, or a model's own, and no secrets.
_HARMLESS = re.compile(r"((next_?)?page|next|continuation|bos|eos|eot|pad|unk|sep|cls|mask)_?token", re.I)
_SCHEMES = frozenset({"bearer", "basic", "token", "key", "apikey", "api-key"})


class Scrubber:
    """Takes secrets out of JSON: values under telling names, known values, and what looks like one."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def learn(self, values: Iterable[str]) -> None:
        """Values that are secret, such as those of a provider's headers."""
        for value in values:
            scheme, _, rest = value.partition(" ")
            bare = rest.strip() if scheme.lower() in _SCHEMES else value
            self._known.update(one for one in (value, bare) if len(one) >= SHORTEST)

    def clean(self, value: Any) -> Any:
        """A copy without secrets."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            members = cast("Mapping[str, Any]", value)
            if "base64" in members and (content := run_of_bytes(members)) is not None:
                return {"base64": base64.b64encode(self._bytes(content)).decode()}
            return {
                self._text(key): SCRUBBED if _tells(members, key, item) else self.clean(item)
                for key, item in members.items()
            }
        if isinstance(value, list | tuple):
            return [self.clean(item) for item in cast("list[Any]", value)]
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
        for secret in sorted(self._known, key=len, reverse=True):
            text = text.replace(secret, SCRUBBED)
        return blotted(text, SCRUBBED, prose=True)


def _tells(members: Mapping[str, Any], key: str, value: Any) -> bool:
    """Whether a member's name says that its text is a secret."""
    if not is_secret(key, value) or _HARMLESS.fullmatch(key):
        return False
    # With a probability beside it, a token is a piece of what a model wrote.
    return key != "token" or not isinstance(members.get("logprob"), int | float)
