"""What library mode must not tell: secrets, in its errors and in the log of the program around it."""

import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

import specstack
from core.test_library import config, say
from specstack import logs
from specstack.startup import StartupError
from specstack_client import APIStatusError
from specstack_providers.remote.inference.openai_compatible import OpenAICompatible
from support.loopback_upstream import LoopbackUpstream


@pytest.fixture
def upstream() -> Iterator[LoopbackUpstream]:
    with LoopbackUpstream.running() as found:
        yield found


def with_key(base_url: str) -> dict[str, Any]:
    found = config(base_url)
    found["providers"]["inference"][0]["config"]["api_key"] = "canary-of-a-key"
    return found


@pytest.mark.parametrize("when", ["create", "start"])
def test_a_provider_that_fails_to_start_does_not_tell_its_secrets(
    upstream: LoopbackUpstream, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def boom(self: Any, *_: Any) -> Any:
        raise RuntimeError("boom canary-of-a-key, api_key: wrong")

    async def start(self: Any) -> None:
        boom(self)

    monkeypatch.setattr(OpenAICompatible, *(("__init__", boom) if when == "create" else ("start", start)))
    with pytest.raises(StartupError) as caught, specstack.from_config(with_key(upstream.base_url)) as client:
        client.models.list_models()
    assert f"did not {when}: boom ********, api_key: wrong" in str(caught.value)


def test_the_hosts_log_gets_no_secret_with_a_providers_traceback(
    upstream: LoopbackUpstream,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
) -> None:
    # A host that has set up its own log, whatever other tests have done in this process.
    monkeypatch.setattr(logs, "_style", None)
    request.addfinalizer(partial(logging.setLogRecordFactory, logging.getLogRecordFactory()))

    async def boom(self: Any, *_: Any) -> Any:
        logging.getLogger("specstack.providers.up").warning("about to %s", "canary-of-a-key")
        logging.getLogger("elsewhere").warning("not ours: %s", "something")
        raise RuntimeError("boom canary-of-a-key")

    monkeypatch.setattr(OpenAICompatible, "create_chat_completion", boom)
    with specstack.from_config(with_key(upstream.base_url)) as client, pytest.raises(APIStatusError):
        client.inference.create_chat_completion(**say("hi"))
    assert "boom ********" in caplog.text and "about to ********" in caplog.text
    assert "Traceback" in caplog.text and "not ours: something" in caplog.text
    assert "canary-of-a-key" not in caplog.text
    assert all("canary" not in str(record.__dict__) for record in caplog.records)
