"""What joins a server from outside: generated packages of other people's providers and APIs."""

from specstack.external.join import EXTERNAL_KEYS, joined
from specstack.external.registry import provider_types, routes_of

__all__ = ["EXTERNAL_KEYS", "joined", "provider_types", "routes_of"]
