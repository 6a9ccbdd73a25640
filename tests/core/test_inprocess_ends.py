"""Library mode's sync client where its thread does not run: after a fork, and after it was closed."""

import subprocess
import sys
import warnings

import pytest

import specstack
from core.test_library import SLOW, config, say
from support.loopback_upstream import LoopbackUpstream

FORKING = """
import os, sys, specstack
client = specstack.from_config({config!r})
client.models.list_models()
child = os.fork()
if child == 0:
    try:
        client.models.list_models()
    except RuntimeError as error:
        print(error)
    fresh = specstack.from_config({config!r})
    print(len(fresh.models.list_models().data) > 0)
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
print(len(client.models.list_models().data) > 0)
"""


@pytest.fixture(scope="module")
def upstream():
    with LoopbackUpstream.running() as found:
        yield found


def test_a_client_in_use_before_a_fork_says_so_in_the_child(upstream: LoopbackUpstream) -> None:
    code = FORKING.format(config=config(upstream.base_url))
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == "" and done.returncode == 0
    told = "this client was in use before the fork; make a new one in the child process"
    assert done.stdout.splitlines() == [told, "True", "True"]


def test_reading_a_stream_of_a_closed_client(upstream: LoopbackUpstream) -> None:
    client = specstack.from_config(config(upstream.base_url))
    stream = client.inference.create_chat_completion(**say(SLOW), stream=True)
    next(stream)
    client.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(Exception, match="this client is closed"):
            for _ in stream:
                pass
