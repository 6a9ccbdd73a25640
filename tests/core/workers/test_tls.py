"""Several workers behind TLS: a client may go on with another worker where it was with one."""

import socket
import ssl
from pathlib import Path

import httpx
import pytest

from core.test_serving_guard import caller
from core.test_serving_guard import certificates as certificates
from core.workers.kit import LOGGED, config, soon, team
from support.loopback_upstream import LoopbackUpstream


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes in /proc")
def test_a_session_goes_on_at_another_worker(certificates: Path, tmp_path: Path) -> None:
    with LoopbackUpstream.running() as upstream:
        tls = {"certfile": str(certificates / "both.pem")}
        file = config(upstream.base_url, tmp_path, server={"tls": tls})
        context = caller(certificates)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with team(file, **LOGGED) as found:
            host, port = found.url.removeprefix("https://").split(":")
            session: ssl.SSLSession | None = None
            reused: list[bool] = []
            held: list[ssl.SSLSocket] = []
            for _ in range(8):
                plain = socket.create_connection((host, int(port)))
                secured = context.wrap_socket(plain, server_hostname="localhost", session=session)
                session = session or secured.session
                reused.append(bool(secured.session_reused))
                held.append(secured)
            assert reused == [False, *[True] * 7]
            replies = [httpx.get(f"{found.url}/v1/health", verify=context) for _ in range(6)]
            assert {one.status_code for one in replies} == {200}
            # One that speaks no TLS takes nothing with it.
            with socket.create_connection((host, int(port))) as other:
                other.sendall(b"GET / HTTP/1.1\r\n\r\n")
                other.settimeout(5)
                soon(lambda: b"HTTP/1.1 200" not in other.recv(4096))
            assert httpx.get(f"{found.url}/v1/health", verify=context).status_code == 200
            for one in held:
                one.close()
            assert "Traceback" not in found.log()
