"""The HTTP hook that asks the authentication provider before anything else of a request is read."""

import logging
from typing import Any

from specstack.auth.interface import Attempt, AuthProvider, Refusal
from specstack.descriptors import Operation
from specstack.http import ErrorTable, Hook
from specstack_wire import RequestContext

_log = logging.getLogger("specstack.auth")


def authentication(provider: AuthProvider, errors: ErrorTable) -> Hook:
    """Fills in principal and tenant of every call but those of public operations, or refuses it."""

    async def authenticate(op: Operation | None, scope: dict[str, Any], ctx: RequestContext) -> None:
        if op is not None and op.public:
            return
        attempt = Attempt(scope)
        try:
            identity = await provider.authenticate(attempt)
        except Refusal as refusal:
            _log.info(
                "request %s: refused as %s, from %s",
                ctx.request_id,
                refusal.role,
                attempt.client or "unknown",
            )
            headers = {"www-authenticate": provider.challenge} if refusal.role == "unauthenticated" else None
            raise errors.error(refusal.role, refusal.message, headers=headers) from None
        ctx.principal = identity.principal
        ctx.tenant = identity.tenant

    return authenticate
