"""The dispatch table is the spec's: every path and every older path, each of which is served."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest

from specstack_server.dispatch import DISPATCH
from support import contract
from support.fuzzing import Json, examples_of, operations, resolved
from support.loopback_upstream import LoopbackUpstream
from support.serving import serving

Ask = Callable[[str, str, Json], Awaitable[httpx.Response]]

ALIASES = [
    (method.upper(), path, alias, operation)
    for method, path, operation in operations(contract.SPEC)
    for alias in operation.get("x-aliases", [])
]


@pytest.fixture(scope="module")
def upstream() -> Iterator[LoopbackUpstream]:
    with LoopbackUpstream.running() as running:
        yield running


@pytest.fixture(scope="module")
def server(upstream: LoopbackUpstream) -> Iterator[httpx.Client]:
    """A server that is only read from."""
    with serving(contract.whole(upstream)) as url, httpx.Client(base_url=url) as calls:
        yield calls


@pytest.fixture(scope="module")
def asked(upstream: LoopbackUpstream, server: httpx.Client) -> Ask:
    """Asks a route by its operation's example, once. What a call changes, no other one sees."""
    replies: dict[tuple[str, str], httpx.Response] = {}

    async def ask(method: str, route: str, operation: Json) -> httpx.Response:
        if (method, route) not in replies:
            replies[method, route] = await send(method, _filled(route, operation), _body(operation))
        return replies[method, route]

    async def send(method: str, url: str, body: Json | None) -> httpx.Response:
        if method == "GET":
            return server.request(method, url)
        async with contract.whole(upstream).started() as app, contract.client(app) as client:
            return await client.request(method, url, json=body)

    return ask


def test_dispatch_holds_the_spec_and_nothing_else() -> None:
    routes = {
        (method.upper(), route, operation["tags"][0], operation["operationId"], route != path)
        for method, path, operation in operations(contract.SPEC)
        for route in (path, *operation.get("x-aliases", []))
    }
    found = [(method, route, api, _camel(name), alias) for method, route, api, name, alias in DISPATCH]

    assert set(found) == routes
    assert len(found) == len(routes)


def test_the_published_bundle_has_the_same_operations_and_no_aliases() -> None:
    published = {(method, path) for method, path, _ in operations(contract.BUNDLE)}

    assert published == {(method.lower(), route) for method, route, _, _, alias in DISPATCH if not alias}


@pytest.mark.parametrize(
    ("method", "path", "alias", "operation"), ALIASES, ids=[f"{a[0]} {a[2]}" for a in ALIASES]
)
async def test_alias(asked: Ask, method: str, path: str, alias: str, operation: Json) -> None:
    """The older path answers as the newer one does."""
    newer, older = [await asked(method, route, operation) for route in (path, alias)]

    assert older.status_code == 200, older.text
    assert _timeless(older.json()) == _timeless(newer.json())


@pytest.mark.parametrize("route", sorted({alias for _, _, alias, _ in ALIASES}))
def test_alias_refuses_other_methods(server: httpx.Client, route: str) -> None:
    allowed = sorted(method for method, found, *_ in DISPATCH if found == route)
    reply = server.patch(route.replace("{model}", "x"))

    assert (reply.status_code, reply.headers["allow"]) == (405, ", ".join(allowed))


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _filled(route: str, operation: Json) -> str:
    for reference in operation["parameters"]:
        parameter = resolved(contract.SPEC, reference)
        route = route.replace("{" + parameter["name"] + "}", str(parameter.get("example")))
    return route


def _body(operation: Json) -> Json | None:
    """The first example of the operation's body, None where it has no body."""
    if "requestBody" not in operation:
        return None
    media = resolved(contract.SPEC, operation["requestBody"])["content"]["application/json"]
    return examples_of(resolved(contract.SPEC, media["schema"]))[0]


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if key != "created"}
    return [_timeless(item) for item in value] if isinstance(value, list) else value
