"""What must not stand in a recording: credentials, wherever they are in it."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

from specstack.masking import is_secret

SCRUBBED = "[secret]"

_LOOKS = re.compile(
    r"\b(sk-[A-Za-z0-9_-]{8,}|(?:Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}"
    r"|(?:hf_|gsk_|ghp_|AIza|AKIA)[A-Za-z0-9_-]{16,}|[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@)"
)
# Some servers take their key in the query of a path.
_QUERY = re.compile(
    r"(?<=[?&])(?!page|next|continuation)((?:[\w.-]*[_.-])?(?:api_?key|key|token|secret|password|sig(?:nature)?)=)[^&#\s]+",
    re.I,
)
# Tokens that are places in a list, or a model's own, and no secrets.
_HARMLESS = re.compile(r"((next_?)?page|next|continuation|bos|eos|eot|pad|unk|sep|cls|mask)_?token", re.I)
_SHORTEST = 4


class Scrubber:
    """Takes secrets out of JSON: values under telling names, known values, and what looks like one."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def learn(self, values: Iterable[str]) -> None:
        """Values that are secret, such as those of a provider's headers."""
        for value in values:
            bare = value.partition(" ")[2].strip() if value[:7].lower() == "bearer " else value
            self._known.update(one for one in (value, bare) if len(one) >= _SHORTEST)

    def clean(self, value: Any) -> Any:
        """A copy without secrets."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            members = cast("Mapping[str, Any]", value)
            return {
                key: SCRUBBED if _tells(members, key, item) else self.clean(item)
                for key, item in members.items()
            }
        if isinstance(value, list | tuple):
            return [self.clean(item) for item in cast("list[Any]", value)]
        return value

    def _text(self, text: str) -> str:
        for secret in sorted(self._known, key=len, reverse=True):
            text = text.replace(secret, SCRUBBED)
        return _LOOKS.sub(SCRUBBED, _QUERY.sub(rf"\1{SCRUBBED}", text))


def _tells(members: Mapping[str, Any], key: str, value: Any) -> bool:
    """Whether a member's name says that its text is a secret."""
    if not is_secret(key, value) or _HARMLESS.fullmatch(key):
        return False
    # With a probability beside it, a token is a piece of what a model wrote.
    return key != "token" or not isinstance(members.get("logprob"), int | float)
