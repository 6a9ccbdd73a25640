"""Static API keys, from the run config as hashes or in plain text from the environment."""

import hmac
from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

from specstack.auth.interface import Attempt, Identity, Refusal
from specstack.auth.keys import digest_of, split_keys
from specstack_wire import Principal

if TYPE_CHECKING:
    from specstack_api.run_config import ApiKeysAuth

_INDEX = 8


class ApiKeys:
    """Knows callers by their keys, of which it keeps the digests alone."""

    challenge = "Bearer"

    def __init__(self, known: Iterable[tuple[bytes, Identity]]) -> None:
        self._known: dict[bytes, list[tuple[bytes, Identity]]] = {}
        for digest, identity in known:
            self._known.setdefault(digest[:_INDEX], []).append((digest, identity))

    @classmethod
    def of(cls, settings: "ApiKeysAuth") -> Self:
        """The provider for settings that have been checked."""
        known: list[tuple[bytes, Identity]] = []
        for key in settings.keys or ():
            attributes = {name: tuple(values) for name, values in (key.attributes or {}).items()}
            identity = Identity(Principal(key.id, attributes), key.tenant)
            known.append((bytes.fromhex(key.hash.removeprefix("sha256:")), identity))
        if settings.plain_keys is not None:
            for key in split_keys(settings.plain_keys.get_secret_value()):
                digest = digest_of(key)
                known.append((digest, Identity(Principal(f"key-{digest.hex()[:12]}"))))
        return cls(known)

    async def start(self) -> None:
        """There is nothing to prepare."""

    async def stop(self) -> None:
        """There is nothing to end."""

    async def authenticate(self, attempt: Attempt) -> Identity:
        """The caller whose key the request bears. Raises Refusal."""
        token = attempt.token()
        if token is None:
            raise Refusal("This server wants an API key: send the header `authorization: Bearer <key>`.")
        digest = digest_of(token)
        # The time of this look-up tells of the digest's start at most, from which no key can be made.
        for known, identity in self._known.get(digest[:_INDEX], ()):
            if hmac.compare_digest(known, digest):
                return identity
        raise Refusal("This server does not know the API key in the request; check it for typing errors.")
