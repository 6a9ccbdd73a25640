"""The access log: a line a call, in either style, without waiting for anybody."""

import asyncio
import io
import json
import re
import threading
import time
from typing import Any

import pytest

from core.http.kit import app_with, asking, client_of, echo
from specstack import access_log
from specstack.access_log import AccessLog, Lines
from specstack_wire import Principal


class Slow(io.StringIO):
    """A stream that nobody reads until `gate` opens."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def write(self, text: str) -> int:
        self.gate.wait(10)
        return super().write(text)


async def noted(style: Any, *asked: tuple[str, str, dict[str, Any]], who: str | None = None) -> list[str]:
    stream = io.StringIO()
    lines = Lines(stream)

    async def known(call: Any) -> None:
        call.ctx.principal = None if who is None else Principal(who)

    app = app_with(asking(), echo, hooks=(known,), observers=(AccessLog(lines, style).observer_for,))
    async with client_of(app) as client:
        for method, path, more in asked:
            await client.request(method, path, **more)
    lines.stop()
    return stream.getvalue().splitlines()


ID = {"x-request-id": "r1"}
ASK = {"json": {"subject": "a"}, "headers": ID}


async def test_text() -> None:
    lines = await noted(
        "text",
        ("POST", "/v1/asks", ASK),
        ("POST", "/v1/asks?key=secret", {"json": {}, "headers": ID}),
        ("GET", "/no%0aWARNING ü", {"headers": ID}),
        who="ann",
    )
    time_, ms = r"\d\d:\d\d:\d\d", r"\d+\.\dms"
    expected = [
        rf"{time_} INFO    specstack.access: 127.0.0.1 ann POST /v1/asks 200 {ms} r1",
        rf"{time_} INFO    specstack.access: 127.0.0.1 ann POST /v1/asks 400 {ms} r1",
        rf"{time_} INFO    specstack.access: 127.0.0.1 ann GET /no%0[aA]WARNING%20%C3%BC 404 {ms} r1",
    ]
    assert len(lines) == len(expected)
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, line), line


async def test_json() -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    asked = ("POST", "/v1/asks", {**ASK, "headers": {**ID, "traceparent": parent}})
    first, second = map(json.loads, await noted("json", asked, ("GET", '/"x"', {}), who='we "two"'))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    assert 0 <= first.pop("duration_ms") < 60_000
    assert first == {
        "level": "info",
        "category": "access",
        "logger": "specstack.access",
        "message": "POST /v1/asks 200",
        "request_id": "r1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "method": "POST",
        "path": "/v1/asks",
        "status": 200,
        "whole": True,
        "client": "127.0.0.1",
        "principal": 'we "two"',
        "operation": "ask",
    }
    assert (second["path"], second["status"], second["operation"]) == ("/%22x%22", 404, None)
    assert "trace_id" not in second


async def test_lines_come_in_batches_and_in_order() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    for number in range(1000):
        lines.put(f"{number}\n")
    assert stream.getvalue() == ""
    for _ in range(200):
        await asyncio.sleep(0.02)
        if stream.getvalue():
            break
    lines.put("last\n")
    lines.stop()
    assert stream.getvalue().split() == [*map(str, range(1000)), "last"]


async def test_a_stream_that_nobody_reads_stops_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_log, "MOST_WAITING", 10)
    stream = Slow()
    lines = Lines(stream)
    began = time.monotonic()
    for number in range(8):
        lines.put(f"{number}\n")
    await asyncio.sleep(0.2)
    for number in range(8, 20):
        lines.put(f"{number}\n")
    assert time.monotonic() - began < 5
    assert lines.dropped == 10
    stream.gate.set()
    lines.stop()
    assert stream.getvalue().split() == [*map(str, range(10))]


async def test_a_closed_stream_is_counted() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    stream.close()
    lines.put("x\n")
    lines.stop()
    assert lines.dropped == 1
