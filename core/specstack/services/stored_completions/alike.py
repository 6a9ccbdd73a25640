"""Most chunks of a stream are the one before with another text: those are taken apart without a parser."""

import re
from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple, cast

Json = dict[str, Any]

_CONTENT = re.compile(rb'"content"\s*:\s*"')
_PADDING = re.compile(rb'"obfuscation"\s*:\s*"')
_TEXT = re.compile(rb'(?:[^"\\]|\\.)*+', re.DOTALL)
"""What stands between the quotes of a JSON text."""


class Alike(NamedTuple):
    """What stands before and behind the text of chunks that are alike otherwise.

    With `padding` there is another text that varies and that nobody needs: `padding` stands between the two.
    """

    before: bytes
    padding: bytes
    after: bytes

    def texts(self, chunks: Sequence[bytes], start: int) -> list[bytes]:
        """The texts of chunks from `start` on, as far as they are alike, as they stand in quotes."""
        before, padding, after = self
        begin, end, least = len(before), -len(after), len(before) + len(after)
        found: list[bytes] = []
        for raw in islice(chunks, start, None):
            if not (raw.startswith(before) and raw.endswith(after) and len(raw) >= least):
                break
            found.append(raw[begin:end])
        if padding:
            found = _unpadded(found, padding)
        together = b"".join(found)
        if b'"' in together or b"\\" in together:
            found = _sound(found)
        return found


def _unpadded(pieces: list[bytes], padding: bytes) -> list[bytes]:
    found: list[bytes] = []
    for piece in pieces:
        text, between, rest = piece.partition(padding)
        if not between or b'"' in rest or b"\\" in rest:
            break
        found.append(text)
    return found


def _sound(texts: list[bytes]) -> list[bytes]:
    """Those up to the first that ends before its end: what looked like the end of its chunk is text."""
    for number, text in enumerate(texts):
        if _TEXT.fullmatch(text) is None:
            return texts[:number]
    return texts


def alike(raw: bytes, chunk: Any) -> Alike | None:
    """How the next chunks may be this one with another text; None where more than a text could grow.

    Taking in such a chunk again with another text must change the text alone.
    """
    choices = cast(Json, chunk).get("choices") if isinstance(chunk, dict) else None
    if not isinstance(choices, list) or len(cast("list[Any]", choices)) != 1:
        return None
    choice = cast("list[Any]", choices)[0]
    delta = cast(Json, choice).get("delta") if isinstance(choice, dict) else None
    # One without a text, or with the reason of the end, is most often alone.
    if not isinstance(delta, dict) or not cast(Json, delta).get("content") or choice.get("finish_reason"):
        return None
    if not isinstance(cast(Json, delta)["content"], str):
        return None
    others = [value for name, value in cast(Json, delta).items() if name not in ("content", "role")]
    rest = [value for name, value in cast(Json, choice).items() if name != "delta"]
    if any(one is not None for one in others) or any(isinstance(one, dict | list) for one in rest):
        return None
    keys = [*_CONTENT.finditer(raw)]
    if len(keys) != 1:
        return None
    begin = keys[0].end()
    text = _TEXT.match(raw, begin)
    if text is None:
        return None
    end = text.end()
    padding = _padding(raw, end, cast(Json, chunk))
    if padding is None:
        return Alike(raw[:begin], b"", raw[end:])
    return Alike(raw[:begin], raw[end : padding[0]], raw[padding[1] :])


def _padding(raw: bytes, start: int, chunk: Json) -> tuple[int, int] | None:
    """Where the text of `obfuscation` stands, which OpenAI makes of another length in each chunk."""
    if not isinstance(chunk.get("obfuscation"), str) or b"\\u" in raw:
        return None
    if any(isinstance(value, dict | list) for name, value in chunk.items() if name != "choices"):
        return None
    keys = [*_PADDING.finditer(raw)]
    if len(keys) != 1 or keys[0].start() < start:
        return None
    text = _TEXT.match(raw, keys[0].end())
    return None if text is None else text.span()
