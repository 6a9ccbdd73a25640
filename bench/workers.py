"""What a second worker costs: processor time per request of a server with two workers, by that with one.

    python bench/workers.py [--rounds 5] [--seconds 5] [--rate 500]

A worker needs more for a request when its machine does more besides: other processes take its core and push
its data out of the caches. That is the same for any second process, and no part of what is asked here. So
each round measures two servers at work side by side with one worker each, then one server with two workers.
Either time two loads send so many requests per second in all, on 16 kept connections each, and no process
has a core of its own. The rate is fixed and far from what a worker can do, for one that is never idle needs
less per request. Every completion is kept; the supervisor's time counts. A server with one worker alone on
the machine is shown as well.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import run
import servers
from servers import Target

CONNECTIONS = 16
RATE = 500.0
"""Requests per second for each worker."""


@dataclass(frozen=True)
class Found:
    """Microseconds of processor time per request, medians of the rounds.

    `beside`: of one worker beside another server; `alone`: beside none. `ratio`: of two workers by `beside`,
    the median of each round's. `shares`: what each worker did of all that both did.
    """

    beside: float
    two: float
    alone: float
    ratio: float
    shares: tuple[float, float]


def everywhere() -> set[int]:
    """All cores."""
    return set(os.sched_getaffinity(0))


def ask(target: Target, rate: float, seconds: float) -> int:
    """Send chat completions at a rate; how many were answered. Raises RuntimeError if one was not."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.write(json.dumps(run.chat(target)).encode())
        file.flush()
        command = [sys.executable, str(servers.HERE / "load.py"), f"{target.base}/chat/completions"]
        command += [str(CONNECTIONS), str(seconds), file.name, str(rate)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 90)
    result = json.loads(done.stdout.strip().splitlines()[-1])
    if result["errors"]:
        raise RuntimeError(f"{target.name}: {result['errors']} requests failed")
    return int(result["requests"])


def spent(asked: tuple[Target, ...], measured: Target, rate: float, seconds: float) -> float:
    """Microseconds per request of a target, while each of `asked` gets a load; it may be there twice."""
    before = measured.cpu()
    with ThreadPoolExecutor(len(asked)) as pool:
        counts = list(pool.map(lambda target: ask(target, rate, seconds), asked))
    own = sum(count for target, count in zip(asked, counts, strict=True) if target is measured)
    return (measured.cpu() - before) * 1e6 / own


def compared(rounds: int, seconds: float, rate: float, folder: Path) -> Found:
    """Start the servers, measure them in turns, and stop them."""
    up: list[Target] = []

    def started(name: str, workers: int) -> Target:
        store = Path(tempfile.mkdtemp(dir=folder))
        up.append(found := servers.specstack(behind, store, name, workers, everywhere()))
        return found

    try:
        up.append(behind := servers.upstream(on=everywhere()))
        one, other, two = started("one", 1), started("other", 1), started("two", 2)
        for target in (one, other, two):
            ask(target, rate, min(1, seconds))  # warm
        workers = servers.children(two.pid)
        before = [servers.cpu_of(pid) for pid in workers]
        found: list[tuple[float, float, float]] = []
        for _ in range(rounds):
            found.append(
                (
                    spent((one, other), one, rate, seconds),
                    spent((two, two), two, rate, seconds),
                    spent((one,), one, rate, seconds),
                )
            )
        did = [servers.cpu_of(pid) - had for pid, had in zip(workers, before, strict=True)]
    finally:
        for target in up:
            target.stop()
    beside, both, alone = (statistics.median(column) for column in zip(*found, strict=True))
    ratio = statistics.median(pair / single for single, pair, _ in found)
    return Found(beside, both, alone, ratio, (did[0] / sum(did), did[1] / sum(did)))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one run")
    parser.add_argument("--rate", type=float, default=RATE, help="requests per second for each worker")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = compared(args.rounds, args.seconds, args.rate, Path(folder))
    print(f"one worker, beside another server   {found.beside:6.0f} us per request")
    print(f"two workers                         {found.two:6.0f} us, {found.ratio:.3f} times that")
    print(f"one worker alone                    {found.alone:6.0f} us")
    print(f"the two workers' shares             {found.shares[0]:.0%} and {found.shares[1]:.0%}")


if __name__ == "__main__":
    main()
