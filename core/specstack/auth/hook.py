"""The HTTP hook that asks the authentication provider before anything else of a request is read."""

import logging

from specstack.auth.interface import Attempt, AuthProvider, Refusal
from specstack.http import Call, ErrorTable, Hook

_log = logging.getLogger("specstack.auth")


def authentication(provider: AuthProvider, errors: ErrorTable) -> Hook:
    """Fills in principal and tenant of every call but those of public operations, or refuses it."""

    async def authenticate(call: Call) -> None:
        if call.op is not None and call.op.public:
            return
        attempt = Attempt(call.scope)
        try:
            identity = await provider.authenticate(attempt)
        except Refusal as refusal:
            _log.info(
                "request %s: refused as %s, from %s",
                call.ctx.request_id,
                refusal.role,
                attempt.client or "unknown",
            )
            headers = {"www-authenticate": provider.challenge} if refusal.role == "unauthenticated" else None
            raise errors.error(refusal.role, refusal.message, headers=headers) from None
        call.ctx.principal = identity.principal
        call.ctx.tenant = identity.tenant

    return authenticate
