"""inline::llama-cpp completes text and makes vectors: recordings of the real default model."""

from typing import Any

import pytest

from specstack_api.errors import (
    ContextLengthExceeded,
    InvalidValue,
    ModelTypeMismatch,
    UnsupportedParameter,
)
from specstack_wire import ApiError
from support.llama import chat, complete, embed

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_stop_bias_and_penalties_reach_the_sampler(llama: Any) -> None:
    free = await complete(llama, "1 2 3 4 5 6", max_tokens=12)
    text = free["choices"][0]["text"]
    assert " 9" in text
    stopped = await complete(llama, "1 2 3 4 5 6", max_tokens=12, stop=[" 9"])
    assert stopped["choices"][0]["text"] == text[: text.index(" 9")]
    assert stopped["choices"][0]["finish_reason"] == "stop"

    space = (await llama._models["smol"].engine.ask("/tokenize", {"content": " "}))["tokens"][0]
    biased = await complete(llama, "1 2 3 4 5 6", logit_bias={str(space): -100})
    assert not biased["choices"][0]["text"].startswith(" ")

    loop = {"max_tokens": 30, "temperature": 0}
    plain = (await complete(llama, "la la la la la la la la", **loop))["choices"][0]["text"]
    varied = await complete(llama, "la la la la la la la la", **loop, frequency_penalty=2, presence_penalty=2)
    assert plain.count("la") > varied["choices"][0]["text"].count("la")


async def test_completions_of_several_prompts(llama: Any) -> None:
    one = await complete(llama, "The cat sat on the")
    ids = (await llama._models["smol"].engine.ask("/tokenize", {"content": "The cat sat on the"}))["tokens"]
    by_ids = await complete(llama, ids)
    assert by_ids["choices"][0]["text"] == one["choices"][0]["text"]
    both = await complete(llama, ["The cat sat on the", "1 2 3 4 5"], n=2)
    assert [choice["index"] for choice in both["choices"]] == [0, 1, 2, 3]
    assert both["choices"][0]["text"] == both["choices"][1]["text"] == one["choices"][0]["text"]
    assert both["usage"]["completion_tokens"] == 24
    two = await complete(llama, [ids, ids])
    assert two["usage"]["prompt_tokens"] == 2 * one["usage"]["prompt_tokens"] == 2 * len(ids)


async def test_completions_echo_and_logprobs(llama: Any) -> None:
    ids = (await llama._models["smol"].engine.ask("/tokenize", {"content": "The cat sat"}))["tokens"]
    for prompt in ("The cat sat", ids):
        echoed = await complete(llama, prompt, echo=True)
        assert echoed["choices"][0]["text"].startswith("The cat sat ")
    nothing = await complete(llama, "The cat sat", echo=True, max_tokens=0)
    assert nothing["choices"][0]["text"] == "The cat sat"
    assert nothing["usage"]["completion_tokens"] == 0

    told = (await complete(llama, "The cat sat", logprobs=2))["choices"][0]
    lists = told["logprobs"]
    assert "".join(lists["tokens"]) == told["text"]
    assert lists["text_offset"][:2] == [0, len(lists["tokens"][0])]
    assert len(lists["token_logprobs"]) == len(lists["top_logprobs"]) == 6
    assert all(2 <= len(top) <= 3 for top in lists["top_logprobs"])
    chunks = await complete(
        llama, "The cat sat", logprobs=2, stream=True, stream_options={"include_usage": True}
    )
    assert "".join(c["choices"][0]["text"] for c in chunks[:-1]) == told["text"]
    streamed = [offset for c in chunks[:-1] for offset in c["choices"][0]["logprobs"]["text_offset"]]
    assert streamed == lists["text_offset"]
    assert chunks[-1]["usage"]["completion_tokens"] == 6


@pytest.mark.parametrize(
    ("prompt", "fields", "error", "param"),
    [
        ([], {}, InvalidValue, "prompt"),
        ([10**8], {}, InvalidValue, "prompt"),
        ([[1], [-3]], {}, InvalidValue, "prompt"),
        ("a", {"suffix": "b"}, UnsupportedParameter, "suffix"),
        ("a", {"best_of": 3, "n": 2}, UnsupportedParameter, "best_of"),
        ("a", {"echo": True, "logprobs": 1}, UnsupportedParameter, "logprobs"),
        ("word " * 2000, {}, ContextLengthExceeded, "prompt"),
    ],
)
async def test_completions_refuse(
    llama: Any, prompt: Any, fields: dict[str, Any], error: type[ApiError], param: str
) -> None:
    with pytest.raises(error) as caught:
        await complete(llama, prompt, **fields)
    assert caught.value.param == param


@pytest.mark.parametrize("prompt", ["", None, ["", "a"]])
async def test_completions_of_nothing(llama: Any, prompt: Any) -> None:
    reply = await complete(llama, prompt, max_tokens=2)
    assert all(choice["text"] for choice in reply["choices"])


async def test_an_embedding_model(embedder: Any) -> None:
    """Any GGUF file works; as an embedder the chat model only shows that the pipes fit."""
    reply = await embed(embedder, input=["a cat", "a dog", "a cat"])
    vectors = [row["embedding"] for row in reply["data"]]
    assert [row["index"] for row in reply["data"]] == [0, 1, 2]
    assert vectors[0] == pytest.approx(vectors[2], abs=1e-4)
    assert sum(x * x for x in vectors[0]) == pytest.approx(1, abs=1e-3)
    assert reply["usage"]["prompt_tokens"] > 3
    packed = await embed(embedder, input="a cat", encoding_format="base64")
    assert isinstance(packed["data"][0]["embedding"], str)


async def test_an_embedding_model_refuses(embedder: Any) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        await embed(embedder, input="a", dimensions=5)
    assert caught.value.param == "dimensions"
    with pytest.raises(ContextLengthExceeded):
        await embed(embedder, input="word " * 1000)
    with pytest.raises(ModelTypeMismatch):
        await chat(embedder, "x", model="e")
