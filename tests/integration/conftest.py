"""Servers in this process, answered by recordings unless --inference-mode says otherwise.

The recordings were made of the embedded models, and of a real llama.cpp server on a loopback port.
"""

import gc
from collections.abc import Iterator
from typing import Any

import pytest

import specstack
from specstack_client import Specstack


@pytest.fixture(scope="module")
def client(recorder: Any) -> Iterator[Specstack]:
    """A client of the default distribution."""
    with specstack.from_config("starter", env={}, recorder=recorder) as found:
        yield found


@pytest.fixture(scope="module")
def llama_server(inference_mode: str) -> Iterator[str]:
    """The address of a llama.cpp server with the default model; of nothing where recordings answer."""
    if inference_mode == "replay":
        yield "http://127.0.0.1:9/v1"
        return
    engine = pytest.importorskip("xllamacpp", reason="the extra `llama-cpp` is not installed")
    from specstack_providers.model_store import ModelStore

    params = engine.CommonParams()
    params.model.path = str(ModelStore().pull("smollm2-135m-instruct"))
    params.model_alias = {"smol"}
    params.n_parallel = 1
    params.n_ctx = 2048
    params.use_jinja = True
    params.ui = False
    params.hostnames = ["127.0.0.1"]
    params.api_keys = ["the-key-of-a-test"]
    server = engine.Server(params)
    yield f"{server.listening_address}/v1"
    del server
    gc.collect()


@pytest.fixture(scope="module")
def remote(recorder: Any, llama_server: str) -> Iterator[Specstack]:
    """A client of a server that forwards to llama.cpp's."""
    config = {
        "version": 2,
        "distro_name": "remote",
        "providers": {
            "inference": [
                {
                    "provider_id": "far",
                    "provider_type": "remote::openai-compatible",
                    "config": {"base_url": llama_server, "api_key": "the-key-of-a-test"},
                }
            ]
        },
    }
    with specstack.from_config(config, recorder=recorder) as found:
        yield found
