"""The targets of the hot path, each measured and judged, in one go and in turns.

    python bench/targets.py [--target ferrogw=http://127.0.0.1:4001/v1,pid=N ...] [--rounds 5] [--seconds 5]

The gateway keeps every chat completion and is asked for models by prefixed ids. Figures are medians of the
rounds; run it on a quiet machine. Writes bench/results/targets.md. The exit status is 1 when a target is
missed. Memory over minutes of load has a script of its own, memory.py.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import run
import servers
import start
import upstream
import workers
from run import Scenario
from servers import Target

PEER = "ferrogw"
NO_GATEWAY = frozenset({"direct", "raw ASGI", "nginx"})
"""Not compared with: who only passes bytes on."""
EVENTS = upstream.EVENTS + 2
BATCH = 2048

CHAT = Scenario("chat", "/chat/completions", 16, run.chat)
ALONE = Scenario("chat one at a time", "/chat/completions", 1, run.chat)
STREAM = Scenario("chat stream", "/chat/completions", 32, lambda one: run.chat(one, stream=True), "event")
MANY = Scenario("128 streams", "/chat/completions", 128, lambda one: run.chat(one, stream=True), "event")
PACED = Scenario(
    "paced stream", "/chat/completions", 1, lambda one: run.chat(one, stream=True, pause_ms=1), "event"
)
FLOATS = Scenario("embeddings floats", "/embeddings", 16, run.embeddings)
PACKED = Scenario(
    "embeddings base64", "/embeddings", 16, lambda one: {**run.embeddings(one), "encoding_format": "base64"}
)
BATCHES = Scenario(
    "2048 embeddings", "/embeddings", 1, lambda one: {**run.embeddings(one), "input": ["some text"] * BATCH}
)
MODELS = Scenario("models", "/models", 16)
HEALTH = Scenario("health", "/health", 16)
SCENARIOS = (CHAT, ALONE, STREAM, MANY, PACED, FLOATS, PACKED, BATCHES, MODELS, HEALTH)


@dataclass
class Row:
    """One target: a figure and its limit, `at most` unless `least`."""

    name: str
    figure: float | None
    limit: float
    unit: str = ""
    least: bool = False

    @property
    def holds(self) -> bool | None:
        """None where it could not be measured."""
        if self.figure is None:
            return None
        return self.figure >= self.limit if self.least else self.figure <= self.limit


class Runs:
    """The results of every scenario by target."""

    def __init__(self, found: dict[str, dict[str, Any]]) -> None:
        self._found = found

    def median(self, scenario: Scenario, target: str, key: str) -> float | None:
        """The median of the rounds; None where there is none."""
        results = self._found.get(scenario.name, {}).get(target)
        values = (
            [one[key] for one in results if one.get(key) is not None] if isinstance(results, list) else []
        )
        return statistics.median(values) if values else None

    def total(self, target: str, key: str, scenarios: Iterable[Scenario]) -> int:
        """The sum over all rounds of some scenarios."""
        lists = [self._found.get(one.name, {}).get(target) for one in scenarios]
        return sum(one[key] for results in lists if isinstance(results, list) for one in results)

    def added(self, scenario: Scenario, key: str, behind: str = "direct") -> float | None:
        """By how many milliseconds the gateway is later than the model server."""
        ours, direct = self.median(scenario, "specstack", key), self.median(scenario, behind, key)
        return None if ours is None or direct is None else ours - direct

    def peers(self) -> list[str]:
        """The gateways that ours is compared with."""
        return [name for name in self._found.get(CHAT.name, {}) if name not in {*NO_GATEWAY, "specstack"}]


def ratio(ours: float | None, theirs: float | None) -> float | None:
    """One by the other; None where either is missing."""
    return ours / theirs if ours and theirs else None


def judged(runs: Runs) -> list[Row]:
    """What the runs say about each target."""

    def ms(scenario: Scenario) -> float | None:
        found = runs.median(scenario, "specstack", "cpu_us")
        return None if found is None else found / 1000

    rows = [Row("chat: CPU per request", ms(CHAT), 0.14, "ms")]
    ours, theirs = (runs.median(CHAT, name, "req_per_s") for name in ("specstack", PEER))
    rows.append(Row(f"chat: requests/s by {PEER}'s", ratio(ours, theirs), 1.1, "x", True))
    rows.append(Row("chat: p50 added, one at a time", runs.added(ALONE, "whole_p50_ms"), 0.25, "ms"))
    ours = runs.median(CHAT, "specstack", "whole_p99_ms")
    for peer in runs.peers():
        theirs = runs.median(CHAT, peer, "whole_p99_ms")
        rows.append(Row(f"chat: p99 by {peer}'s", ratio(ours, theirs), 1.0, "x"))
    rows.append(Row("stream: CPU per event", runs.median(STREAM, "specstack", "cpu_us"), 8, "us"))
    rows.append(Row("stream: first event later by", runs.added(PACED, "first_p50_ms"), 0.3, "ms"))
    streams = runs.total("specstack", "requests", [MANY])
    lost = streams * EVENTS - runs.total("specstack", "events", [MANY]) if streams else None
    failed = runs.total("specstack", "errors", [MANY])
    rows.append(Row("128 streams: events lost", None if lost is None else abs(lost) + failed, 0))
    for scenario in (FLOATS, PACKED):
        rows.append(Row(f"{scenario.name}: CPU per call", ms(scenario), 0.2, "ms"))
    failed = runs.total("specstack", "errors", [BATCHES])
    asked = runs.total("specstack", "requests", [BATCHES])
    rows.append(Row(f"{BATCHES.name} in a call: failed calls", failed if asked else None, 0))
    rows.append(Row("models: CPU per request", ms(MODELS), 0.06, "ms"))
    rows.append(Row("health: CPU per request", ms(HEALTH), 0.05, "ms"))
    return rows


def table(rows: list[Row]) -> str:
    """The rows in Markdown."""
    lines = ["| target | measured | limit | |", "|---|--:|--:|---|"]
    for row in rows:
        shown = "-" if row.figure is None else f"{row.figure:,.3f} {row.unit}".strip()
        limit = f"{'>=' if row.least else '<='} {row.limit:g} {row.unit}".strip()
        verdict = {True: "holds", False: "**missed**", None: "not measured"}[row.holds]
        lines.append(f"| {row.name} | {shown} | {limit} | {verdict} |")
    return "\n".join([*lines, ""])


def measured(peers: list[Target], rounds: int, seconds: float, folder: Path) -> list[Row]:
    """Start everything, measure it, and stop it."""
    up: list[Target] = []
    try:
        up.append(behind := servers.upstream())
        up.append(ours := servers.specstack(behind, folder))
        up.append(servers.raw())
        if (found := servers.nginx(behind)) is not None:
            up.append(found)
        time.sleep(2)
        ours.alone(60)
        idle = ours.memory_mb()
        runs = Runs(run.interleaved([*up, *peers], list(SCENARIOS), rounds, seconds))
        rows = judged(runs)
        rows.append(Row("memory with the store, idle", idle, 100, "MB"))
        ours.stop()
        answered = runs.total("specstack", "requests", (CHAT, ALONE, STREAM, MANY, PACED))
        rows.append(Row("completions that are not in the store", max(0, answered - servers.kept(folder)), 0))
    finally:
        for target in up:
            target.stop()
    both = workers.compared(rounds, seconds, workers.RATE, folder)
    rows.append(Row("two workers: CPU per request by one's", both.ratio, 1.05, "x"))
    return rows


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one run")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--target", action="append", default=[], type=servers.given, help="a running peer")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(args.target, args.rounds, args.seconds, Path(folder))
    starts = [start.start() for _ in range(args.starts)]
    rows.append(Row("start to first answer", statistics.median(one[0] for one in starts), 1.0, "s"))
    rows.append(
        Row(f"memory of {start.DISTRIBUTION}, idle", statistics.median(one[1] for one in starts), 100, "MB")
    )
    text = table(rows)
    run.RESULTS.mkdir(exist_ok=True)
    (run.RESULTS / "targets.md").write_text(text)
    print(text)
    sys.exit(1 if any(row.holds is False for row in rows) else 0)


if __name__ == "__main__":
    main()
