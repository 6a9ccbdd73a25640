"""Opening connections: name, address, proxy, TLS."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any
from urllib.parse import SplitResult

from specstack.http1.connection import Broken, Connection, Owner
from specstack.http1.request import ascii_host, basic

_NEXT_ADDRESS = 0.25
"""Seconds after which the next address of a name is tried beside the ones before it."""
_PORTS = {"http": 80, "https": 443}


class Unreachable(Exception):
    """No connection could be made. The text, or the cause, says why."""


class ConnectTimeout(Exception):
    """No connection within the time for it."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where connections go. `tls` is for an `https` server (and proxy), `timeout` in seconds."""

    url: SplitResult
    tls: Callable[[], ssl.SSLContext]
    proxy: SplitResult | None
    timeout: float

    @property
    def tunnelled(self) -> bool:
        """Whether a proxy only passes bytes on, because they are encrypted."""
        return self.proxy is not None and self.url.scheme == "https"


async def dial(target: Target, owner: Owner, loop: asyncio.AbstractEventLoop) -> Connection:
    """A connection that is ready for a request. Raises `Unreachable`, `ConnectTimeout` or `Broken`."""
    opened: list[Connection] = []
    try:
        async with asyncio.timeout(target.timeout):
            return await _dialled(target, owner, loop, opened)
    except TimeoutError:
        _drop(opened)
        raise ConnectTimeout from None
    except (OSError, ssl.SSLError) as error:
        _drop(opened)
        raise Unreachable from error
    except BaseException:
        _drop(opened)
        raise


def _drop(opened: list[Connection]) -> None:
    for connection in opened:
        connection.abort()


async def _dialled(
    target: Target, owner: Owner, loop: asyncio.AbstractEventLoop, opened: list[Connection]
) -> Connection:
    first = target.proxy or target.url
    name = ascii_host(first.hostname or "")
    sock = await _connected(loop, name, first.port or _PORTS[first.scheme])
    connection = Connection(loop, owner)
    tls = target.tls() if first.scheme == "https" else None
    try:
        await loop.create_connection(lambda: connection, sock=sock, ssl=tls, server_hostname=tls and name)
    except BaseException:
        sock.close()
        raise
    opened.append(connection)
    if not target.tunnelled:
        return connection
    assert target.proxy is not None
    await _tunnel(connection, target.url, target.proxy, loop.time() + target.timeout)
    inner = Connection(loop, owner)
    outer = connection.handed_over()
    try:
        host = ascii_host(target.url.hostname or "")
        transport = await loop.start_tls(outer, inner, target.tls(), server_hostname=host)
    except BaseException:
        outer.abort()
        raise
    if transport is None:
        raise Unreachable("the connection closed in the middle of the TLS handshake")
    inner.connection_made(transport)
    return inner


async def _tunnel(connection: Connection, url: SplitResult, proxy: SplitResult, deadline: float) -> None:
    """Ask a proxy to pass bytes on."""
    host = ascii_host(url.hostname or "")
    place = f"[{host}]:{url.port or 443}" if ":" in host else f"{host}:{url.port or 443}"
    head = f"CONNECT {place} HTTP/1.1\r\nhost: {place}\r\n"
    if proxy.username is not None:
        head += f"proxy-authorization: {basic(proxy)}\r\n"
    connection.begin(f"{head}\r\n".encode(), whole=True, bodyless=True)
    try:
        await connection.answer(deadline)
    except Broken:
        raise Unreachable("its proxy closed the connection or does not speak HTTP") from None
    if not 200 <= connection.status < 300:
        raise Unreachable(f"its proxy refused with status {connection.status}")


async def _connected(loop: asyncio.AbstractEventLoop, host: str, port: int) -> socket.socket:
    """A connected socket: addresses are tried one after the other, the next also when one takes long."""
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if len(found) == 1:
        return await _socket_to(loop, found[0])
    tries: set[asyncio.Task[socket.socket]] = set()
    left = iter(_mixed(found))
    failure: Exception = OSError("it has no address")
    try:
        while True:
            address = next(left, None)
            if address is not None:
                tries.add(loop.create_task(_socket_to(loop, address)))
            if not tries:
                raise failure
            wait = None if address is None else _NEXT_ADDRESS
            done, tries = await asyncio.wait(tries, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if error is None:
                    tries |= done - {task}
                    return task.result()
                failure = error if isinstance(error, Exception) else failure
    finally:
        _give_up(tries)


def _give_up(tries: set[asyncio.Task[socket.socket]]) -> None:
    for task in tries:
        task.add_done_callback(_close_late)
        task.cancel()


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _socket_to(loop: asyncio.AbstractEventLoop, address: Any) -> socket.socket:
    family, kind, protocol, _, place = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, place)
    except BaseException:
        sock.close()
        raise
    return sock


def _mixed(found: list[Any]) -> list[Any]:
    """Addresses of both families in turn, the family of the first one first."""
    same = [one for one in found if one[0] == found[0][0]]
    other = [one for one in found if one[0] != found[0][0]]
    return [one for one in chain.from_iterable(zip_longest(same, other)) if one is not None]
