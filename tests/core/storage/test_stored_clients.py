"""Stored chat completions as programs use them: the official client, ours, and ours without a socket."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

import specstack
from specstack.assembly import build
from specstack.config import read_config
from specstack_client import Specstack
from specstack_client.errors import ChatCompletionNotFound
from specstack_server import SERVER
from support.loopback_upstream import LoopbackUpstream
from support.serving import serving

ASK: list[Any] = [{"role": "user", "content": "one two"}]


@pytest.fixture
def config() -> Iterator[dict[str, Any]]:
    with LoopbackUpstream.running() as upstream:
        provider = {"provider_id": "up", "provider_type": "remote::openai-compatible"}
        provider["config"] = {"base_url": upstream.base_url}  # type: ignore[assignment]
        yield {"version": 2, "distro_name": "t", "providers": {"inference": [provider]}}


def test_the_official_client(config: dict[str, Any]) -> None:
    app = build(read_config(json.dumps(config), "t.yaml", SERVER, {}))
    with (
        serving(app, lifespan="on") as url,
        OpenAI(base_url=url + "/v1", api_key="x", max_retries=0) as client,
    ):
        kept = client.chat.completions
        made = [
            kept.create(
                model="up/echo",
                messages=[{"role": "user", "content": str(n)}],
                store=True,
                metadata={"n": str(n)},
            )
            for n in range(25)
        ]
        with kept.create(model="up/echo", messages=ASK, store=True, stream=True) as stream:
            chunks = list(stream)
        ids = [*(one.id for one in made), chunks[0].id]
        assert [one.id for one in kept.list()] == ids, "the client turns the pages"
        assert [one.id for one in kept.list(metadata={"n": "7"})] == [made[7].id]
        assert kept.retrieve(made[3].id).to_dict() == {**made[3].to_dict(), "metadata": {"n": "3"}}
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert kept.retrieve(ids[-1]).choices[0].message.content == text
        assert [one.content for one in kept.messages.list(ids[-1])] == ["one two"]
        assert kept.update(ids[0], metadata={"a": "b"}).metadata == {"a": "b"}
        for one in kept.list(limit=10):
            assert kept.delete(one.id).deleted
        assert list(kept.list()) == []


def use(client: Specstack) -> None:
    calls = client.inference
    made = calls.create_chat_completion(model="up/echo", messages=ASK, store=True, metadata={"a": "b"})
    with calls.create_chat_completion(model="up/echo", messages=ASK, store=True, stream=True) as stream:
        streamed = next(iter(stream)).id
        for _ in stream:
            pass
    assert [one.id for one in calls.list_chat_completions(limit=1)] == [made.id, streamed]
    assert [one.id for one in calls.list_chat_completions(metadata={"a": "b"})] == [made.id]
    assert calls.get_chat_completion(made.id).metadata == {"a": "b"}
    assert [one.content for one in calls.get_chat_completion_messages(made.id)] == ["one two"]
    assert calls.update_chat_completion(made.id, metadata=None).metadata == {}
    assert calls.delete_chat_completion(made.id).deleted
    with pytest.raises(ChatCompletionNotFound):
        calls.get_chat_completion(made.id)


def test_our_client_without_a_socket(config: dict[str, Any]) -> None:
    with specstack.from_config(config) as client:
        use(client)


async def test_our_client_in_an_event_loop(config: dict[str, Any]) -> None:
    async with specstack.from_config(config, asynchronous=True) as client:
        calls = client.inference
        made = await asyncio.gather(
            *(
                calls.create_chat_completion(
                    model="up/echo", messages=[{"role": "user", "content": str(n)}], store=True
                )
                for n in range(30)
            )
        )
        found = [one.id async for one in calls.list_chat_completions(order="desc")]
        assert sorted(found) == sorted(one.id for one in made)
