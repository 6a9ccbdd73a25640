"""A database with stored chat completions, for apps whose callers ask for some that are there."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

from specstack.config import read_config
from specstack.storage.stores import Storage
from specstack_server import SERVER
from specstack_wire import Owned, Scope
from support.storage import fresh_file

IDS: Final = ("chatcmpl-123", "chatcmpl-kept-1", "chatcmpl-kept-2", "chatcmpl-kept-3")
"""Of these, the first is what the spec's examples name."""


def row(scope: Scope, completion_id: str, created: int, text: str = "yes") -> Owned:
    """A stored completion that says `text`, of a request with two messages, the last of which is `text`."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    head = {"id": completion_id, "object": "chat.completion", "created": created, "model": "m"}
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    values: dict[str, Any] = {
        "completion_id": completion_id,
        "created": created,
        "model": "m",
        "metadata": {"topic": "demo"},
        "request": json.dumps({"model": "m", "messages": asked}).encode(),
        "reply": json.dumps({**head, "choices": [choice]}).encode(),
    }
    return Owned(scope, values)


def database(scopes: Iterable[Scope]) -> str:
    """The path of a new database in which each scope has `IDS`."""
    path = Path(fresh_file())
    path.write_bytes(_content(tuple(scopes)))
    return str(path)


@cache
def _content(scopes: tuple[Scope, ...]) -> bytes:
    """Made once: bringing the tables of a new file up to date takes its time."""
    path = fresh_file()
    # A loop of its own: the caller's may be running.
    thread = threading.Thread(target=lambda: asyncio.run(_fill(path, scopes)))
    thread.start()
    thread.join()
    return Path(path).read_bytes()


async def _fill(path: str, scopes: tuple[Scope, ...]) -> None:
    backends = {"sql_default": {"type": "sql_sqlite", "db_path": path}}
    document = {"version": 2, "distro_name": "t", "providers": {}, "storage": {"backends": backends}}
    stack = read_config(json.dumps(document), "t", SERVER, {}).stack
    storage = Storage(stack, SERVER.sql_tables, SERVER.migrations)
    rows = [row(scope, one, 1_700_000_000 + at) for scope in scopes for at, one in enumerate(IDS)]
    await storage.sql("inference").insert("chat_completions", rows)
    await storage.aclose()
