"""`storage.stores.inference` in the run config: defaults, what is wrong with it, and what is not loaded."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from specstack.config import read_config
from specstack.runtime import Runtime
from specstack.startup import ConfigError
from specstack.write_queue import QueueLimits
from specstack_server import SERVER

HEAD = "version: 2\ndistro_name: t\nproviders: {}\n"


def read(fields: str, **env: str) -> Any:
    text = HEAD + f"storage: {{stores: {{inference: {{{fields}}}}}}}\n"
    return read_config(text, "run.yaml", SERVER, env)


def service(fields: str) -> Any:
    from specstack.resolver import Supplies
    from specstack.sources import RandomIds, SystemClock, cache_dir
    from specstack.upstream import UpstreamPool

    supplies = Supplies(UpstreamPool(), RandomIds(), SystemClock(), cache_dir())
    return Runtime(read(fields), SERVER, supplies).service("stored_completions")


def test_without_a_word_it_keeps_what_is_requested() -> None:
    found = read("").stack.storage.stores.inference
    assert (found.backend, found.mode, found.when_full) == ("sql_default", "requested", "drop")


def test_every_setting_reaches_the_queue() -> None:
    assert service("")._queue._limits == QueueLimits(
        rows=10_000, size=64 << 20, batch=500, interval=0.1, flush=5, wait=False
    )
    fields = (
        "max_write_queue_size: 1, max_write_queue_bytes: 2, write_batch_size: 3, flush_interval_seconds: 4, "
        "flush_timeout_seconds: 6, when_full: wait"
    )
    assert service(fields)._queue._limits == QueueLimits(
        rows=1, size=2, batch=3, interval=4, flush=6, wait=True
    )


def test_the_mode_may_come_from_the_environment() -> None:
    fields = "mode: '${env.KEEP:=off}'"
    assert read(fields).stack.storage.stores.inference.mode == "off"
    assert read(fields, KEEP="all").stack.storage.stores.inference.mode == "all"
    assert read("mode: off").stack.storage.stores.inference.mode == "off", "no boolean"


@pytest.mark.parametrize("mode", ["off", "requested"])
def test_calls_are_held_back_only_where_they_are_kept(mode: str) -> None:
    from specstack_server.operations.inference import CREATE_CHAT_COMPLETION as OP

    made = service(f"mode: {mode}, when_full: wait")
    assert (made.recorder(OP) is None) == (made.admission(OP) is None) == (mode == "off")
    assert service(f"mode: {mode}").admission(OP) is None


GALLERY = {
    "no mode": ("mode: on", "mode: must be 'requested', 'all' or 'off'"),
    "a boolean": ("mode: false", "mode: must be 'requested', 'all' or 'off'"),
    "no room": ("max_write_queue_size: 0", "max_write_queue_size: must be at least 1"),
    "no bytes": ("max_write_queue_bytes: 0", "max_write_queue_bytes: must be at least 1"),
    "no batch": ("write_batch_size: 0", "write_batch_size: must be at least 1"),
    "too large a batch": ("write_batch_size: 10001", "write_batch_size: must be at most 10000"),
    "a batch that waits for ever": (
        "flush_interval_seconds: 61",
        "flush_interval_seconds: must be at most 60",
    ),
    "time that runs back": ("flush_timeout_seconds: -1", "flush_timeout_seconds: must be at least 0"),
    "neither": ("when_full: block", "when_full: must be 'drop' or 'wait'"),
    "an old key": ("num_writers: 4", "num_writers: unknown key; there are: "),
    "a backend of keys": (
        "backend: kv_default",
        "backend: the store needs tables, and 'kv_default' is kv_sqlite",
    ),
}


@pytest.mark.parametrize("name", GALLERY)
def test_gallery(name: str) -> None:
    fields, expected = GALLERY[name]
    with pytest.raises(ConfigError) as caught:
        read(fields)
    (line,) = caught.value.lines
    assert line.removeprefix("run.yaml:4: storage.stores.inference.").startswith(expected), line


NOT_LOADED = """
import asyncio, json, sys
from specstack.assembly import build
from specstack.config import read_config
from specstack_server import SERVER

async def main():
    app = build(read_config(sys.argv[1], "t.yaml", SERVER, {}))
    await app.start()
    await app.stop()

asyncio.run(main())
print([name for name in ("sqlalchemy", "sqlmodel", "alembic") if name in sys.modules])
"""


@pytest.mark.parametrize("mode", ["off", "requested"])
def test_nothing_of_sqlalchemy_is_loaded_before_something_is_kept(mode: str, home: Path) -> None:
    provider = {"provider_id": "p", "provider_type": "remote::openai-compatible"}
    config: dict[str, Any] = {"base_url": "http://127.0.0.1:9/v1", "allowed_models": []}
    document: dict[str, Any] = {
        "version": 2,
        "distro_name": "t",
        "providers": {"inference": [{**provider, "config": config}]},
        "storage": {"stores": {"inference": {"mode": mode}}},
    }
    command = [sys.executable, "-c", NOT_LOADED, json.dumps(document)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n", done.stdout
