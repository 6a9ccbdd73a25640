"""Measures specstack beside the model server itself, a raw ASGI app, and peers, in turns.

    python bench/run.py                     all scenarios; writes bench/results/
    python bench/run.py --check             a short run against bench/baseline.json; warns and never fails
    python bench/run.py --target litellm=http://127.0.0.1:4000/v1,model=mock-llm,pid=1234

Linux. wrk makes the load where it is installed, else load.py. The load and the model server have cores of
their own where there are two. A peer given with --target must use the model server: --upstream-port fixes
its port.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import report
import servers
from servers import Target

BASELINE = servers.HERE / "baseline.json"
RESULTS = servers.HERE / "results"
TOLERANCE = 1.25
"""By so much a ratio may exceed the baseline's before it is worth a word: machines differ by as much."""


@dataclass(frozen=True)
class Scenario:
    """What is asked, how many at once. `unit` is what processor time is counted for."""

    name: str
    path: str
    connections: int
    body: Callable[[Target], Any] | None = None
    unit: str = "request"


def chat(target: Target, **more: Any) -> Any:
    """A short question."""
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Say something about nothing in particular."},
    ]
    return {"model": target.model, "messages": messages, "max_tokens": 256, "temperature": 0.5, **more}


def embeddings(target: Target) -> Any:
    """Eight sentences."""
    texts = [f"Sentence number {n} is about as long as sentences are." for n in range(8)]
    return {"model": target.embed, "input": texts, "encoding_format": "float"}


SCENARIOS = (
    Scenario("health", "/health", 16),
    Scenario("models", "/models", 16),
    Scenario("chat", "/chat/completions", 16, chat),
    Scenario("chat one at a time", "/chat/completions", 1, chat),
    Scenario("embeddings", "/embeddings", 16, embeddings),
    Scenario("chat stream", "/chat/completions", 32, lambda target: chat(target, stream=True), "event"),
)
CHECKED = ("models", "chat", "chat stream")


def able(target: Target, scenario: Scenario) -> str:
    """Why a target cannot do a scenario; "" if it can."""
    body = None if scenario.body is None else json.dumps(scenario.body(target)).encode()
    headers = {"content-type": "application/json"}
    try:
        asked = urllib.request.Request(target.base + scenario.path, body, headers)
        with urllib.request.urlopen(asked, timeout=30) as reply:
            return "" if reply.read() else "an empty reply"
    except urllib.error.HTTPError as error:
        return f"status {error.code}"
    except OSError as error:
        return str(error)


