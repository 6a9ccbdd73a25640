"""What every endpoint of one server shares."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from specstack.descriptors import Operation
from specstack.http.errors import ErrorTable, default_errors
from specstack_wire import RequestContext

Hook = Callable[["Operation | None", "dict[str, Any]", RequestContext], Awaitable[None]]
"""Runs before anything of a call is read, with the operation, the ASGI scope and the call's context.

It may fill in the context (principal, tenant) or refuse by raising an `ApiError`. The operation is None for
what the spec does not describe: documents, plug-in routes, unknown paths and methods.
"""


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Shared settings. `body_limit` is in bytes (operations may set their own), `request_timeout` in seconds.

    The timeout bounds a call from its body's last byte until its reply begins; None means no limit.
    """

    errors: ErrorTable
    body_limit: int = 32 << 20
    request_timeout: float | None = 600.0
    hooks: tuple[Hook, ...] = ()


@cache
def default_settings() -> HttpSettings:
    """For endpoints in an app that `build_app` did not make."""
    return HttpSettings(default_errors())
