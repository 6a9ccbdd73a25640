"""CORS: which pages of other sites may use the server from a browser. Pure ASGI; off unless configured."""

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from specstack.http.dispatch import AsgiApp, Receive, Scope
from specstack.http.reply import Header, Send, send_empty

if TYPE_CHECKING:
    from specstack_api.run_config import CorsConfig

ANY = "*"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
EXPOSED = (
    "x-request-id",
    "retry-after",
    *(
        f"x-ratelimit-{part}-{unit}"
        for unit in ("requests", "tokens")
        for part in ("limit", "remaining", "reset")
    ),
)


@dataclass(frozen=True, slots=True)
class CorsRules:
    """What is allowed. `max_age` is in seconds; `*` as an origin or header means any."""

    origins: frozenset[str]
    methods: Sequence[str]
    headers: Sequence[str]
    exposed: Sequence[str]
    credentials: bool
    max_age: int

    @classmethod
    def of(cls, settings: "CorsConfig") -> Self | None:
        """The rules of a run config; None where it allows nobody."""
        if not settings.allow_origins:
            return None
        return cls(
            frozenset(settings.allow_origins),
            METHODS if settings.allow_methods is None else settings.allow_methods,
            (ANY,) if settings.allow_headers is None else settings.allow_headers,
            EXPOSED if settings.expose_headers is None else settings.expose_headers,
            settings.allow_credentials,
            settings.max_age_seconds,
        )


class Cors:
    """Answers preflight requests, and tells browsers which replies a page may read."""

    def __init__(self, app: AsgiApp, rules: CorsRules) -> None:
        self._app = app
        self._rules = rules
        self._any = ANY in rules.origins
        self._exposed = ", ".join(rules.exposed).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        origin = headers.get(b"origin")
        if (
            scope["method"] == "OPTIONS"
            and origin is not None
            and b"access-control-request-method" in headers
        ):
            await send_empty(send, 204, self._preflight(origin, headers))
            return
        own = self._own(origin)

        async def told(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *own]}
            await send(message)

        await self._app(scope, receive, told)

    def _allowed(self, origin: bytes | None) -> Header | None:
        if self._any:
            return (b"access-control-allow-origin", b"*")
        if origin is not None and origin.decode("latin-1") in self._rules.origins:
            return (b"access-control-allow-origin", origin)
        return None

    def _own(self, origin: bytes | None) -> list[Header]:
        """The headers of an ordinary reply."""
        found: list[Header] = [] if self._any else [(b"vary", b"origin")]
        allowed = self._allowed(origin)
        if allowed is None or origin is None:
            return found
        found.append(allowed)
        if self._rules.credentials:
            found.append((b"access-control-allow-credentials", b"true"))
        if self._exposed:
            found.append((b"access-control-expose-headers", self._exposed))
        return found

    def _preflight(self, origin: bytes, headers: dict[bytes, bytes]) -> list[Header]:
        """The headers of the answer to a preflight; without any allowance the browser does not go on."""
        found: list[Header] = [(b"vary", b"origin, access-control-request-headers")]
        allowed = self._allowed(origin)
        if allowed is None:
            return found
        rules = self._rules
        asked = headers.get(b"access-control-request-headers", b"")
        # Asked headers are named one by one: `*` never covers `authorization`.
        names = asked if ANY in rules.headers else ", ".join(rules.headers).encode()
        found += [
            allowed,
            (b"access-control-allow-methods", ", ".join(rules.methods).encode()),
            (b"access-control-max-age", b"%d" % rules.max_age),
        ]
        if names:
            found.append((b"access-control-allow-headers", names))
        if rules.credentials:
            found.append((b"access-control-allow-credentials", b"true"))
        return found
