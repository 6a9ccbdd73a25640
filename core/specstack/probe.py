"""`python -m specstack.probe CONFIG PORT`: whether the server of a run config on this machine takes requests.

For the health check of a container: it leaves with 0 if so, else with 1 and one line that says why not. Where
the server wants certificates of its callers, it is alive when it shows its own.
"""

import http.client
import os
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from specstack.config_values import substitute
from specstack.positions import Map, load

LIMIT = 4.0
"""Seconds that the answer may take."""
_PATH = "/v1/health"


def fault(config: Path, port: int) -> str | None:
    """Why the server is not well; None if it is."""
    try:
        tls = _tls(config)
    except (OSError, ValueError) as error:
        return f"{config}: {error}"
    connection = _connection(bool(tls), port)
    try:
        connection.connect()
        if tls.get("cafile"):
            # Nobody gets any further without a certificate.
            return None
        connection.request("GET", _PATH)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"port {port}: {type(error).__name__}: {error}"
    finally:
        connection.close()
    return None if status < 400 else f"port {port}: {_PATH} answered {status}"


def _tls(config: Path) -> Mapping[str, Any]:
    """The part `server.tls` of a run config; nothing where there is none."""
    root = substitute(load(config.read_text("utf-8")), os.environ).root
    server = root.get("server") if isinstance(root, Map) else None
    tls = server.get("tls") if isinstance(server, Map) else None
    return tls if isinstance(tls, Map) else {}


def _connection(tls: bool, port: int) -> http.client.HTTPConnection:
    if not tls:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    # The certificate is for another name than that of this machine to itself.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=LIMIT, context=context)


if __name__ == "__main__":
    sys.exit(fault(Path(sys.argv[1]), int(sys.argv[2])))
