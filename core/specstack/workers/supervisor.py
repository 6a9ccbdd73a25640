"""Keeps several workers alive that serve one address together. It takes no requests itself.

Workers are forks of a process that has read and checked the run config and holds the listening socket, and
that has neither threads nor an event loop, now or later: each worker starts its providers and engines for
itself. So a worker that takes the place of a dead one is quick to start and has the same configuration,
whatever became of the file; what was imported before is in memory once; and with TLS each can take up a
session that another began. The first worker starts alone: what must be done once, such as bringing tables
up to date, is done, and a fault is told once.
"""

import gc
import json
import logging
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from specstack.startup import StartupError
from specstack.workers.seat import Loads, Seat
from specstack.workers.worker import FAILED, HURRY, SAYS, SERVES, Worker

STEADY = 10.0
"""Seconds after which a worker's end has nothing to do with its start, so that it is replaced at once."""
PAUSE_FIRST, PAUSE_LAST = 0.5, 30.0
"""Seconds before a worker is started again that has ended soon, growing from the one to the other."""
GIVE_UP = 5
"""Starts that may fail one after the other while no worker serves."""

_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_log = logging.getLogger("specstack")


@dataclass(slots=True)
class _Running:
    """A worker process as the supervisor sees it."""

    seat: Seat
    pid: int
    status: int
    began: float
    said: bytes = b""
    serves: bool = False
    failed: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        return f"worker {self.seat.number} (process {self.pid})"


