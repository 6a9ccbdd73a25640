"""What a server with two workers tells of itself: metrics of both, and from which process a message comes."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.workers.kit import CHAT, LOGGED, chat, config, one_client_each, soon, team
from support.collector import Collector
from support.loopback_upstream import LoopbackUpstream

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes in /proc")

COUNT = re.compile(
    r'^http_server_request_duration_seconds_count\{worker="(\d)",.*http_route="/v1/chat/.*\} (\d+)$',
    re.MULTILINE,
)
UPTIME = re.compile(r'^process_uptime_seconds\{worker="(\d)"\} ', re.MULTILINE)


@pytest.fixture(scope="module")
def upstream() -> Iterator[LoopbackUpstream]:
    with LoopbackUpstream.running() as found:
        yield found


def counts(page: str) -> dict[str, int]:
    return {worker: int(count) for worker, count in COUNT.findall(page)}


def test_whoever_is_asked_tells_the_metrics_of_all(upstream: LoopbackUpstream, tmp_path: Path) -> None:
    file = config(upstream.base_url, tmp_path, telemetry={"prometheus": True})
    places = tmp_path / "places"
    places.mkdir()
    with team(file, **LOGGED, TMPDIR=str(places)) as found, one_client_each(found) as (one, two):
        for client, times in ((one, 3), (two, 5)):
            for _ in range(times):
                assert client.post(CHAT, json=chat()).status_code == 200
        (folder,) = places.iterdir()
        assert folder.stat().st_mode & 0o077 == 0
        for client in (one, two):
            page = client.get("/metrics").text
            assert sorted(counts(page).values()) == [3, 5]
            assert sorted(UPTIME.findall(page)) == ["1", "2"]
            assert page.count("# TYPE http_server_request_duration_seconds histogram") == 1
            assert page.count("target_info{") == 1
        # The number of one that has died is not added to that of its successor, nor taken from the other's.
        killed = found.server_of(two.get("/v1/health").headers["x-request-id"])
        os.kill(killed, signal.SIGKILL)
        soon(lambda: len(UPTIME.findall(one.get("/metrics").text)) == 2)
        assert list(counts(one.get("/metrics").text).values()) == [3]
        found.stop()
    assert list(places.iterdir()) == []


def test_one_worker_s_metrics_bear_no_number(upstream: LoopbackUpstream, tmp_path: Path) -> None:
    file = config(upstream.base_url, tmp_path, telemetry={"prometheus": True})
    with team(file, "--workers", "1") as found:
        assert 'worker="' not in httpx.get(found.url + "/metrics").text


def test_a_collector_can_tell_workers_apart(upstream: LoopbackUpstream, tmp_path: Path) -> None:
    with Collector.running() as collector:
        telemetry = {"metrics": True, "endpoint": collector.url}
        file = config(upstream.base_url, tmp_path, telemetry=telemetry)
        with team(file, **LOGGED) as found, one_client_each(found) as clients:
            for client in clients:
                client.post(CHAT, json=chat())
            found.stop()
        sent: list[Any] = [
            {one.key: one.value.string_value for one in resource.resource.attributes}
            for resource in collector.sent_metrics()
        ]
    assert len({one["service.instance.id"] for one in sent}) == 2
    assert {one["service.name"] for one in sent} == {"specstack"}


def test_messages_say_from_which_process_they_come(upstream: LoopbackUpstream, tmp_path: Path) -> None:
    file = config(upstream.base_url, tmp_path)
    with team(file, SPECSTACK_LOG="access=info") as found:
        pids = {str(pid) for pid in found.workers()}
        for _ in range(4):
            httpx.get(found.url + "/v1/health")
        found.stop()
        shown = re.findall(r"^[\d:]{8} INFO    \[(\d+)\] specstack\.access: ", found.log(), re.MULTILINE)
        assert len(shown) == 4
        assert set(shown) <= pids
    log = tmp_path / "log"
    log.unlink()
    with team(file, SPECSTACK_LOG="debug", SPECSTACK_LOG_FORMAT="json") as found:
        pids = {*map(str, found.workers()), str(found.process.pid)}
        found.stop()
        lines = [json.loads(line) for line in found.log().splitlines()]
        assert {str(line["pid"]) for line in lines} <= pids
