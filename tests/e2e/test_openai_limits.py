"""The official client before a server with keys, limits and a dead upstream: error classes and retries."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from support.process import free_port, running_server

KEY = "sk-of-a-test-0123456789"
OTHER = "sk-of-a-test-9876543210"
CONFIG = """\
version: 2
distro_name: limits
providers:
  inference:
    - provider_id: far
      provider_type: remote::openai-compatible
      config: {base_url: "http://127.0.0.1:9/v1", allowed_models: [echo], api_key: none}
server:
  auth: {provider_config: {type: api_keys, plain_keys: "KEYS"}}
  quota:
    authenticated: [{per: second, requests: 2}]
    operations: [listModels]
"""
CHAT: Any = {"model": "far/echo", "messages": [{"role": "user", "content": "Hi"}]}
Call = Callable[[Any], Any]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of its own."""
    folder = tmp_path_factory.mktemp("limits")
    (folder / "run.yaml").write_text(CONFIG.replace("KEYS", f"{KEY} {OTHER}"))
    port = free_port()
    with running_server([str(folder / "run.yaml"), "--port", str(port)], port) as base:
        yield base


def asked(url: str, asynchronous: bool, call: Call, **settings: Any) -> Any:
    """What the client answers, or its error."""
    given: dict[str, Any] = {
        "base_url": f"{url}/v1",
        "api_key": KEY,
        "max_retries": 0,
        "_strict_response_validation": True,
        **settings,
    }

    async def later() -> Any:
        async with openai.AsyncOpenAI(**given) as client:
            return await call(client)

    try:
        if asynchronous:
            return asyncio.run(later())
        with openai.OpenAI(**given) as client:
            return call(client)
    except openai.OpenAIError as error:
        return error


def models(client: Any) -> Any:
    return client.models.with_raw_response.list()


def chat(client: Any) -> Any:
    return client.chat.completions.create(**CHAT)


BOTH = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


@BOTH
def test_a_wrong_key(url: str, asynchronous: bool) -> None:
    error = asked(url, asynchronous, models, api_key="sk-nobody-has-this-one")
    assert isinstance(error, openai.AuthenticationError)
    assert error.status_code == 401
    assert "sk-nobody" not in str(error)


@BOTH
def test_over_the_limit_without_retries(url: str, asynchronous: bool) -> None:
    error = next(found for _ in range(60) if isinstance(found := asked(url, asynchronous, models), Exception))
    assert isinstance(error, openai.RateLimitError)
    assert int(error.response.headers["retry-after"]) >= 1
    assert error.response.headers["x-ratelimit-limit-requests"] == "2"


@BOTH
def test_over_the_limit_the_client_waits_and_is_served(url: str, asynchronous: bool) -> None:
    for _ in range(60):
        reply = asked(url, asynchronous, models, max_retries=6, api_key=OTHER)
        assert not isinstance(reply, Exception), reply
        if reply.retries_taken:
            break
    assert reply.retries_taken >= 1
    assert reply.parse().object == "list"


@BOTH
def test_an_upstream_that_is_gone(url: str, asynchronous: bool) -> None:
    error = asked(url, asynchronous, chat)
    assert isinstance(error, openai.InternalServerError)
    assert error.status_code == 502
    assert isinstance(error.body, dict) and error.body["type"]


@BOTH
def test_a_failure_of_the_server_is_tried_again(url: str, asynchronous: bool) -> None:
    tried: list[str] = []

    async def note_later(request: Any) -> None:
        tried.append(request.headers["x-stainless-retry-count"])

    def note(request: Any) -> None:
        tried.append(request.headers["x-stainless-retry-count"])

    hooks: dict[str, Any] = {"event_hooks": {"request": [note_later if asynchronous else note]}}
    kind = openai.DefaultAsyncHttpxClient if asynchronous else openai.DefaultHttpxClient
    error = asked(url, asynchronous, chat, max_retries=1, http_client=kind(**hooks))
    assert isinstance(error, openai.InternalServerError)
    assert tried == ["0", "1"]


@BOTH
def test_nobody_listens(asynchronous: bool) -> None:
    error = asked(f"http://127.0.0.1:{free_port()}", asynchronous, models)
    assert isinstance(error, openai.APIConnectionError)
