"""Whether memory stays where it is: idle, after many requests and streams, in minutes of load after that.

Every chat completion is kept, in a SQLite file of its own. Memory is looked at when the server has answered
for the first time, five seconds after the requests and streams, and then right after each slice of the load.
Linux only. The targets are for:

    python bench/memory.py --requests 100000 --streams 10000 --minutes 30

The verdict: after requests and streams at most a tenth above idle, and no growth beyond a twentieth from the
first fifth of the minutes of load to the last. The exit status is 1 when one of the two does not hold.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import run
import servers
from servers import Target

AFTER = 1.10
"""Memory after the requests and streams by that before them, at most."""
GROWTH = 1.05
"""Memory in the last fifth of the load by that in its first fifth, at most."""


@dataclass
class Series:
    """Memory in MB: `points` are (seconds since the load began, MB)."""

    idle: float
    after: float
    points: list[tuple[float, float]]

    def verdict(self) -> list[tuple[str, float, float, bool]]:
        """What was measured against what: name, figure, limit, and whether it holds."""
        ratio = self.after / self.idle
        found = [("memory after the requests and streams, by idle", ratio, AFTER, ratio <= AFTER)]
        if len(self.points) >= 2:
            fifth = max(1, len(self.points) // 5)
            first = statistics.mean(mb for _, mb in self.points[:fifth])
            last = statistics.mean(mb for _, mb in self.points[-fifth:])
            found.append(
                ("memory at the end of the load, by its begin", last / first, GROWTH, last <= first * GROWTH)
            )
        return found


def until(target: Target, name: str, many: int, seconds: float) -> int:
    """Ask in slices of `seconds` until there were `many` replies; how many there were.

    Raises RuntimeError when one failed.
    """
    (scenario,) = (one for one in run.SCENARIOS if one.name == name)
    done = 0
    while done < many:
        result = run.measure(target, scenario, seconds)
        if result["errors"] or not result["requests"]:
            raise RuntimeError(f"{name}: {result['errors']} errors in {result['requests']} replies")
        done += result["requests"]
    return done


def watch(
    target: Target, requests: int, streams: int, minutes: float, seconds: float, rest: float
) -> tuple[Series, int]:
    """The measurement, and how many completions there were at least."""
    time.sleep(min(2, seconds))
    # At the first start another process makes the store's tables, and is no part of what is idle.
    target.alone(60)
    idle = target.memory_mb()
    asked = until(target, "chat", requests, seconds) + until(target, "chat stream", streams, seconds)
    time.sleep(min(5, seconds))  # what waits to be written is written
    series = Series(idle, target.memory_mb(), [])
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < minutes * 60:
        asked += until(target, "chat" if len(series.points) % 2 else "chat stream", 1, seconds)
        series.points.append((passed, target.memory_mb()))
        time.sleep(rest)
    return series, asked


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--slice", type=float, default=10.0, help="seconds between two looks at the memory")
    parser.add_argument("--rest", type=float, default=0.0, help="seconds without load after each slice")
    parser.add_argument("--json", type=Path, help="write the series there")
    args = parser.parse_args()
    behind = servers.upstream()
    target: Target | None = None
    try:
        with tempfile.TemporaryDirectory() as folder:
            target = servers.specstack(behind, Path(folder))
            series, asked = watch(target, args.requests, args.streams, args.minutes, args.slice, args.rest)
            target.stop()
            kept = servers.kept(Path(folder))
    finally:
        if target is not None:
            target.stop()
        behind.stop()
    print(f"idle {series.idle:.1f} MB, after the requests and streams {series.after:.1f} MB")
    print(f"{asked:,} completions in all, rows kept {kept:,}")
    step = max(1, len(series.points) // 20)
    for passed, mb in series.points[::step]:
        print(f"  {passed / 60:6.1f} min {mb:8.1f} MB")
    verdict = series.verdict()
    for name, figure, limit, holds in verdict:
        print(f"{name}: {figure:.3f}, at most {limit:.2f}: {'holds' if holds else 'does NOT hold'}")
    if kept < asked:
        print(f"{asked - kept:,} completions are missing from the store")
    if args.json is not None:
        found: dict[str, Any] = {
            "idle": series.idle,
            "after": series.after,
            "points": series.points,
            "kept": kept,
        }
        args.json.write_text(json.dumps(found))
    sys.exit(0 if kept >= asked and all(holds for *_, holds in verdict) else 1)


if __name__ == "__main__":
    main()
