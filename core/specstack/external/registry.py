"""What a server and all that has joined it have: provider types and routes."""

from collections.abc import Mapping
from importlib import import_module

from specstack.descriptors import GeneratedServer, ProviderSpec
from specstack.references import load_reference


def provider_types(server: GeneratedServer) -> Mapping[tuple[str, str], ProviderSpec]:
    """(API, provider type) -> what is known of it."""
    own: Mapping[tuple[str, str], ProviderSpec] = load_reference(server.providers)
    if not server.external:
        return own
    return {**own, **{key: spec for one in server.external for key, spec in provider_types(one).items()}}


Route = tuple[str, str, str, str, bool]
"""Method, path, API, operation, and whether the path is an alias."""


def routes_of(server: GeneratedServer) -> list[Route]:
    """Every path that can be served, in the order of the specs."""
    own: tuple[Route, ...] = import_module(f"{server.package}_server.dispatch").DISPATCH
    return [*own, *(route for one in server.external for route in routes_of(one))]
