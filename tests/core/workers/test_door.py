"""Who of several processes takes a connection: they are stood in for by numbers in the shared memory."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator

import pytest

from specstack.workers import door as door_module
from specstack.workers.door import Door
from specstack.workers.seat import Loads


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        found.listen()
        found.setblocking(False)
        yield found


class Side:
    """One process: the connections that it has."""

    def __init__(self, listener: socket.socket, loads: Loads, seat: int) -> None:
        self.here: list[asyncio.Transport] = []
        made = self

        class Protocol(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                assert isinstance(transport, asyncio.Transport)
                made.here.append(transport)

        self.door = Door(listener, loads, seat, Protocol, lambda: len(self.here))

    def end(self) -> None:
        self.door.close()
        for one in self.here:
            one.close()


async def arrived(side: Side, count: int) -> float:
    """Seconds until it has so many connections."""
    began = time.monotonic()
    while len(side.here) < count:
        assert time.monotonic() - began < 10
        await asyncio.sleep(0.001)
    return time.monotonic() - began


async def test_a_lone_one_takes_all(listener: socket.socket) -> None:
    side = Side(listener, Loads(3), 2)
    side.door.open()
    clients = [socket.create_connection(listener.getsockname()) for _ in range(20)]
    await arrived(side, 20)
    side.end()
    for one in clients:
        one.close()


async def test_one_with_more_leaves_it_to_others_for_a_moment(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_module, "LEAVE", 0.2)
    loads = Loads(2)
    loads.tell(2, 0)
    side = Side(listener, loads, 1)
    side.door.open()
    with socket.create_connection(listener.getsockname()), socket.create_connection(listener.getsockname()):
        await arrived(side, 1)
        await asyncio.sleep(0.1)
        # The other one has none yet, and does not come.
        assert len(side.here) == 1
        assert await arrived(side, 2) < 5
    side.end()


async def test_it_is_left_to_nobody_who_is_not_there(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_module, "LEAVE", 60)
    loads = Loads(2)
    loads.tell(2, 0)
    loads.close(2)
    side = Side(listener, loads, 1)
    side.door.open()
    clients = [socket.create_connection(listener.getsockname()) for _ in range(5)]
    await arrived(side, 5)
    side.end()
    for one in clients:
        one.close()


async def test_two_share_and_a_closed_one_takes_no_more(listener: socket.socket) -> None:
    loads = Loads(2)
    # As after a fork, each has a listening socket of its own that is the same.
    other = socket.socket(fileno=os.dup(listener.fileno()))
    one, two = Side(listener, loads, 1), Side(other, loads, 2)
    one.door.open()
    two.door.open()
    clients: list[socket.socket] = []
    for count in range(1, 41):
        clients.append(socket.create_connection(listener.getsockname()))
        while len(one.here) + len(two.here) < count:
            await asyncio.sleep(0.001)
    assert abs(len(one.here) - len(two.here)) <= 4
    two.door.close()
    had = len(two.here)
    clients += [socket.create_connection(listener.getsockname()) for _ in range(10)]
    await arrived(one, 50 - had)
    assert len(two.here) == had
    one.end()
    two.end()
    other.close()
    for client in clients:
        client.close()


def test_loads_count_only_those_who_are_there() -> None:
    loads = Loads(3)
    assert loads.least() == 0
    loads.tell(1, 5)
    loads.tell(3, 7)
    assert loads.least() == 5
    loads.close(1)
    assert loads.least() == 7


def test_loads_are_shared_with_forks() -> None:
    loads = Loads(2)
    pid = os.fork()
    if pid == 0:
        loads.tell(2, 9)
        os._exit(0)
    os.waitpid(pid, 0)
    assert loads.least() == 9
