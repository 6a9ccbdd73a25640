"""Packages that add to a server, and what happens when two of them claim the same."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import resources

from specstack.descriptors import GeneratedServer
from specstack.external.registry import provider_types, routes_of
from specstack.references import load_reference

Claims = Mapping[str, Mapping[str, str]]
"""Kind of thing -> name -> where it is declared."""

_PARAMETER = re.compile(r"{[^}]*}")


@dataclass(frozen=True, slots=True)
class Part:
    """A package that adds to a server. `home` is the folder of its spec, or "" for an installed one."""

    server: GeneratedServer
    name: str
    home: str = ""

    def claims(self) -> Iterator[tuple[str, str, str]]:
        """What it brings: kind, name, and where that is declared."""
        text = (resources.files(f"{self.server.package}_server") / "places.json").read_text("utf-8")
        return claims_of(json.loads(text), self.server.package, self.home, self.name)


def claims_of(places: Claims, package: str, home: str, name: str = "") -> Iterator[tuple[str, str, str]]:
    """What a generated package brings. `home` is the folder of its spec; without one it is called `name`."""
    yield "generated package", package, home or name
    for kind, names in places.items():
        for one, place in names.items():
            yield kind, one, f"{home}/{place}" if home else f"{name}: {place}"


def with_parts(server: GeneratedServer, parts: list[Part]) -> GeneratedServer:
    """The server with all that the parts bring. They must not be in conflict."""
    added = [part.server for part in parts]
    return replace(
        server,
        apis={name: api for one in (server, *added) for name, api in one.apis.items()},
        tables={name: table for one in (server, *added) for name, table in one.tables.items()},
        services={name: module for one in (server, *added) for name, module in one.services.items()},
        external=(*server.external, *added),
    )


def conflicts(server: GeneratedServer, claims: Iterator[tuple[str, str, str]]) -> list[str]:
    """What is claimed twice, a line each."""
    taken = dict.fromkeys(_own_claims(server), "this server itself")
    found: list[str] = []
    for kind, name, place in claims:
        other = taken.setdefault((kind, name), place)
        if other != place:
            shown = f"{kind} '{name}'" if kind != "path" else f"path {name}"
            found.append(f"{place}: the {shown} is taken by {other}; choose another")
    return found


def _own_claims(server: GeneratedServer) -> Iterator[tuple[str, str]]:
    yield "generated package", server.package
    for name in server.apis:
        yield "API", name
    for method, path, _, operation, _ in routes_of(server):
        yield "operation", operation
        yield "path", f"{method} {_PARAMETER.sub('{}', path)}"
    for api, type_ in provider_types(server):
        yield "provider", f"{api} {type_}"
    for name, table in server.tables.items():
        yield "resource", name
        yield "list of resources", load_reference(table).resource.plural
    for name in server.services:
        yield "service", name
