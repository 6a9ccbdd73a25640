"""Servers under test: started on one core, measured by what the kernel counts for them."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
_TICKS = os.sysconf("SC_CLK_TCK")
_SOURCES = ("core", "generated", "providers", "distributions", "codegen")


def cores() -> tuple[set[int], set[int]]:
    """The core for servers, and those for the load and what stands behind the servers."""
    found = sorted(os.sched_getaffinity(0))
    return ({found[0]}, set(found[1:])) if len(found) > 1 else (set(found), set(found))


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@dataclass
class Target:
    """A server. `base` ends with the version, such as /v1; `model` and `embed` are its ids of them."""

    name: str
    base: str
    model: str = "mock-llm"
    embed: str = "mock-embed"
    pid: int = 0
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)
    start_seconds: float | None = None

    def cpu(self) -> float:
        """Seconds of processor time of the server and its children so far."""
        return sum(map(cpu_of, _family(self.pid)))

    def memory_mb(self) -> float:
        """Resident memory of the server and its children."""
        total = 0
        for pid in _family(self.pid):
            try:
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            except OSError:
                continue
            total += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
        return total / 1024

    def alone(self, seconds: float) -> None:
        """Wait at most so long for processes that the server has started to end."""
        until = time.perf_counter() + seconds
        while len(_family(self.pid)) > 1 and time.perf_counter() < until:
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server, if it was started here."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def cpu_of(pid: int) -> float:
    """Seconds of processor time of a process so far; none for one that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return _family(pid)[1:]


def _family(pid: int) -> list[int]:
    found = [pid] if pid else []
    for one in found:
        try:
            for task in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


def launch(target: Target, command: list[str], on: set[int], ready: str, **environment: str) -> Target:
    """Start a server and wait until it answers `ready`, a path. Raises RuntimeError when it does not."""
    path = os.pathsep.join(str(ROOT / name) for name in _SOURCES)
    log = Path(mkdtemp(prefix="bench-")) / f"{target.name}.log"
    began = time.perf_counter()
    with log.open("wb") as out:
        target.process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": path, **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            preexec_fn=lambda: os.sched_setaffinity(0, on),
        )
    target.pid = target.process.pid
    while time.perf_counter() - began < 60:
        if target.process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(target.base + ready, timeout=5):
                target.start_seconds = time.perf_counter() - began
                return target
        except OSError:
            time.sleep(0.02)
    target.stop()
    raise RuntimeError(f"{target.name} did not start; see {log}")


def upstream(port: int = 0, on: set[int] | None = None) -> Target:
    """The model server behind all others; it shares the load's cores unless others are named."""
    port = port or free_port()
    target = Target("direct", f"http://127.0.0.1:{port}/v1")
    return launch(target, [sys.executable, str(HERE / "upstream.py"), str(port)], on or cores()[1], "/models")


def raw() -> Target:
    """The raw ASGI app on plain uvicorn."""
    port = free_port()
    options = ["--port", str(port), "--log-level", "warning", "--no-access-log", "--app-dir", str(HERE)]
    command = [sys.executable, "-m", "uvicorn", "raw_asgi:app", *options]
    return launch(Target("raw ASGI", f"http://127.0.0.1:{port}/v1"), command, cores()[0], "/models")


def specstack(
    behind: Target,
    store: Path | None = None,
    name: str = "specstack",
    workers: int = 1,
    on: set[int] | None = None,
) -> Target:
    """This project; with a folder as `store` it keeps every chat completion there."""
    port = free_port()
    code = "from specstack.cli.main import stack_serve; stack_serve()"
    config = HERE / ("gateway.yaml" if store is None else "gateway-store.yaml")
    command = [sys.executable, "-c", code, str(config), "--port", str(port), "--workers", str(workers)]
    target = Target(name, f"http://127.0.0.1:{port}/v1", "mock/mock-llm", "mock/mock-embed")
    where = {"BENCH_UPSTREAM": str(_port_of(behind)), "BENCH_STORE": str(store or "")}
    return launch(target, command, on or cores()[0], "/health", **where)


def kept(store: Path) -> int:
    """How many completions a store has."""
    with closing(sqlite3.connect(store / "sql.db")) as database:
        return int(database.execute("select count(*) from specstack_chat_completions").fetchone()[0])


def nginx(behind: Target) -> Target | None:
    """nginx as a reverse proxy with one worker, where it is installed."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        return None
    port, folder = free_port(), Path(mkdtemp(prefix="bench-nginx-"))
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
        "events { worker_connections 1024; }\n"
        "http { access_log off; keepalive_requests 1000000;\n"
        f"  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n"
        f"  fastcgi_temp_path {folder}/f;\n"
        f"  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
        f"  upstream models {{ server 127.0.0.1:{_port_of(behind)}; keepalive 256; }}\n"
        f"  server {{ listen 127.0.0.1:{port};\n"
        '    location / { proxy_pass http://models; proxy_http_version 1.1; proxy_set_header connection "";\n'
        "      proxy_buffering off; } } }\n"
    )
    target = Target("nginx", f"http://127.0.0.1:{port}/v1")
    try:
        return launch(
            target, [program, "-c", str(config), "-e", f"{folder}/early.log"], cores()[0], "/models"
        )
    except RuntimeError as error:
        print(f"nginx is left out: {error}", file=sys.stderr)
        return None


def given(text: str) -> Target:
    """A server that runs already: NAME=URL[,model=ID][,embed=ID][,pid=N]. Raises ValueError."""
    name, equals, rest = text.partition("=")
    url, *options = rest.split(",")
    values = dict(option.split("=", 1) for option in options)
    if not equals or not url.startswith("http://127.0.0.1:") or set(values) - {"model", "embed", "pid"}:
        raise ValueError(f"{text!r} is not NAME=http://127.0.0.1:PORT/v1[,model=ID][,embed=ID][,pid=N]")
    pid = int(values.pop("pid", 0))
    return Target(name, url.rstrip("/"), pid=pid, **values)


def _port_of(target: Target) -> int:
    return int(target.base.split(":")[2].split("/")[0])
