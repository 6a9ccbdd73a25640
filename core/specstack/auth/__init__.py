"""Who calls: authentication providers, and the hook that asks them."""

from typing import TYPE_CHECKING

from specstack.auth.interface import Attempt, AuthProvider, Identity, Refusal

if TYPE_CHECKING:
    from specstack_api.run_config import AuthConfig

__all__ = ["Attempt", "AuthProvider", "Identity", "Refusal", "auth_provider"]


def auth_provider(settings: "AuthConfig") -> AuthProvider | None:
    """The provider that the run config names under `server.auth`; None when authentication is off."""
    if settings.provider_config is None:
        return None
    from specstack.auth.api_keys import ApiKeys

    return ApiKeys.of(settings.provider_config)
