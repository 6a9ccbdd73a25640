"""One worker: what it hears from its supervisor, and what it tells it."""

import asyncio
import json
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from specstack.workers.door import Door
from specstack.workers.seat import Loads, Seat

HURRY = signal.SIGUSR1
"""Ends a worker that is stopping already without waiting for its requests."""
SERVES, SAYS, FAILED = "serves", "says", "failed"

_log = logging.getLogger("specstack")


class Stoppable(Protocol):
    """uvicorn's server, as far as it can be told to stop."""

    should_exit: bool
    force_exit: bool


@dataclass(frozen=True, slots=True)
class Worker:
    """This process. `life` ends when the supervisor does; what is written to `status` it reads."""

    seat: Seat
    loads: Loads
    listener: socket.socket
    life: int
    status: int

    def say(self, text: str) -> None:
        """What there is to say of the server, for people."""
        self._tell(SAYS, text)

    def failed(self, lines: Iterable[str]) -> None:
        """The server cannot start, and why."""
        self._tell(FAILED, list(lines))

    def watch(self, server: Stoppable) -> None:
        """Stop in good order when the supervisor is gone, whatever became of it."""
        loop = asyncio.get_running_loop()

        def alone() -> None:
            loop.remove_reader(self.life)
            _log.warning("the supervisor is gone; worker %d stops", self.seat.number)
            server.should_exit = True

        def hurry() -> None:
            server.should_exit = server.force_exit = True

        loop.add_reader(self.life, alone)
        loop.add_signal_handler(HURRY, hurry)

    def opened(
        self,
        protocol: Callable[[], asyncio.Protocol],
        present: Callable[[], int],
        context: ssl.SSLContext | None,
    ) -> Door:
        """The way to the listening socket, taking connections, which the supervisor is told."""
        door = Door(self.listener, self.loads, self.seat.number, protocol, present, context)
        door.open()
        self._tell(SERVES, True)
        return door

    def _tell(self, kind: str, what: object) -> None:
        try:
            os.write(self.status, json.dumps({kind: what}).encode() + b"\n")
        except OSError:
            # Without a supervisor `watch` sees to the rest.
            return
