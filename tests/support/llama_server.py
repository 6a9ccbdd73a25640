"""llama.cpp's own HTTP server with the default chat model: another server, for providers that call one."""

from __future__ import annotations

import gc
import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

KEY = "the-key-of-a-test"
NAME = "smol"
NOWHERE = "http://127.0.0.1:9/v1"
"""Stands for its address where recordings answer; nothing listens there."""

_STUCK: list[Any] = []


@contextmanager
def running(mode: str, *, embedding: bool = False) -> Iterator[str]:
    """Its address with `/v1`, or `NOWHERE` in a replay. With `embedding` it makes vectors alone."""
    if mode == "replay":
        yield NOWHERE
        return
    engine = pytest.importorskip("xllamacpp", reason="the extra `llama-cpp` is not installed")
    from specstack_providers.model_store import ModelStore

    params = engine.CommonParams()
    params.model.path = str(ModelStore().pull("smollm2-135m-instruct"))
    params.model_alias = {NAME}
    params.embedding = embedding
    if embedding:
        params.pooling_type = engine.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    params.n_parallel = 1
    params.n_ctx = 2048
    params.use_jinja = True
    params.ui = False
    params.hostnames = ["127.0.0.1"]
    params.api_keys = [KEY]
    server = engine.Server(params)
    _wake(server, embedding)
    yield f"{server.listening_address}/v1"
    del server
    gc.collect()


def _wake(server: Any, embedding: bool) -> None:
    """Let it work once: one that never did hangs for ever when it is dropped, with the interpreter's lock."""
    path, body = ("/embedding", {"content": "a"}) if embedding else ("/completion", {"prompt": "a"})
    request = urllib.request.Request(
        server.listening_address + path,
        json.dumps({**body, "n_predict": 0}).encode(),
        {"authorization": f"Bearer {KEY}", "content-type": "application/json"},
    )
    _STUCK.append(server)
    with urllib.request.urlopen(request, timeout=60) as reply:
        reply.read()
    _STUCK.remove(server)
