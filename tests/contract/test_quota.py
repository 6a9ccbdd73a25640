"""Quotas as the published document has them: what is counted says so, and 429 comes as it is described."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from schemathesis.specs.openapi import checks

from support import contract
from support.fuzzing import Json, operations, resolved
from support.loopback_upstream import LoopbackUpstream

COUNTED = [(m, p, op) for m, p, op in operations(contract.SPEC) if not op.get("x-public")]
PUBLIC = [(m, p, op) for m, p, op in operations(contract.SPEC) if op.get("x-public")]
PARTS = ("limit", "remaining", "reset")
ONE: list[Json] = [{"per": "day", "requests": 1, "tokens": 1}]
CHECKS: Any = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


def names(cases: list[Any]) -> list[str]:
    return [operation["operationId"] for _, _, operation in cases]


@pytest.fixture(scope="module")
def upstream() -> Iterator[LoopbackUpstream]:
    with LoopbackUpstream.running() as running:
        yield running


def documented(method: str, path: str) -> Json:
    return contract.BUNDLE["paths"][path][method]


@pytest.mark.parametrize(("method", "path", "operation"), COUNTED, ids=names(COUNTED))
def test_what_is_counted_says_so(method: str, path: str, operation: Json) -> None:
    replies = documented(method, path)["responses"]
    refusal = resolved(contract.BUNDLE, replies["429"])
    units = ("requests", "tokens") if "x-usage" in operation else ("requests",)
    wanted = {f"x-ratelimit-{part}-{unit}" for part in PARTS for unit in units}
    success = next(reply for status, reply in replies.items() if status.startswith("2"))
    assert wanted == {name for name in success["headers"] if name.startswith("x-ratelimit-")}
    assert wanted | {"retry-after"} <= set(refusal["headers"])


@pytest.mark.parametrize(("method", "path", "operation"), PUBLIC, ids=names(PUBLIC))
def test_what_is_public_is_not(method: str, path: str, operation: Json) -> None:
    assert "429" not in documented(method, path)["responses"]


@pytest.mark.parametrize(("method", "path", "operation"), COUNTED, ids=names(COUNTED))
async def test_over_the_limit(upstream: LoopbackUpstream, method: str, path: str, operation: Json) -> None:
    app = contract.whole(upstream, keyed=True, limits=ONE)
    schema = contract.schema_of(app, keyed=True)
    case = schema[path][method.upper()].Case(
        headers={"authorization": f"Bearer {contract.KEY}"},
        path_parameters={
            one["name"]: "x"
            for one in (resolved(contract.SPEC, ref) for ref in operation["parameters"])
            if one["in"] == "path"
        },
    )
    url = path.replace("{model}", "x").replace("{provider_id}", "x")
    async with app.started() as running, contract.client(running) as client:
        first = await client.request(method, url)
        assert first.status_code != 429
        reply = await client.request(method, url)
    assert reply.status_code == 429
    assert {"retry-after", "x-ratelimit-limit-requests"} <= set(reply.headers)
    case.validate_response(reply, checks=CHECKS)
