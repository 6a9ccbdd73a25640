"""Quotas over real stores: one gate after another over the same data, and whole servers that share it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from core.http.kit import operation
from core.quota.kit import Clock, call, gate, headers
from specstack.descriptors import UsageSpec
from specstack_wire import ApiError
from support.loopback_upstream import LoopbackUpstream
from support.process import free_port, running_server
from support.services import Make, Service

OP = operation("tell", usage=UsageSpec(input=("usage", "in"), output=("usage", "out")))
WINDOW = [{"per": "day", "requests": 50, "tokens": 100}]


async def test_two_processes_let_in_exactly_the_limit(make: Make) -> None:
    backends = [make(), make()]
    name, clock = f"quota {uuid4().hex}", Clock(time.time())
    gates = [gate(one.namespace(name), (OP,), clock, authenticated=WINDOW, tenant=WINDOW) for one in backends]
    calls = [gates[number % 2](call(OP, "ann", "red")) for number in range(120)]
    found = await asyncio.gather(*calls, return_exceptions=True)
    refused = [one for one in found if one is not None]
    assert {type(one).__name__ for one in refused} == {"rate_limit_exceeded"}
    assert len(found) - len(refused) == 50
    # Another of the tenant finds it used up, one of another tenant does not.
    for made in gates:
        with pytest.raises(ApiError, match="of one tenant"):
            await made(call(OP, "bob", "red"))
    await gates[0](call(OP, "bob", "blue"))
    assert [one.uncounted for one in gates] == [0, 0]
    for one in backends:
        await one.aclose()


async def test_tokens_that_one_process_counts_the_other_sees(make: Make) -> None:
    backends = [make(), make()]
    name, clock = f"quota {uuid4().hex}", Clock(time.time())
    first, second = (gate(one.namespace(name), (OP,), clock, anonymous=WINDOW) for one in backends)
    made = call(OP)
    await first(made)
    for _ in range(10):
        first.spend(made, 7)
    await first.aclose()
    seen = call(OP)
    await second(seen)
    assert headers(seen)["remaining-tokens"] == "30"
    second.spend(seen, 40)
    with pytest.raises(ApiError, match="100 tokens per day"):
        await second(call(OP))
    with pytest.raises(ApiError, match="100 tokens per day"):
        await first(call(OP))
    for one in backends:
        await one.aclose()


async def test_a_new_window_begins_at_nothing_and_old_counters_go(make: Make) -> None:
    backend = make()
    store, clock = backend.namespace(f"quota {uuid4().hex}"), Clock(time.time())
    made = gate(store, (OP,), clock, anonymous=[{"per": "second", "requests": 1}])
    for _ in range(3):
        await made(call(OP))
        with pytest.raises(ApiError):
            await made(call(OP))
        clock.time += 1
    await backend.aclose()


CONFIG = """
version: 2
distro_name: shared
providers:
  inference:
    - {{provider_id: up, provider_type: remote::openai-compatible, config: {{base_url: "{up}"}}}}
server:
  quota:
    anonymous: [{{per: day, requests: 40, tokens: 100000}}]
storage:
  backends:
    shared: {{type: kv_{kind}, {place}}}
  stores:
    quota: {{backend: shared, namespace: "q{name}"}}
"""


@pytest.mark.slow
@pytest.mark.parametrize("store", ["sqlite", "redis", "postgres"])
async def test_two_servers_with_concurrent_clients(
    store: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    place = f"db_path: {tmp_path}/shared.db"
    if store != "sqlite":
        service: Service = request.getfixturevalue(f"{store}_server")
        hosts = {"postgres": "postgresql://postgres@127.0.0.1:{}/postgres", "redis": "redis://127.0.0.1:{}"}
        place = f"url: '{hosts[store].format(service.port)}'"
    file, ports = tmp_path / "run.yaml", (free_port(), free_port())
    with LoopbackUpstream.running() as up:
        file.write_text(CONFIG.format(up=up.base_url, kind=store, place=place, name=uuid4().hex))
        with (
            running_server([str(file), "--port", str(ports[0])], ports[0]) as one,
            running_server([str(file), "--port", str(ports[1])], ports[1]) as two,
        ):
            body = {"model": "up/echo", "messages": [{"role": "user", "content": "hi"}]}
            async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=16)) as client:
                replies = await asyncio.gather(
                    *(client.post(f"{(one, two)[n % 2]}/v1/chat/completions", json=body) for n in range(90))
                )
                statuses = [reply.status_code for reply in replies]
                assert (statuses.count(200), statuses.count(429)) == (40, 50)
                for url in (one, two):
                    reply = await client.get(f"{url}/v1/models")
                    assert (reply.status_code, reply.json()["error"]["code"]) == (429, "rate_limit_exceeded")
                    assert int(reply.headers["retry-after"]) >= 1
                    assert (await client.get(f"{url}/v1/health")).status_code == 200
