"""What metrics and spans say of a call, and of the model behind it."""

from collections.abc import Mapping
from typing import NamedTuple

from specstack.config import RunConfig
from specstack.http import Call
from specstack_wire import RequestContext

CANCELLED = "cancelled"
"""The `error.type` of a call whose client left before the end."""
OTHER_MODEL = "other"
MOST_UNLISTED = 100
"""Models outside of the table that metrics know by name."""
LONGEST = 256
"""Characters that are shown of a name that a client has given."""
OTHER_METHOD = "_OTHER"
_METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"}
)

Providers = Mapping[tuple[str, str], str]
"""(API, provider id) -> what GenAI conventions call the provider."""


class Generation(NamedTuple):
    """Who answers a call that asks a model; None where that is not known."""

    provider: str | None = None
    provider_id: str | None = None
    model: str | None = None
    served: str | None = None


def providers_of(config: RunConfig) -> dict[tuple[str, str], str]:
    """The name of every configured provider: its type without `remote::` or `inline::`."""
    return {
        (one.api, one.provider_id): one.spec.provider_type.rpartition("::")[2] for one in config.providers
    }


def generation(ctx: RequestContext, providers: Providers, api: str) -> Generation:
    """What is known of the model behind a call to an API.

    A model outside of the table is called as the caller did.
    """
    route = ctx.served
    if route is None:
        return Generation()
    name = providers.get((api, route.provider_id))
    if route.resource_id is None:
        asked = f"{route.provider_id}/{route.provider_resource_id}"
        return Generation(name, route.provider_id, asked[:LONGEST])
    return Generation(name, route.provider_id, route.resource_id, route.provider_resource_id)


def error_type(call: Call) -> str | None:
    """Why a call did not end well: its error's code, or else its status, or that its client did not wait.

    None if it did end well.
    """
    if call.error is not None:
        return call.error.code or type(call.error).__name__
    if call.status >= 400:
        return str(call.status)
    return None if call.whole else CANCELLED


def method_of(call: Call) -> str:
    """The HTTP method, of which there are not many; a WebSocket begins with GET."""
    method: str = call.scope.get("method", "GET")
    return method if method in _METHODS else OTHER_METHOD
