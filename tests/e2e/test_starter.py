"""The main job: `stack-serve` starts the default distribution and the official client gets real answers."""

import json
import math
from itertools import combinations

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from specstack_client import Specstack, given

pytestmark = [pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(240)]

ASK: list[ChatCompletionMessageParam] = [
    {"role": "user", "content": "What is the capital of France? Answer in one sentence."}
]


@pytest.fixture(scope="module")
def client(url: str) -> OpenAI:
    return OpenAI(base_url=url + "/v1", api_key="none", max_retries=0, timeout=120)


@pytest.fixture(scope="module")
def models(client: OpenAI) -> dict[str, str]:
    """The first model of each type, by type."""
    found: dict[str, str] = {}
    for model in client.models.list():
        extra = model.model_extra or {}
        found.setdefault(extra["custom_metadata"]["model_type"], model.id)
    return found


def test_the_embedded_chat_model_and_embedder_are_listed(models: dict[str, str]) -> None:
    assert {"llm", "embedding"} <= models.keys()


def test_a_model_tells_what_its_provider_knows_of_it(client: OpenAI, models: dict[str, str]) -> None:
    facts = client.models.retrieve(models["embedding"]).to_dict()["custom_metadata"]
    assert isinstance(facts, dict)
    assert (facts["dimensions"], facts["provider_id"]) == (384, "embeddings")


def test_a_chat_completion_is_a_true_answer(client: OpenAI, models: dict[str, str]) -> None:
    reply = client.chat.completions.create(model=models["llm"], messages=ASK, temperature=0, max_tokens=40)
    assert reply.model == models["llm"]
    assert "Paris" in (reply.choices[0].message.content or "")
    assert (
        reply.usage is not None
        and reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    )


def test_a_streamed_one_comes_in_pieces_and_says_the_same(client: OpenAI, models: dict[str, str]) -> None:
    pieces: list[str] = []
    usage = None
    with client.chat.completions.create(
        model=models["llm"],
        messages=ASK,
        temperature=0,
        max_tokens=40,
        stream=True,
        stream_options={"include_usage": True},
    ) as stream:
        for chunk in stream:
            assert chunk.model == models["llm"]
            pieces += [choice.delta.content or "" for choice in chunk.choices]
            usage = chunk.usage or usage
    assert len(pieces) > 3 and "Paris" in "".join(pieces)
    assert usage is not None and usage.completion_tokens > 3


def test_embeddings_rank_sentences_sensibly(client: OpenAI, models: dict[str, str]) -> None:
    texts = ["A man is eating bread.", "Someone eats food.", "The database needs an index."]
    reply = client.embeddings.create(model=models["embedding"], input=texts)  # base64 on the wire
    vectors = [item.embedding for item in reply.data]
    plain = (
        client.embeddings.create(model=models["embedding"], input=texts[0], encoding_format="float")
        .data[0]
        .embedding
    )
    assert plain == pytest.approx(vectors[0], abs=1e-3)
    assert all(math.isclose(sum(x * x for x in v), 1, abs_tol=1e-3) for v in vectors)
    similar = {
        pair: sum(map(float.__mul__, vectors[pair[0]], vectors[pair[1]]))
        for pair in combinations(range(3), 2)
    }
    assert similar[0, 1] > 0.5 > max(similar[0, 2], similar[1, 2]) + 0.2


def test_rerank_puts_the_answer_first(url: str, models: dict[str, str]) -> None:
    items = ["Bananas are yellow.", "Paris is the capital of France.", "Rust has a borrow checker."]
    body = {"model": models["embedding"], "query": "What is the capital of France?", "items": items}
    for path in ("/v1/rerank", "/v1alpha/inference/rerank"):
        data = httpx.post(url + path, json=body, timeout=60).raise_for_status().json()["data"]
        assert data[0]["index"] == 1 and len(data) == 3