class Supervisor:
    """`serve` is what a worker does until it ends; `tell` gets once what the first says of the server.

    Without `folder` workers do not find each other.
    """

    def __init__(
        self,
        listener: socket.socket,
        workers: int,
        serve: Callable[[Worker], None],
        tell: Callable[[str], None],
        folder: Path | None = None,
    ) -> None:
        self._listener = listener
        self._serve = serve
        self._tell = tell
        self._seats = [Seat(number, workers, folder) for number in range(1, workers + 1)]
        self._loads = Loads(workers)
        self._running: dict[int, _Running] = {}
        self._due: dict[Seat, float] = {}
        self._ended_soon: dict[Seat, int] = {}
        self._failures = 0
        self._text = ""
        self._started = self._announced = False
        self._stopping: signal.Signals | None = None
        self._why: list[str] = []
        self._heard: list[signal.Signals] = []
        self._selector = selectors.DefaultSelector()
        self._life, self._alive = os.pipe()
        self._bell, self._ring = socket.socketpair()

    def run(self) -> signal.Signals:
        """Keep the workers alive until a signal ends them; that signal. Raises StartupError."""
        # Pages that nothing writes to stay shared: the collector shall not touch what is there now.
        gc.collect()
        gc.freeze()
        with self._listening():
            try:
                self._due[self._seats[0]] = 0.0
                while self._running or self._due:
                    self._begin_due()
                    self._wait()
                    self._heed()
                    self._reap()
            finally:
                self._leave()
        if self._why:
            raise StartupError(*self._why)
        assert self._stopping is not None
        return self._stopping

    # -- signals ---------------------------------------------------------------------------

    @contextmanager
    def _listening(self) -> Generator[None]:
        """Note signals and wake up for them; afterwards all is as it was."""
        for end in (self._bell, self._ring):
            end.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ)
        wakeup = signal.set_wakeup_fd(self._ring.fileno(), warn_on_full_buffer=False)
        handlers = {one: signal.signal(one, self._hear) for one in (*_STOPPING, signal.SIGCHLD)}
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for one, handler in handlers.items():
                signal.signal(one, handler)

    def _hear(self, number: int, frame: object) -> None:
        if number != signal.SIGCHLD:
            self._heard.append(signal.Signals(number))

    def _heed(self) -> None:
        while self._heard:
            one = self._heard.pop(0)
            if self._stopping is None:
                self._stop(one)
            elif one == signal.SIGINT:
                self._send(HURRY)

    def _stop(self, why: signal.Signals) -> None:
        """Have all workers finish what is under way, as long as the run config allows."""
        self._stopping = why
        self._due.clear()
        # Who connects when the last worker takes no more shall be told so.
        self._listener.close()
        self._send(signal.SIGTERM)

    def _send(self, one: signal.Signals) -> None:
        for worker in self._running.values():
            with suppress(ProcessLookupError):
                os.kill(worker.pid, one)

    # -- what happens ----------------------------------------------------------------------

    def _wait(self) -> None:
        """Until something happens, or a worker is due."""
        timeout = max(0.0, min(self._due.values()) - time.monotonic()) if self._due else None
        for key, _ in self._selector.select(timeout):
            if key.fileobj is self._bell:
                with suppress(BlockingIOError):
                    while self._bell.recv(4096):
                        pass
            else:
                self._read(key.data)

    def _read(self, worker: _Running) -> None:
        """Take in what a worker tells."""
        with suppress(BlockingIOError):
            while piece := os.read(worker.status, 65536):
                worker.said += piece
            # It has ended, which `_reap` sees as well.
            self._selector.unregister(worker.status)
        *lines, worker.said = worker.said.split(b"\n")
        for line in lines:
            told = json.loads(line)
            worker.failed += told.get(FAILED, [])
            if SERVES in told:
                self._serves(worker)
            self._text = self._text or told.get(SAYS, "")
        if self._text and self._started and not self._announced:
            self._announced = True
            self._tell(self._text)

    def _serves(self, worker: _Running) -> None:
        worker.serves = True
        self._failures = 0
        if self._started or self._stopping:
            _log.info("%s serves", worker)
            return
        if worker.seat is self._seats[0]:
            self._due.update((seat, 0.0) for seat in self._seats[1:])
        self._started = sum(one.serves for one in self._running.values()) == len(self._seats)

    def _reap(self) -> None:
        # As the first process of a container it inherits what others leave behind.
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._running:
                self._has_ended(self._running[pid], os.waitstatus_to_exitcode(status))

    def _has_ended(self, worker: _Running, code: int) -> None:
        self._loads.close(worker.seat.number)
        if worker.status in self._selector.get_map():
            self._read(worker)
        if worker.status in self._selector.get_map():
            self._selector.unregister(worker.status)
        os.close(worker.status)
        del self._running[worker.pid]
        if self._stopping is not None:
            return
        how = f"{worker} {_how(code)}"
        if not self._started:
            self._give_up(worker.failed or [f"{how} while it started"])
            return
        for line in worker.failed:
            _log.error("%s cannot start: %s", worker, line)
        if not worker.serves:
            self._failures += 1
        if self._failures >= GIVE_UP and not any(one.serves for one in self._running.values()):
            self._give_up([f"{how}; {GIVE_UP} starts have failed one after the other, and no worker serves"])
            return
        self._replace(worker, how)

    def _replace(self, worker: _Running, how: str) -> None:
        lasted = time.monotonic() - worker.began
        soon = 0 if worker.serves and lasted >= STEADY else self._ended_soon.get(worker.seat, 0) + 1
        self._ended_soon[worker.seat] = soon
        # The first time may be chance.
        pause = 0.0 if soon < 2 else min(PAUSE_LAST, PAUSE_FIRST * 2 ** (soon - 2))
        _log.error("%s; another takes its place %s", how, f"in {pause:g} s" if pause else "now")
        self._due[worker.seat] = time.monotonic() + pause

    def _give_up(self, why: list[str]) -> None:
        self._why = why
        self._stop(signal.SIGTERM)

    # -- processes -------------------------------------------------------------------------

    def _begin_due(self) -> None:
        now = time.monotonic()
        for seat in [seat for seat, when in self._due.items() if when <= now]:
            del self._due[seat]
            self._begin(seat)

    def _begin(self, seat: Seat) -> None:
        read, write = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal that came between the fork and the change of its handlers would be noted here for nobody.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (*_STOPPING, signal.SIGCHLD))
        try:
            pid = os.fork()
            if pid == 0:
                self._become(seat, read, write, before)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(write)
        os.set_blocking(read, False)
        worker = self._running[pid] = _Running(seat, pid, read, time.monotonic())
        self._selector.register(read, selectors.EVENT_READ, worker)

    def _become(self, seat: Seat, read: int, write: int, mask: Iterable[int]) -> NoReturn:
        """Be a worker, and end with it. Nothing of what the supervisor would do at its end is done here."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            # A terminal sends these to all processes; the supervisor says what they mean.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            self._selector.close()
            for one in self._running.values():
                os.close(one.status)
            os.close(read)
            os.close(self._alive)
            self._bell.close()
            self._ring.close()
            worker = Worker(seat, self._loads, self._listener, self._life, write)
            try:
                self._serve(worker)
                code = 0
            except StartupError as error:
                worker.failed(error.lines)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _leave(self) -> None:
        """Close what is open. Workers that are there still see that, and stop."""
        self._selector.close()
        self._bell.close()
        self._ring.close()
        os.close(self._life)
        os.close(self._alive)


def _how(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
