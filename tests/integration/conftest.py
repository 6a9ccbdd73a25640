"""Servers in this process, answered by recordings unless --inference-mode says otherwise.

The recordings were made of the embedded models, and of a real llama.cpp server on a loopback port.
"""

from collections.abc import Iterator
from typing import Any

import pytest

import specstack
from specstack_client import Specstack
from support.llama_server import KEY, running


@pytest.fixture(scope="module")
def client(recorder: Any) -> Iterator[Specstack]:
    """A client of the default distribution."""
    with specstack.from_config("starter", env={}, recorder=recorder) as found:
        yield found


@pytest.fixture(scope="module")
def llama_server(inference_mode: str) -> Iterator[str]:
    """The address of a llama.cpp server with the default model; of nothing where recordings answer."""
    with running(inference_mode) as address:
        yield address


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
                    "config": {"base_url": llama_server, "api_key": KEY},
                }
            ]
        },
    }
    with specstack.from_config(config, recorder=recorder) as found:
        yield found
