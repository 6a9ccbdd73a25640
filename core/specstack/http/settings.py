"""What every endpoint of one server shares."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache

from specstack.http.call import Call, ObserverFor
from specstack.http.errors import ErrorTable, default_errors

Hook = Callable[[Call], Awaitable[None]]
"""Runs before anything of a call's body is read.

It may fill in the context (principal, tenant), add headers for the reply, or refuse by raising an `ApiError`.
The call's operation is None for what the spec does not describe: documents, plug-in routes, unknown paths and
methods.
"""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Shared settings. `body_limit` is in bytes (operations may set their own), `request_timeout` in seconds.

    The timeout bounds a call from its body's last byte until its reply begins; None means no limit. Hooks run
    in their order, before every call; observers see it from before the hooks to its end.
    """

    errors: ErrorTable
    body_limit: int = 32 << 20
    request_timeout: float | None = 600.0
    hooks: tuple[Hook, ...] = ()
    observers: tuple[ObserverFor, ...] = ()


@cache
def default_settings() -> HttpSettings:
    """For endpoints in an app that `build_app` did not make."""
    return HttpSettings(default_errors())
