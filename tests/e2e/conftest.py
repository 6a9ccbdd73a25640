"""One running starter distribution for all end-to-end tests."""

import os
from collections.abc import Iterator

import pytest

from support.process import free_port, running_server

SWITCHES = ("OLLAMA_URL", "VLLM_URL", "OPENAI_API_KEY", "OPENAI_COMPATIBLE_URL", "SPECSTACK_GGUF")


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of `stack-serve`, started as it is on a machine without any other model server."""
    port = free_port()
    env = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    # What tests keep is theirs.
    env["SPECSTACK_HOME"] = str(tmp_path_factory.mktemp("home"))
    with running_server(["--port", str(port)], port, env=env) as base:
        yield base
