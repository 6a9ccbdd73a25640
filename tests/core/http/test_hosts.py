"""The listener's guard: which host names it answers to, and which pages may use it."""

import asyncio
import json
from typing import Any

import pytest

from core.http.kit import live
from specstack.http import ErrorTable
from specstack.http.hosts import Doorkeeper, host_name
from specstack_api import errors

TABLE = ErrorTable.from_module(errors)


async def inner(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"in"})


async def ask(
    *headers: tuple[str, str], method: str = "GET", hosts: Any = (), origins: Any = frozenset[str]()
) -> tuple[int, str]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    scope = {"type": "http", "method": method, "path": "/v1/x", "headers": raw}
    door = Doorkeeper(inner, TABLE, hosts, origins)
    await door(scope, receive, send)
    first = sent[0]["status"], sent[1]["body"].decode()
    await door(scope, receive, send)
    assert first[0] == sent[2]["status"], "the second time is like the first"
    return first


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8321",
        "LOCALHOST",
        "localhost.",
        "app.localhost:1",
        "127.0.0.1:8321",
        "127.1.2.3",
        "[::1]:8321",
        "[::1]",
        "[::ffff:127.0.0.1]:80",
    ],
)
async def test_names_of_this_machine(host: str) -> None:
    assert await ask(("host", host)) == (200, "in")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8321",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "0.0.0.0",
        "[::]",
        "",
        "localhost:99999999",
        "a@localhost",
        "localhost/x",
        "localhost, evil.example",
        "127.1",
        "[::1",
        "ÿ",
    ],
)
async def test_other_names_are_refused(host: str) -> None:
    status, body = await ask(("host", host))
    assert (status, json.loads(body)["error"]["code"]) == (421, "host_not_allowed")


async def test_no_host_or_two_are_refused() -> None:
    assert (await ask())[0] == 421
    assert (await ask(("host", "localhost"), ("host", "localhost")))[0] == 421


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("api.example.com:80", 200),
        ("API.example.com", 200),
        ("x.lan", 200),
        ("a.x.lan", 421),
        ("lan", 421),
        ("b.deep.net", 200),
        ("c.b.deep.net", 200),
        ("deep.net", 421),
        ("notdeep.net", 421),
        ("localhost", 200),
    ],
)
async def test_configured_names(host: str, status: int) -> None:
    hosts = ["api.Example.com.", "x.lan", "*.deep.net"]
    assert (await ask(("host", host), hosts=hosts))[0] == status


async def test_any_name() -> None:
    assert (await ask(("host", "evil.example"), hosts=None))[0] == 200


@pytest.mark.parametrize(
    ("method", "origin", "status"),
    [
        ("POST", "https://evil.example", 403),
        ("DELETE", "http://localhost:3000", 403),
        ("POST", "null", 403),
        ("POST", "http://localhost:8321", 200),
        ("POST", "https://ui.example", 200),
        ("POST", "https://ui.example.evil.example", 403),
        ("GET", "https://evil.example", 200),
        ("OPTIONS", "https://evil.example", 200),
    ],
)
async def test_pages_of_other_sites(method: str, origin: str, status: int) -> None:
    got, body = await ask(
        ("host", "localhost:8321"),
        ("origin", origin),
        method=method,
        origins=frozenset({"https://ui.example"}),
    )
    assert got == status
    if status == 403:
        assert "server.cors.allow_origins" in json.loads(body)["error"]["message"]


async def test_keys_or_any_origin_let_all_pages_try() -> None:
    for origins in (None, frozenset({"*"})):
        headers = ("host", "localhost"), ("origin", "https://evil.example")
        assert (await ask(*headers, method="POST", origins=origins))[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"host": "evil.example"}, 421), ({"origin": "https://evil.example"}, 403), ({}, 101)],
)
async def test_sockets_are_refused_before_they_open(headers: dict[str, str], status: int) -> None:
    async with live(Doorkeeper(inner, TABLE, (), frozenset())) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        lines = [f"{name}: {value}" for name, value in {"host": "localhost", **headers}.items()]
        lines += ["upgrade: websocket", "connection: upgrade", "sec-websocket-version: 13"]
        lines += ["sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", "", ""]
        writer.write("\r\n".join(["GET /v1/x HTTP/1.1", *lines]).encode())
        answer = await asyncio.wait_for(reader.readline(), 5)
        writer.close()
    assert int(answer.split()[1]) == status


@pytest.mark.parametrize(
    ("header", "name"), [("A.b:1", "a.b"), ("[::1]:1", "::1"), ("a b", None), ("", None)]
)
def test_the_name_in_a_header(header: str, name: str | None) -> None:
    assert host_name(header) == name