def test_a_schema_binds_the_answer(client: OpenAI, models: dict[str, str]) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 30}, "population": {"type": "integer"}},
        "required": ["city", "population"],
        "additionalProperties": False,
    }
    reply = client.chat.completions.create(
        model=models["llm"],
        messages=[{"role": "user", "content": "Name a city in Spain and its population, as JSON."}],
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "city", "schema": schema, "strict": True},
        },
        temperature=0,
        max_tokens=120,
    )
    answer = json.loads(reply.choices[0].message.content or "")
    assert answer.keys() == {"city", "population"} and isinstance(answer["population"], int)


def test_a_tool_is_called(client: OpenAI, models: dict[str, str]) -> None:
    weather: ChatCompletionToolParam = {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city now.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "maxLength": 20}},
                "required": ["city"],
            },
        },
    }
    reply = client.chat.completions.create(
        model=models["llm"],
        messages=[{"role": "user", "content": "What is the weather in Oslo?"}],
        tools=[weather],
        tool_choice="required",
        temperature=0,
        max_tokens=80,
    )
    choice = reply.choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.tool_calls
    call = choice.message.tool_calls[0]
    assert call.type == "function" and call.function.name == "get_weather"
    assert isinstance(json.loads(call.function.arguments)["city"], str)


def test_what_is_to_be_kept_is_found_again(client: OpenAI, models: dict[str, str]) -> None:
    kept, model, ours = client.chat.completions, models["llm"], {"test": "kept"}
    answer = kept.create(
        model=model,
        messages=ASK,
        temperature=0,
        max_tokens=40,
        store=True,
        metadata={**ours, "topic": "france"},
    )
    streamed = kept.create(
        model=model, messages=ASK, temperature=0, max_tokens=40, store=True, metadata=ours, stream=True
    )
    with streamed as stream:
        chunks = list(stream)
    kept.create(model=model, messages=ASK, max_tokens=1, metadata=ours)

    both = [answer.id, chunks[0].id]
    assert [one.id for one in kept.list(metadata=ours)] == both
    assert [one.id for one in kept.list(metadata={**ours, "topic": "france"})] == both[:1]
    assert [one.id for one in kept.list(metadata=ours, limit=1, order="desc")] == both[::-1], "both pages"
    found = kept.retrieve(answer.id)
    assert found.choices == answer.choices and found.usage == answer.usage
    assert kept.retrieve(chunks[0].id).choices[0].message.content == answer.choices[0].message.content
    (message,) = kept.messages.list(answer.id)
    assert (message.id, message.content) == (f"{answer.id}-0", ASK[0].get("content"))
    assert kept.update(answer.id, metadata={"topic": "spain"}).metadata == {"topic": "spain"}
    for one in both:
        assert kept.delete(one).deleted
    with pytest.raises(openai.NotFoundError) as gone:
        kept.retrieve(answer.id)
    assert gone.value.code == "chat_completion_not_found"


def test_mistakes_are_the_official_clients_own_errors(client: OpenAI, models: dict[str, str]) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model=models["llm"] + "x", messages=ASK)
    own_id = models["llm"].partition("/")[2]
    assert missing.value.code == "model_not_found" and f"it has {own_id}" in missing.value.message
    with pytest.raises(openai.NotFoundError, match=models["llm"]):
        client.chat.completions.create(model=models["llm"].replace("llama", "lama"), messages=ASK)
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(model=models["llm"], messages=ASK, temperature=9)
    assert wrong.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as mistyped:
        client.chat.completions.create(model=models["embedding"], messages=ASK)
    assert mistyped.value.param == "model"


def test_the_generated_client_gets_the_same_answers(url: str, models: dict[str, str]) -> None:
    with Specstack(base_url=url) as ours:
        reply = ours.inference.create_chat_completion(
            model=models["llm"], messages=ASK, temperature=0, max_tokens=40
        )
        assert "Paris" in (reply.choices[0].message.content or "")
        stream = ours.inference.create_chat_completion(
            model=models["llm"], messages=ASK, temperature=0, max_tokens=40, stream=True
        )
        with stream:
            assert "Paris" in "".join(given(c.delta.content, "") for chunk in stream for c in chunk.choices)
