"""From JSON bytes of a client to a model, or to the error that says what is wrong with them."""

from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from specstack.http.errors import ErrorTable
from specstack.http.faults import describe, json_fault
from specstack_wire import codec_of

_N, _I = b"NI"
_SHORT = 1 << 14
"""Bytes below which searching for a word is cheaper than parsing once more; long strings parse fast."""


class JsonDecoder:
    """Decodes one type. `what` is the thing's name in messages, such as "request body"."""

    __slots__ = ("_decode", "_errors", "_what")

    def __init__(self, type_: Any, what: str, errors: ErrorTable) -> None:
        self._decode = codec_of(type_).decode
        self._what = what
        self._errors = errors

    def decode(self, raw: bytes) -> Any:
        """The model. Raises `malformed` for what is no JSON, `invalid` for what is not the type."""
        try:
            body = self._decode(raw)
        except ValidationError as exc:
            raise self._explained(exc, raw) from None
        # One byte is found much faster than a word, and most bodies lack it.
        if (_N in raw and _has_word(raw, b"NaN")) or (_I in raw and _has_word(raw, b"Infinity")):
            self._refuse_constants(raw)
        return body

    def _explained(self, exc: ValidationError, raw: bytes) -> Exception:
        broken = json_fault(exc)
        if broken is not None:
            return self._errors.error("malformed", f"The {self._what} is no valid JSON: {broken}.")
        self._refuse_constants(raw)
        message, path = describe(exc, from_json(raw))
        return self._errors.error("invalid", message, param=path)

    def _refuse_constants(self, raw: bytes) -> None:
        """Raises `malformed` for NaN and infinities, which the parser lets pass but JSON does not know."""
        try:
            from_json(raw, allow_inf_nan=False)
        except ValueError:
            message = f"The {self._what} is no valid JSON: NaN and Infinity are no JSON numbers."
            raise self._errors.error("malformed", message) from None


def _has_word(raw: bytes, word: bytes) -> bool:
    return len(raw) >= _SHORT or word in raw
