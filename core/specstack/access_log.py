"""The access log: a line for every call, written in batches by a thread that nobody waits for."""

import asyncio
import sys
import threading
import time
from json.encoder import encode_basestring
from queue import SimpleQueue
from time import perf_counter
from typing import TextIO
from urllib.parse import quote

from specstack.descriptors import Operation
from specstack.http.call import Call, Observe, Observer
from specstack.logs import Style
from specstack.telemetry.labels import method_of

NAME = "specstack.access"
EVERY = 0.1
"""Seconds for which lines are gathered before they are written."""
MOST_WAITING = 20_000
"""Lines that may wait for a standard error that is not read. Later ones are given up."""
_LONGEST_PATH = 1000


class Lines:
    """Writes lines to standard error, and counts those that it had to give up."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._lines: list[str] = []
        self._batches: SimpleQueue[list[str] | None] = SimpleQueue()
        self._handed = 0
        self._written = 0
        self._armed = False
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def put(self, line: str) -> None:
        """Have a line written soon. Call it in the event loop."""
        if len(self._lines) + self._handed - self._written >= MOST_WAITING:
            self.dropped += 1
            return
        self._lines.append(line)
        if not self._armed:
            self._armed = True
            asyncio.get_running_loop().call_later(EVERY, self._hand_over)

    def stop(self, seconds: float = 1.0) -> None:
        """Write what there is, within a time."""
        self._hand_over()
        if self._thread is not None:
            self._batches.put(None)
            self._thread.join(seconds)
            self._thread = None

    def _hand_over(self) -> None:
        self._armed = False
        if not self._lines:
            return
        batch, self._lines = self._lines, []
        self._handed += len(batch)
        self._batches.put(batch)
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="specstack-access-log", daemon=True)
            self._thread.start()

    def _write(self) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                self._stream.write("".join(batch))
                self._stream.flush()
            except (OSError, ValueError):
                # Nobody is there to read it, or to be told of that.
                self.dropped += len(batch)
            self._written += len(batch)


class AccessLog:
    """Notes calls when they are over. `lines` takes the lines, in the style of the log.

    They say from which process they come, if that is given.
    """

    def __init__(self, lines: Lines, style: Style, process: int | None = None) -> None:
        self._lines = lines
        self._from = "" if process is None else f"[{process}] "
        self._pid = "" if process is None else f'"pid": {process}, '
        self._write = self._json if style == "json" else self._text
        self._second = 0
        self._shown = ""

    def observer_for(self, op: Operation | None) -> Observe:
        """For `HttpSettings.observers`."""

        def observe(call: Call) -> Observer:
            return _Noted(self, call)

        return observe

    def note(self, call: Call) -> None:
        """Write the call's line."""
        scope = call.scope
        raw: bytes | None = scope.get("raw_path")
        path = raw.decode("latin-1") if raw else quote(scope["path"])
        if len(path) > _LONGEST_PATH or not path.isprintable():
            path = quote(path[:_LONGEST_PATH], safe="/%")
        client = scope.get("client")
        principal = call.ctx.principal
        self._lines.put(
            self._write(
                call,
                method_of(call),
                path,
                client[0] if client else "-",
                "-" if principal is None else principal.id,
                (perf_counter() - call.started) * 1000,
            )
        )

    def _text(self, call: Call, method: str, path: str, client: str, who: str, ms: float) -> str:
        second = int(time.time())
        if second != self._second:
            self._second, self._shown = second, time.strftime("%H:%M:%S", time.localtime(second))
        who = who if who.isprintable() and " " not in who else encode_basestring(who)
        cut = "" if call.whole or call.status >= 400 else " cut"
        head = f"{self._shown} INFO    {self._from}{NAME}: {client} {who}"
        return f"{head} {method} {path} {call.status or '-'} {ms:.1f}ms{cut} {call.ctx.request_id}\n"

    def _json(self, call: Call, method: str, path: str, client: str, who: str, ms: float) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._shown = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        ctx, op = call.ctx, call.op
        shown = encode_basestring(path)
        trace = f'"trace_id": "{ctx.trace[3:35]}", ' if ctx.trace else ""
        return (
            f'{{"time": "{self._shown}.{int((now - second) * 1000):03d}Z", "level": "info", '
            f'"category": "access", "logger": "{NAME}", '
            f'"message": "{method} {shown[1:-1]} {call.status or "-"}", '
            f'{self._pid}"request_id": "{ctx.request_id}", {trace}"method": "{method}", "path": {shown}, '
            f'"status": {call.status or "null"}, "duration_ms": {ms:.2f}, '
            f'"whole": {"true" if call.whole else "false"}, "client": {encode_basestring(client)}, '
            f'"principal": {"null" if who == "-" else encode_basestring(who)}, '
            f'"operation": {"null" if op is None else encode_basestring(op.id)}}}\n'
        )


class _Noted(Observer):
    __slots__ = ("_call", "_log")

    def __init__(self, log: AccessLog, call: Call) -> None:
        self._log = log
        self._call = call

    def ended(self) -> None:
        self._log.note(self._call)
