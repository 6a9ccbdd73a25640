"""Path, query and header parameters."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, StrictBool, StrictFloat

from core.http.kit import app_with, client_of, operation, path_param
from specstack.descriptors import Param
from specstack_wire import MISSING, ApiModel, JsonInt, Payload


class Range(ApiModel):
    after: JsonInt | MISSING = MISSING
    label: str | MISSING = MISSING


class FindParams(ApiModel):
    thing_id: str
    limit: Annotated[JsonInt, Field(ge=1, le=100)] | MISSING = MISSING
    heat: StrictFloat | MISSING = MISSING
    fresh: StrictBool | MISSING = MISSING
    order: Literal["asc", "desc"] | MISSING = MISSING
    include: Annotated[list[Literal["a", "b"]] | MISSING, Field(alias="include[]")] = MISSING
    ids: list[JsonInt] | MISSING = MISSING
    where: Range | MISSING = MISSING
    labels: dict[str, str] | MISSING = MISSING
    version: Annotated[str | MISSING, Field(alias="x-version", pattern="^v[0-9]$")] = MISSING
    either: JsonInt | str | MISSING = MISSING


FIND = operation(
    "find",
    "GET",
    "/v1/things/{thing_id}",
    params=(
        path_param("thing_id"),
        *(Param(name=name, location="query") for name in ("limit", "heat", "fresh", "order", "either")),
        Param(name="include[]", location="query", style="list"),
        Param(name="ids", location="query", style="list"),
        Param(name="where", location="query", style="deep"),
        Param(name="labels", location="query", style="deep"),
        Param(name="x-version", location="header"),
    ),
    params_model=FindParams,
)


async def find(query: str, headers: dict[str, str] | None = None, thing: str = "one"):
    async def handler(ctx, request):
        return Payload.of(request.params)

    async with client_of(app_with(FIND, handler)) as client:
        return await client.get(f"/v1/things/{thing}{query}", headers=headers)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {}),
        ("?limit=5", {"limit": 5}),
        ("?limit=5.0", {"limit": 5}),
        ("?heat=0.5", {"heat": 0.5}),
        ("?heat=1e2", {"heat": 100.0}),
        ("?heat=2", {"heat": 2.0}),
        ("?fresh=true", {"fresh": True}),
        ("?fresh=false", {"fresh": False}),
        ("?order=asc", {"order": "asc"}),
        ("?order=asc&order=desc", {"order": "desc"}),
        ("?include[]=a&include[]=b", {"include[]": ["a", "b"]}),
        ("?include%5B%5D=a", {"include[]": ["a"]}),
        ("?include=a", {"include[]": ["a"]}),
        ("?ids=1&ids[]=2", {"ids": [1, 2]}),
        ("?where[after]=3&where[label]=007", {"where": {"after": 3, "label": "007"}}),
        ("?labels[a]=1&labels[b]=x%20y", {"labels": {"a": "1", "b": "x y"}}),
        ("?either=5", {"either": 5}),
        ("?either=5a", {"either": "5a"}),
        ("?unknown=1&other[]=2&", {}),
    ],
)
async def test_strings_become_the_declared_types(query, expected):
    reply = await find(query)
    assert reply.json() == {"thing_id": "one", **expected}


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("?limit=0", "limit"),
        ("?limit=101", "limit"),
        ("?limit=ten", "limit"),
        ("?limit=", "limit"),
        ("?limit=%205", "limit"),
        ("?limit=5_0", "limit"),
        ("?limit=1.5", "limit"),
        ("?heat=nan", "heat"),
        ("?heat=inf", "heat"),
        ("?heat=1_0", "heat"),
        ("?fresh=1", "fresh"),
        ("?fresh=True", "fresh"),
        ("?fresh=yes", "fresh"),
        ("?order=up", "order"),
        ("?include[]=a&include[]=z", "include[][1]"),
        ("?where[after]=x", "where.after"),
        ("?where=x", "where"),
        ("?labels[a]=1&labels[a]=2", "labels.a"),
    ],
)
async def test_a_wrong_parameter_is_400_and_named(query, param):
    reply = await find(query)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert reply.json()["error"]["code"] == "invalid"


async def test_header_parameters():
    assert (await find("", {"X-Version": "v3"})).json()["x-version"] == "v3"
    reply = await find("", {"X-Version": "three"})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "x-version")


async def test_numbers_in_path_strings_stay_strings():
    assert (await find("", thing="007")).json()["thing_id"] == "007"


async def test_a_missing_required_query_parameter_is_named():
    class NeedsParams(ApiModel):
        q: str

    op = operation(
        "needs", "GET", "/v1/needs", params=(Param(name="q", location="query"),), params_model=NeedsParams
    )

    async def handler(ctx, request):
        return Payload.of(request.params)

    async with client_of(app_with(op, handler)) as client:
        assert (await client.get("/v1/needs")).json()["error"]["param"] == "q"
        assert (await client.get("/v1/needs?q=")).json() == {"q": ""}
