"""The guard of the listener: names that the server answers to, and pages that may use it from a browser.

A server on loopback without keys trusts everybody on its machine, and a browser there runs other people's
pages. Such a page reaches the server under its own name once that name's address becomes 127.0.0.1 (DNS
rebinding), or by requests that browsers send without asking first.
"""

import re
from collections.abc import Iterable
from ipaddress import ip_address

from specstack.http.context import request_id_of
from specstack.http.dispatch import AsgiApp, Receive, Scope
from specstack.http.errors import ErrorTable, error_reply
from specstack.http.reply import Send, send_error
from specstack.http.websocket import reject
from specstack_wire import ApiError

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]/@\s]+)(?::\d{1,5})?")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def is_loopback(name: str) -> bool:
    """Whether an address is of this machine alone. Of names `localhost` and those below it count."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        found = ip_address(name.partition("%")[0])
    except ValueError:
        return False
    mapped = found.ipv4_mapped if found.version == 6 else None
    return (mapped or found).is_loopback


def host_name(header: str) -> str | None:
    """The name in a `host` header, lower-case, without port and brackets; None when it is none."""
    found = _HOST.fullmatch(header.strip())
    return None if found is None else found[1].strip("[]").lower().removesuffix(".")


class Doorkeeper:
    """Refuses requests that name another host, and those of foreign pages, before `app` sees them.

    `hosts` are further names beside the loopback ones; a name that begins with `*.` takes all below it. None
    means any name. `origins` are the pages that may use a server without keys, None means that keys guard it.
    """

    def __init__(
        self, app: AsgiApp, errors: ErrorTable, hosts: Iterable[str] | None, origins: frozenset[str] | None
    ) -> None:
        self._app = app
        self._errors = errors
        self._any_host = hosts is None
        names = [name.lower().removesuffix(".") for name in hosts or ()]
        self._names = frozenset(name for name in names if not name.startswith("*."))
        self._endings = tuple(name[1:] for name in names if name.startswith("*."))
        self._origins = origins
        # The headers of requests that were let through: most callers send the same one again and again.
        self._known: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection, or says why not."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        error = None if len(hosts) == 1 and hosts[0] in self._known else self._misdirected(hosts)
        if error is None and self._origins is not None:
            error = self._foreign(scope, hosts, self._origins)
        if error is None:
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(dict(scope["headers"]))
        reply = error_reply(error, self._errors.envelope(self._errors.default_envelope), request_id)
        if scope["type"] == "websocket":
            await receive()
            await reject(scope, send, reply, request_id)
        else:
            await send_error(send, reply, request_id)

    def _misdirected(self, hosts: list[bytes]) -> ApiError | None:
        if self._any_host:
            return None
        shown = hosts[0].decode("latin-1") if len(hosts) == 1 else ""
        name = host_name(shown)
        if name is None:
            return self._errors.error("misdirected", "The request needs one `host` header with a name.")
        if is_loopback(name) or name in self._names or name.endswith(self._endings):
            if len(self._known) < 64:
                self._known.add(hosts[0])
            return None
        message = (
            f"This server does not answer to the name {name[:200]}; "
            "add it to server.allowed_hosts if it should."
        )
        return self._errors.error("misdirected", message)

    def _foreign(self, scope: Scope, hosts: list[bytes], origins: frozenset[str]) -> ApiError | None:
        """The refusal of what a page of another site makes a browser send without asking first."""
        if scope["type"] == "http" and scope["method"] in _SAFE:
            return None
        found = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
        if not found or "*" in origins or all(origin in origins for origin in found):
            return None
        own = hosts[0].decode("latin-1") if hosts else ""
        if all(origin.partition("://")[2] == own for origin in found):
            return None
        message = (
            f"Pages of {found[0][:200]} may not use this server; "
            "add it to server.cors.allow_origins if they should."
        )

        return self._errors.error("forbidden", message)
