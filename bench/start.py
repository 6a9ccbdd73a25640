"""What starting costs: the first answer of a server, its memory, the imports, and a look-up of a model.

Linux only: memory is read from /proc. On a quiet machine:

    python bench/start.py [--runs 7]
"""

import argparse
import asyncio
import http.client
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

DISTRIBUTION = "openai-gateway"
SERVE = "from specstack.cli.main import stack_serve; stack_serve()"
LOOKUPS = 50_000


def main() -> None:
    """Measure and print a table; the least of the runs, and their median."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    runs: int = parser.parse_args().runs
    starts = [start() for _ in range(runs)]
    rows = [
        (f"{DISTRIBUTION}: process to first answer, s", [one[0] for one in starts]),
        (f"{DISTRIBUTION}: memory when idle, MB", [one[1] for one in starts]),
        ("import pydantic, ms", [imported("pydantic") for _ in range(runs)]),
        (
            "import specstack_api beyond pydantic, ms",
            [beyond("specstack_api", "pydantic") for _ in range(runs)],
        ),
        ("look up a registered model, us", [lookup() for _ in range(runs)]),
    ]
    for name, figures in rows:
        print(f"{name:48} least {min(figures):8.2f}   median {statistics.median(figures):8.2f}")


def start() -> tuple[float, float]:
    """Seconds from the process's start to its first answer, and its memory in MB a second later."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    environment = {**os.environ, "OPENAI_COMPATIBLE_URL": "http://127.0.0.1:9/v1"}
    began = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "-c", SERVE, DISTRIBUTION, "--port", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not _answers(port):
            if server.poll() is not None or time.perf_counter() - began > 60:
                raise SystemExit(
                    f"{DISTRIBUTION} does not start; run `stack-serve {DISTRIBUTION}` to see why"
                )
            time.sleep(0.005)
        taken = time.perf_counter() - began
        time.sleep(1)
        status = Path(f"/proc/{server.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return taken, int(found[1]) / 1024
    finally:
        server.terminate()
        server.wait(20)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/v1/health")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def imported(module: str) -> float:
    """Milliseconds of a module's import in a fresh process."""
    return _timed(f"import {module}")


def beyond(module: str, base: str) -> float:
    """Milliseconds of a module's import once `base` is there."""
    return _timed(f"import {module}", f"import {base}")


def _timed(statement: str, before: str = "pass") -> float:
    taken = "print((time.perf_counter() - began) * 1000)"
    code = f"import time\n{before}\nbegan = time.perf_counter()\n{statement}\n{taken}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def lookup() -> float:
    """Microseconds that the routing table takes for a model that is registered."""
    return asyncio.run(_lookup())


async def _lookup() -> float:
    from specstack.config import read_config
    from specstack.resolver import Supplies
    from specstack.runtime import Runtime
    from specstack.sources import RandomIds, SystemClock, cache_dir
    from specstack.upstream import UpstreamPool
    from specstack_server import SERVER
    from specstack_wire import RequestContext

    text = (
        "version: 2\ndistro_name: bench\nproviders:\n  inference:\n    - provider_id: far\n"
        "      provider_type: remote::openai-compatible\n"
        "      config: {base_url: 'http://127.0.0.1:9/v1', allowed_models: [one]}\n"
        "registered_resources:\n  models: [{model_id: far/one, provider_id: far, provider_model_id: one}]\n"
    )
    supplies = Supplies(UpstreamPool(), RandomIds(), SystemClock(), cache_dir())
    runtime = await Runtime.start(read_config(text, "bench.yaml", SERVER, {}), SERVER, supplies)
    resolve: Callable[..., object] = runtime.table("model").resolve
    ctx = RequestContext("bench")
    began = time.process_time()
    for _ in range(LOOKUPS):
        await resolve(ctx, "far/one", param="model", requires={})
    taken = time.process_time() - began
    await runtime.stop()
    return taken / LOOKUPS * 1e6


if __name__ == "__main__":
    main()
