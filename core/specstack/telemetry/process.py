"""What the process itself takes: processor time, memory, files."""

import os
import sys
import time
from pathlib import Path

from specstack.telemetry.meters import Meters

_STATM = Path("/proc/self/statm")
_FILES = Path("/proc/self/fd")


def watch_process(meters: Meters) -> None:
    """Read the process's own metrics whenever somebody asks."""
    began = time.monotonic()
    meters.watch("cpu_time", _cpu_time, "mode")
    if sys.platform != "win32":
        meters.watch("memory", lambda: [((), _memory())])
    meters.watch("uptime", lambda: [((), time.monotonic() - began)])
    if _FILES.is_dir():
        meters.watch("open_files", lambda: [((), float(sum(1 for _ in _FILES.iterdir())))])


def _cpu_time() -> list[tuple[tuple[str], float]]:
    times = os.times()
    return [(("user",), times.user), (("system",), times.system)]


def _memory() -> float:
    """Resident bytes; where the system does not tell them, the most that there have been."""
    try:
        return float(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak if sys.platform == "darwin" else peak * 1024)
