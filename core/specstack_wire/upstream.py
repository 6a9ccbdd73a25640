"""Calls to other servers, as providers see them."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from specstack_wire.context import RequestContext


@dataclass(slots=True, frozen=True)
class UpstreamSettings:
    """Where an upstream is and how to reach it. Times are in seconds.

    `timeout` bounds a whole call, for streams the wait for the next bytes. `verify_tls` is a
    switch or the path of a CA bundle.
    """

    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    timeout: float = 600.0
    connect_timeout: float = 10.0
    max_connections: int = 1000
    verify_tls: bool | str = True
    proxy: str | None = None


@dataclass(slots=True, frozen=True)
class UpstreamReply:
    """A whole reply. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class UpstreamStream(Protocol):
    """A reply whose body is read as it comes. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]

    def chunks(self) -> AsyncIterator[bytes]:
        """The body. Raises `UpstreamBroken` or `UpstreamTimeout`; closing it closes the connection."""
        ...

    async def read(self) -> bytes:
        """The whole body, for an error reply."""
        ...

    async def aclose(self) -> None:
        """Closes the connection if the body has not been read to its end."""
        ...


class Upstream(Protocol):
    """One other server. Paths are relative to the base URL.

    Both calls return any HTTP status and raise `UpstreamUnreachable`, `UpstreamTimeout` or
    `UpstreamBroken`; a cancelled call closes its connection.
    """

    async def request(
        self,
        ctx: RequestContext,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> UpstreamReply:
        """Sends a request (JSON unless `headers` say otherwise) and reads the whole reply."""
        ...

    async def stream(
        self,
        ctx: RequestContext,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> UpstreamStream:
        """Sends a request and returns when the reply's headers are there."""
        ...

    async def aclose(self) -> None:
        """Frees the connections."""
        ...