def measure(target: Target, scenario: Scenario, seconds: float) -> dict[str, Any]:
    """One run of one scenario against one target."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [sys.executable, str(servers.HERE / "load.py"), target.base + scenario.path]
        command += [str(scenario.connections), str(seconds)]
        environment = dict(os.environ)
        if scenario.body is not None:
            file.write(json.dumps(scenario.body(target)).encode())
            file.flush()
            command.append(file.name)
            environment["BENCH_BODY"] = file.name
        if scenario.unit == "request" and shutil.which("wrk"):
            command = ["wrk", "-t1", f"-c{scenario.connections}", f"-d{max(1, round(seconds))}s"]
            command += ["-s", str(servers.HERE / "wrk.lua"), target.base + scenario.path]
        before = target.cpu()
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=seconds + 90,
            preexec_fn=lambda: os.sched_setaffinity(0, servers.cores()[1]),
        )
        spent = target.cpu() - before
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    count = result["events" if scenario.unit == "event" else "requests"]
    result["cpu_us"] = spent * 1e6 / count if target.pid and count else None
    return result


def interleaved(
    targets: list[Target], scenarios: list[Scenario], rounds: int, seconds: float
) -> dict[str, dict[str, Any]]:
    """Every scenario's runs by target: `rounds` results each, taken in turns, or the reason for none."""
    found: dict[str, dict[str, Any]] = {}
    for scenario in scenarios:
        runs: dict[str, Any] = {}
        for target in targets:
            why = able(target, scenario)
            runs[target.name] = why or []
            if not why:
                measure(target, scenario, 1)  # warm
        for turn in range(rounds):
            for target in targets:
                if isinstance(runs[target.name], list):
                    runs[target.name].append(measure(target, scenario, seconds))
            print(f"{scenario.name}: round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
        found[scenario.name] = runs
    return found


def ratios(runs: Mapping[str, Any]) -> dict[str, float]:
    """By target: the median over the rounds of its processor time by that of the raw ASGI app next to it."""
    yardstick = runs.get("raw ASGI")
    if not isinstance(yardstick, list):
        return {}
    found: dict[str, float] = {}
    for name, results in runs.items():
        if isinstance(results, list):
            pairs = [(a["cpu_us"], b["cpu_us"]) for a, b in zip(results, yardstick, strict=True)]
            both = [a / b for a, b in pairs if a and b]
            if both:
                found[name] = statistics.median(both)
    return found


def check(runs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is worse than the committed baseline, one line each."""
    known: dict[str, float] = json.loads(BASELINE.read_text())["ratios"] if BASELINE.exists() else {}
    told: list[str] = []
    for name, results in runs.items():
        now, before = ratios(results).get("specstack"), known.get(name)
        if now is None or before is None:
            told.append(f"{name}: not measured, or not in the baseline")
            continue
        print(f"{name:20} {now:5.2f} times raw ASGI, baseline {before:5.2f}")
        if now > before * TOLERANCE:
            told.append(
                f"{name}: {now:.2f} times raw ASGI, {now / before:.2f} times the baseline's {before:.2f}"
            )
    return told


def chosen(only: str, checking: bool) -> list[Scenario]:
    """The scenarios that names with commas between them stand for; without any, all of the run or check.

    Raises ValueError for a name that there is not, and in a check for one without a baseline.
    """
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    known = CHECKED if checking else tuple(one.name for one in SCENARIOS)
    unknown = [name for name in wanted if name not in known]
    if unknown or (only and not wanted):
        what = "checked scenario" if checking else "scenario"
        raise ValueError(
            f"there is no {what} {' or '.join(map(repr, unknown or [only]))}; there are: {', '.join(known)}"
        )
    return [one for one in SCENARIOS if one.name in (wanted or known)]


def above(kind: type[int] | type[float]) -> Callable[[str], float]:
    """Reads a number above 0."""

    def number(text: str) -> float:
        found = kind(text)
        if not 0 < found < float("inf"):
            raise argparse.ArgumentTypeError(f"must be more than 0, not {text}")
        return found

    return number


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="a short run, compared with the baseline")
    parser.add_argument(
        "--save-baseline", action="store_true", help="write the ratios to bench/baseline.json"
    )
    parser.add_argument("--rounds", type=above(int), help="5, or 3 with --check")
    parser.add_argument("--seconds", type=above(float), help="length of one run: 3, or 2 with --check")
    names = ", ".join(one.name for one in SCENARIOS)
    parser.add_argument("--only", default="", help=f"scenarios, separated by commas: {names}")
    parser.add_argument("--upstream-port", type=int, default=0, help="the model server's port")
    parser.add_argument("--target", action="append", default=[], type=servers.given, help="a running peer")
    args = parser.parse_args()
    if not sys.platform.startswith("linux"):
        sys.exit("bench: processor time is read from /proc, which only Linux has")
    try:
        scenarios = chosen(args.only, args.check)
    except ValueError as error:
        parser.error(str(error))
    rounds = args.rounds or (3 if args.check else 5)
    seconds = args.seconds or (2.0 if args.check else 3.0)
    targets: list[Target] = []
    behind: Target | None = None
    try:
        behind = servers.upstream(args.upstream_port)
        targets += [behind, servers.raw(), servers.specstack(behind)]
        if args.check:
            targets.remove(behind)
        elif (found := servers.nginx(behind)) is not None:
            targets.append(found)
        targets += args.target
        idle = {target.name: target.memory_mb() for target in targets if target.pid}
        runs = interleaved(targets, scenarios, rounds, seconds)
        _tell(args, runs, targets, idle)
    finally:
        for target in targets:
            target.stop()
        if behind is not None:
            behind.stop()


def _tell(
    args: argparse.Namespace, runs: dict[str, dict[str, Any]], targets: list[Target], idle: dict[str, float]
) -> None:
    if args.save_baseline:
        kept = {
            name: round(found, 2) for name, one in runs.items() if (found := ratios(one).get("specstack"))
        }
        BASELINE.write_text(json.dumps({"python": sys.version.split()[0], "ratios": kept}, indent=2) + "\n")
    if args.check:
        for line in check(runs):
            print(f"warning: {line}")
        return
    facts = {
        "when": time.strftime("%Y-%m-%d %H:%M"),
        "python": sys.version.split()[0],
        "load": "wrk" if shutil.which("wrk") else "load.py",
        "memory": {target.name: (idle[target.name], target.memory_mb()) for target in targets if target.pid},
        "start": {target.name: target.start_seconds for target in targets if target.start_seconds},
    }
    units = {scenario.name: scenario.unit for scenario in SCENARIOS}
    text = report.table(runs, units, {name: ratios(one) for name, one in runs.items()}, facts)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "table.md").write_text(text)
    (RESULTS / "picture.svg").write_text(report.picture(runs, units))
    (RESULTS / "runs.json").write_text(json.dumps({"facts": facts, "runs": runs}, indent=1))
    print(text)
    print(f"written to {_shown(RESULTS)}: table.md, picture.svg, runs.json")


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    main()
