"""What an authentication provider is asked, and what it answers.

A provider sees headers, path, query and the caller's address. That is enough for a token that is verified
here (static keys, OAuth2 with JWKS), one that another server is asked about (GitHub, Kubernetes,
introspection, an endpoint of one's own), and for a proxy whose headers count from a trusted address.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from specstack_wire import Principal

Role = Literal["unauthenticated", "forbidden"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls, and the tenant that the call belongs to; None outside of any."""

    principal: Principal
    tenant: str | None = None


class Refusal(Exception):
    """The caller does not get in. `message` is for the caller: what is wrong and what to do, never a secret.

    `role` is the error that it becomes: `unauthenticated` (401) or `forbidden` (403: known or not, this one
    may not, such as a proxy from elsewhere).
    """

    def __init__(self, message: str, role: Role = "unauthenticated") -> None:
        super().__init__(message)
        self.message = message
        self.role: Role = role


class Attempt:
    """What a caller shows: read from the ASGI scope of an HTTP request or a WebSocket's handshake."""

    __slots__ = ("_scope",)

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self._scope = scope

    @property
    def method(self) -> str:
        """The HTTP method; GET for a WebSocket."""
        return self._scope.get("method", "GET")

    @property
    def path(self) -> str:
        """The path, decoded, without the query."""
        return self._scope["path"]

    @property
    def query(self) -> str:
        """The query string as it came."""
        return self._scope.get("query_string", b"").decode("latin-1")

    @property
    def client(self) -> str | None:
        """The address that the connection comes from; None when the server does not know it."""
        found = self._scope.get("client")
        return None if found is None else found[0]

    @property
    def headers(self) -> dict[str, str]:
        """All headers by lower-case name; repeated ones are joined with a comma."""
        found: dict[str, str] = {}
        for name, value in self._scope["headers"]:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            found[key] = f"{found[key]}, {text}" if key in found else text
        return found

    def header(self, name: bytes) -> str | None:
        """One header by lower-case name. Raises Refusal when it stands there twice: which one counts?"""
        found: bytes | None = None
        for key, value in self._scope["headers"]:
            if key == name:
                if found is not None:
                    raise Refusal(f"The header {name.decode()} stands in the request twice; send it once.")
                found = value
        return None if found is None else found.decode("latin-1")

    def token(self) -> str | None:
        """The bearer token of `authorization`, else the value of `x-api-key`. Raises what `header` does."""
        given = self.header(b"authorization")
        if given is not None:
            scheme, _, token = given.partition(" ")
            if scheme.lower() == "bearer" and token.strip():
                return token.strip()
        return self.header(b"x-api-key") or None


class AuthProvider(Protocol):
    """Tells who calls. `challenge` is the `www-authenticate` header of a 401."""

    challenge: str

    async def start(self) -> None:
        """Prepares; called before the first request. Raises StartupError."""

    async def stop(self) -> None:
        """Ends what `start` began."""

    async def authenticate(self, attempt: Attempt) -> Identity:
        """The caller. Raises Refusal; an ApiError, such as UpstreamUnreachable, where nobody can tell."""
        ...
