"""From exceptions to the error envelope: the one place where a failure becomes status, body and headers."""

import importlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import cast

from specstack_wire import ApiError, StorageUnavailable

Envelope = Callable[[ApiError, str | None], bytes]
"""Writes an error as JSON; the second argument is the request id."""

REQUIRED_ROLES = (
    "not_found",
    "method_not_allowed",
    "too_large",
    "unsupported_media",
    "invalid",
    "malformed",
    "timeout",
    "internal",
)

log = logging.getLogger("specstack.http")


class ClientGone(Exception):
    """The client closed the connection while its request was being read. Nobody is left to answer."""


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An error ready to be sent."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


class ErrorTable:
    """The spec's errors as the runtime needs them: a class for each role, a writer for each envelope.

    Raises `ValueError` when a required role or every envelope is missing.
    """

    __slots__ = ("_envelopes", "_roles", "default_envelope")

    def __init__(self, roles: Mapping[str, type[ApiError]], envelopes: Mapping[str, Envelope]) -> None:
        missing = [role for role in REQUIRED_ROLES if role not in roles]
        if missing:
            raise ValueError(
                f"errors.yaml: no error class for the roles {', '.join(missing)}; name one under `roles:`"
            )
        if not envelopes:
            raise ValueError("errors.yaml: no envelope; describe at least one under `envelopes:`")
        self._roles = dict(roles)
        self._envelopes = dict(envelopes)
        self.default_envelope = next(iter(envelopes))

    @classmethod
    def from_module(cls, module: ModuleType, *others: ModuleType) -> "ErrorTable":
        """The table of a generated errors module (its `ROLES` and `ENVELOPES`).

        The envelopes of `others` come behind its own.
        """
        roles = cast("Mapping[str, type[ApiError]]", module.ROLES)
        envelopes = dict(cast("Mapping[str, Envelope]", module.ENVELOPES))
        for other in others:
            for name, envelope in cast("Mapping[str, Envelope]", other.ENVELOPES).items():
                envelopes.setdefault(name, envelope)
        return cls(roles, envelopes)

    def error(
        self, role: str, message: str, *, param: str | None = None, headers: Mapping[str, str] | None = None
    ) -> ApiError:
        """The error that plays a role, for example `not_found`."""
        return self._roles[role](message, param=param, headers=headers)

    def envelope(self, name: str) -> Envelope:
        """The writer of a named envelope. Raises `ValueError` for a name that errors.yaml does not have."""
        found = self._envelopes.get(name)
        if found is None:
            known = ", ".join(self._envelopes)
            raise ValueError(f"unknown error envelope {name!r}; errors.yaml has {known}")
        return found

    def explain(self, exc: BaseException, request_id: str, where: str) -> ApiError:
        """The error a client may see for an exception. What is not meant for clients is logged and hidden."""
        if isinstance(exc, ApiError):
            if exc.status >= 500:
                kind = type(exc).__name__
                told = "request %s: %s in %s: %s"
                log.warning(told, request_id, kind, where, exc, extra={"request_id": request_id})
            if isinstance(exc, StorageUnavailable) and "storage_unavailable" in self._roles:
                return self.error("storage_unavailable", exc.message, headers=exc.headers)
            return exc
        if isinstance(exc, TimeoutError):
            return self.timed_out()
        log.error("request %s: %s failed", request_id, where, exc_info=exc, extra={"request_id": request_id})
        message = f"The server failed to answer; its log has the reason under request id {request_id}."
        return self.error("internal", message)

    def timed_out(self) -> ApiError:
        """The error for a request that took longer than the server allows."""
        return self.error(
            "timeout", "The request took longer than this server allows; ask for less or try again."
        )


def error_reply(error: ApiError, envelope: Envelope, request_id: str) -> ErrorReply:
    """Status, envelope and headers of an error."""
    headers = tuple(_header(name, value) for name, value in error.headers.items())
    return ErrorReply(error.status, envelope(error, request_id), headers)


def _header(name: str, value: str) -> tuple[bytes, bytes]:
    """A header that no value can break out of: some come from upstream servers."""
    clean = "".join(char for char in value if char.isprintable())
    return name.lower().encode("latin-1", "replace"), clean.encode("latin-1", "replace")


@cache
def default_errors() -> ErrorTable:
    """The table of the API package, for endpoints that run in an app that `build_app` did not make."""
    return ErrorTable.from_module(importlib.import_module("specstack_api.errors"))
