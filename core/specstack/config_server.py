"""What the schema of `server` cannot say: which of its settings fit together."""

import re
from collections.abc import Callable, Container, Iterable, Iterator
from typing import TYPE_CHECKING

from specstack.auth.keys import digest_of, split_keys, why_unfit
from specstack.config_schema import close_to
from specstack.descriptors import Operation
from specstack.positions import Path

if TYPE_CHECKING:
    from specstack_api.run_config import ApiKeysAuth, QuotaConfig, QuotaWindow, ServerConfig

_HOST = re.compile(r"\*|(\*\.)?[^\s/:*@\[\]]+|[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*")
"""A name, all names below one, any name, or an IPv6 address."""


def server_faults(
    server: "ServerConfig", operations: Callable[[], Iterable[Operation]], expanded: Container[Path]
) -> Iterator[tuple[Path, str]]:
    """Each fault with its path in the run config. Messages never hold a key.

    `operations` gives all that the server knows; it is called only where the run config names some.
    `expanded` are the paths of values that hold references, also of those that came to nothing.
    """
    for index, name in enumerate(server.allowed_hosts or ()):
        if not _HOST.fullmatch(name):
            message = (
                "is no host name; write it without scheme, port and path: api.example.com, *.example.com or *"
            )
            yield ("server", "allowed_hosts", index), message
    yield from _quota(server.quota, operations, expanded, ("server", "quota"))
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


def _quota(
    quota: "QuotaConfig",
    operations: Callable[[], Iterable[Operation]],
    expanded: Container[Path],
    at: Path,
) -> Iterator[tuple[Path, str]]:
    for key in ("anonymous", "authenticated", "tenant"):
        windows: list[QuotaWindow] = getattr(quota, key) or []
        for index, one in enumerate(windows):
            # A limit that the environment may leave open is one.
            units = ("requests", "tokens")
            if not any(unit in one.model_fields_set or (*at, key, index, unit) in expanded for unit in units):
                yield (*at, key, index), "limits nothing; give requests, tokens or both"
            if any(one.per == other.per for other in windows[:index]):
                yield (*at, key, index, "per"), f"'{one.per}' stands twice; keep one"
    if not quota.operations:
        return
    public = {one.id: one.public for one in operations()}
    names = {*public, *(one.api for one in operations())}
    for index, name in enumerate(quota.operations):
        if name not in names:
            yield (*at, "operations", index), f"no operation or API '{name}'; {_known(name, public, names)}"
        elif public.get(name):
            yield (*at, "operations", index), f"'{name}' is public, and public operations are never counted"


def _known(name: str, operations: Iterable[str], names: set[str]) -> str:
    """Close names; without any, the APIs alone: there are too many operations to list."""
    close = close_to(name, names)
    return close if close.startswith("did") else close_to(name, names.difference(operations))
