"""Blotting secrets out of text that goes to the log.

Whoever writes a message keeps secrets out of it. This is the net below: for exceptions of other packages,
whose texts and tracebacks quote what they like.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast
from weakref import WeakKeyDictionary

from pydantic import BaseModel, SecretStr

from specstack.masking import MASK, is_secret
from specstack.secret_shapes import SHORTEST, blotted, names_secret, secrets_of_url
from specstack.underway import current_call

_SPLIT = re.compile(r"[\s,]+")


class Redactor:
    """Knows the secrets of the run config; those of the call under way it asks for."""

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[object, frozenset[str]] = WeakKeyDictionary()
        self._known: re.Pattern[str] | None = None

    def know(self, secrets: Iterable[str], owner: object | None = None) -> None:
        """Blot these out from now on, in place of what `owner` had given before. Short ones are let pass.

        They are known as long as the owner lives; without one, for good.
        """
        self._of[self if owner is None else owner] = frozenset(one for one in secrets if len(one) >= SHORTEST)
        long = sorted({one for some in self._of.values() for one in some}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, long))) if long else None

    def clean(self, text: str, *, prose: bool = False) -> str:
        """The text with `********` in place of each secret.

        In `prose`, what we write for people, "api_key: is missing" names a key and holds none.
        """
        if self._known is not None:
            text = self._known.sub(MASK, text)
        text = blotted(text, MASK, prose=prose)
        call = current_call()
        if call is not None and call.provider_data:
            for one in _texts(call.provider_data):
                if len(one) >= SHORTEST:
                    text = text.replace(one, MASK)
        return text

    def clean_all(self, value: Any) -> Any:
        """The same for every text inside of lists and mappings; whatever is no JSON becomes text."""
        if isinstance(value, Mapping):
            items = cast("Mapping[Any, Any]", value).items()
            return {str(key): MASK if is_secret(key, one) else self.clean_all(one) for key, one in items}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.clean_all(one) for one in cast("Iterable[Any]", value)]
        if value is None or isinstance(value, bool | int | float):
            return value
        return self.clean(str(value))


def secrets_of(*parts: BaseModel) -> Iterator[str]:
    """Every secret in configuration classes: what is marked or named as one, and what stands in URLs."""
    for part in parts:
        for value in part.__dict__.values():
            yield from _secrets(value)


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        yield text
        # A list of keys, or a URL with a password, is a secret in its parts as well.
        yield from _SPLIT.split(text)
        yield from secrets_of_url(text)
    elif isinstance(value, BaseModel):
        yield from secrets_of(value)
    elif isinstance(value, Mapping):
        for key, one in cast("Mapping[Any, Any]", value).items():
            if names_secret(str(key)):
                yield from _texts(one)
            yield from _secrets(one)
    elif isinstance(value, list | tuple):
        for one in cast("Iterable[Any]", value):
            yield from _secrets(one)
    elif isinstance(value, str):
        yield from secrets_of_url(value)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in cast("Mapping[Any, Any]", value).values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in cast("list[Any]", value):
            yield from _texts(one)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)
