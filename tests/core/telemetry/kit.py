"""A server with telemetry, in a thread of this process, in front of a loopback model server."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import httpx

from specstack.assembly import Application, build
from specstack.config import read_config
from specstack_server import SERVER
from support.loopback_upstream import LoopbackUpstream
from support.serving import serving
from support.storage import fresh_file

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE = PARENT[3:35]


def application(upstream: str, **telemetry: Any) -> Application:
    """An application with one provider; `telemetry` is that section of its run config."""
    document: dict[str, Any] = {
        "version": 2,
        "distro_name": "told",
        "providers": {
            "inference": [
                {
                    "provider_id": "up",
                    "provider_type": "remote::openai-compatible",
                    "config": {"base_url": upstream, "timeout_seconds": 20},
                }
            ]
        },
        "storage": {
            "backends": {
                "kv_default": {"type": "kv_sqlite", "db_path": fresh_file()},
                "sql_default": {"type": "sql_sqlite", "db_path": fresh_file()},
            }
        },
        "telemetry": telemetry,
    }
    return build(read_config(json.dumps(document), "told.yaml", SERVER, {}))


@contextlib.contextmanager
def told(upstream: LoopbackUpstream, base_url: str | None = None, **telemetry: Any) -> Iterator[httpx.Client]:
    """A client of a running server."""
    app = application(base_url or upstream.base_url, **telemetry)
    with serving(app, lifespan="on") as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


def chat(model: str = "up/echo", content: str = "hi there", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": content}], **more}


COUNTED = {"stream": True, "stream_options": {"include_usage": True}}
