"""What the schema of `server` cannot say: which of its settings fit together."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from specstack.auth.keys import digest_of, split_keys, why_unfit
from specstack.positions import Path

if TYPE_CHECKING:
    from specstack_api.run_config import ApiKeysAuth, ServerConfig


def server_faults(server: "ServerConfig") -> Iterator[tuple[Path, str]]:
    """Each fault with its path in the run config. Messages never hold a key."""
    if server.auth.provider_config is not None:
        yield from _api_keys(server.auth.provider_config, ("server", "auth", "provider_config"))
    if server.cors.allow_credentials and "*" in (server.cors.allow_origins or ()):
        yield (
            ("server", "cors", "allow_credentials"),
            "any page could act with its visitors' credentials; list the origins instead of '*'",
        )


def _api_keys(auth: "ApiKeysAuth", at: Path) -> Iterator[tuple[Path, str]]:
    seen: dict[bytes, str] = {}
    for index, key in enumerate(auth.keys or ()):
        digest = bytes.fromhex(key.hash.removeprefix("sha256:"))
        if digest in seen:
            yield (
                (*at, "keys", index, "hash"),
                f"the key stands here twice, first for '{seen[digest]}'; remove one",
            )
        seen.setdefault(digest, key.id)
    plain = split_keys(auth.plain_keys.get_secret_value()) if auth.plain_keys is not None else []
    for number, key in enumerate(plain, 1):
        why = why_unfit(key)
        if why is not None:
            yield (*at, "plain_keys"), f"key {number} {why}"
        elif digest_of(key) in seen:
            yield (
                (*at, "plain_keys"),
                f"key {number} stands under keys too, for '{seen[digest_of(key)]}'; remove one",
            )
    if not auth.keys and not plain:
        yield at, "has no key; add one under keys (`specstack keys new` makes it) or set plain_keys"
