"""In which order providers start: each after those that it needs."""

from collections.abc import Iterable, Mapping

from specstack.config import ConfiguredProvider, RunConfig, load_reference
from specstack.descriptors import GeneratedServer, ResourceSpec
from specstack.startup import StartupError

_Key = tuple[str, str]


def apis_behind(server: GeneratedServer, api: str) -> list[str]:
    """The APIs whose providers serve `api`: itself, and those that the tables of its operations route to."""
    entry = server.apis.get(api)
    if entry is None:
        return []
    own = [api] if entry.protocol is not None else []
    routed = [table_spec(server, name).routes for name in entry.tables]
    return list(dict.fromkeys([*own, *routed]))


def table_spec(server: GeneratedServer, resource: str) -> ResourceSpec:
    """The description of a resource, from its generated table class."""
    return load_reference(server.tables[resource]).resource


def start_order(config: RunConfig, server: GeneratedServer) -> list[ConfiguredProvider]:
    """The providers to start, each after those it needs; what no served API needs is left out.

    Raises StartupError for an API that a provider requires and nobody provides, and for a cycle.
    """
    by_key = {(one.api, one.provider_id): one for one in config.providers}
    by_api: dict[str, list[_Key]] = {}
    for key in by_key:
        by_api.setdefault(key[0], []).append(key)
    needs = {key: _needs(one, by_api, server) for key, one in by_key.items()}
    wanted = config.apis if config.apis is not None else tuple(server.apis)
    served = {behind for api in wanted for behind in apis_behind(server, api)}
    ordered: list[ConfiguredProvider] = []
    done: set[_Key] = set()
    for key in by_key:
        if key[0] in served:
            _visit(key, needs, by_key, done, (), ordered)
    return ordered


def _needs(one: ConfiguredProvider, by_api: Mapping[str, list[_Key]], server: GeneratedServer) -> list[_Key]:
    found: list[_Key] = []
    for api in one.spec.requires:
        behind = [key for name in apis_behind(server, api) for key in by_api.get(name, [])]
        if not behind and apis_behind(server, api):
            providers = " or ".join(f"providers.{name}" for name in apis_behind(server, api))
            raise StartupError(
                f"{one.where}: {describe(one)} needs the API {api}; add a provider to {providers}"
            )
        found.extend(behind)
    for api in one.spec.optional:
        found.extend(key for name in apis_behind(server, api) for key in by_api.get(name, []))
    return found


def _visit(
    key: _Key,
    needs: Mapping[_Key, Iterable[_Key]],
    by_key: Mapping[_Key, ConfiguredProvider],
    done: set[_Key],
    path: tuple[_Key, ...],
    ordered: list[ConfiguredProvider],
) -> None:
    if key in done:
        return
    if key in path:
        circle = [*path[path.index(key) :], key]
        shown = " -> ".join(f"{api}/{provider_id}" for api, provider_id in circle)
        where = by_key[key].where
        raise StartupError(
            f"{where}: these providers need each other in a circle: {shown}; take one of them out"
        )
    for other in needs[key]:
        _visit(other, needs, by_key, done, (*path, key), ordered)
    done.add(key)
    ordered.append(by_key[key])


def describe(one: ConfiguredProvider) -> str:
    """A provider for a message: its id and type."""
    return f"provider '{one.provider_id}' ({one.spec.provider_type})"
