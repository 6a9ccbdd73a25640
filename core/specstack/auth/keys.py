"""API keys: how they are made and in which form they are kept.

A key is 32 random bytes in URL-safe base64 behind a prefix. What is kept is `sha256:` and the hex digest of
the key's bytes. Slow, salted hashes protect passwords, which can be guessed; 256 random bits cannot, so that
one SHA-256 is as good, and costs a microsecond of each request.
"""

import hashlib
import re
import secrets

PREFIX = "sk-specstack-"
SHORTEST = 20
"""Characters that a key needs at least: shorter ones can be guessed, or found from their hash."""

_FIT = re.compile(r"[\x21-\x2b\x2d-\x7e]+")
_SEPARATORS = re.compile(r"[\s,]+")


def new_key() -> str:
    """A fresh key of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(key: str) -> bytes:
    """The SHA-256 digest of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def hash_of(key: str) -> str:
    """The form that stands in a run config: `sha256:` and 64 hex digits."""
    return f"sha256:{digest_of(key).hex()}"


def split_keys(text: str) -> list[str]:
    """The keys in a text that separates them by commas, blanks or line ends."""
    return [key for key in _SEPARATORS.split(text) if key]


def why_unfit(key: str) -> str | None:
    """What is wrong with a key, without the key; None when nothing is."""
    if len(key) < SHORTEST:
        return f"has {len(key)} characters, and a key needs {SHORTEST}; `specstack keys new` makes one"
    if not _FIT.fullmatch(key):
        return "has characters other than ASCII letters, digits and signs; `specstack keys new` makes one"
    return None
