"""Taking connections off a listening socket that several processes share, so that each gets as many.

A connection that is kept alive stays with the process that took it: who takes how many decides over their
loads. Left to themselves, a process that is awake takes all that there are. Sockets of their own
(SO_REUSEPORT) would get them by a hash of addresses and ports, which for sixteen connections and two
processes is 11 to 5 or worse in every fifth case, and would lose what waits at a process that dies. Here a
process that has more than another leaves the next one to it for a moment. One that does not come meanwhile
is busy, so no connection waits longer than that.
"""

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable

from specstack.workers.seat import Loads

LEAVE = 0.002
"""Seconds for which a connection is left to processes that have fewer."""
_MOST = 64
"""Connections that are taken before the requests of others get their turn."""
_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_REST = 1.0
"""Seconds without new connections when there is no file for them."""

_log = logging.getLogger("specstack")


class Door:
    """One worker's way to a shared listening socket. `present` tells how many connections it has.

    It is to uvicorn what asyncio's servers are.
    """

    def __init__(
        self,
        listener: socket.socket,
        loads: Loads,
        seat: int,
        protocol: Callable[[], asyncio.Protocol],
        present: Callable[[], int],
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._listener = listener
        self._loads = loads
        self._seat = seat
        self._protocol = protocol
        self._present = present
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._beginning: set[asyncio.Task[None]] = set()
        self._resting: asyncio.TimerHandle | None = None
        self._closed = False

    def open(self) -> None:
        """Take connections from now on."""
        self._loads.tell(self._seat, self._present())
        self._loop.add_reader(self._listener, self._take)

    def close(self) -> None:
        """Take no more."""
        if self._closed:
            return
        self._closed = True
        self._loads.close(self._seat)
        if self._resting is not None:
            self._resting.cancel()
        self._loop.remove_reader(self._listener)

    async def wait_closed(self) -> None:
        """Nothing is left to wait for once it is closed."""

    def _take(self, owed: int = 0) -> None:
        """Take what waits, but for what others should; `owed` connections in any case."""
        for taken in range(_MOST):
            mine = self._present() + len(self._beginning)
            self._loads.tell(self._seat, mine)
            least = self._loads.least()
            # Among many, a few more or less are no reason to wait.
            if taken >= owed and mine > least + least // 8:
                self._rest(LEAVE)
                return
            try:
                connection = self._listener.accept()[0]
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _SHORT:
                    raise
                _log.error("no connections are taken for %g s: %s", _REST, error.strerror)
                self._rest(_REST)
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._begin(connection))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    def _rest(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._resting = self._loop.call_later(seconds, self._again)

    def _again(self) -> None:
        self._resting = None
        self._loop.add_reader(self._listener, self._take)
        # Whoever was to take it has not come.
        self._take(owed=1)

    async def _begin(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection, ssl=self._context)
        except (OSError, ssl.SSLError) as error:
            connection.close()
            _log.debug("a connection did not come about: %s", error)
