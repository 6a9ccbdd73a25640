"""Checks of the official client: a call by its name, and what is to be true of its answer."""

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import openai

CHAT, EMBED = "llama-cpp/smollm2-135m-instruct", "embeddings/all-minilm-l6-v2"
ASK = [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}]
SHORT: dict[str, Any] = {"model": CHAT, "messages": ASK, "temperature": 0, "max_completion_tokens": 16}


@dataclass(frozen=True)
class Check:
    """A call by its dotted name, and what is to be true of its answer or of the error that it raises.

    The client checks what comes against its own types, but for answers of which OpenAI's own do not fit them:
    vectors as base64, for which it asks by itself, pieces of a completion before the one with the reason why
    it ended, and messages of a stored request that are none of a model's (`spec/deviations.yaml`).

    `before` asks the server for what the call is about, and gives further arguments. `pages` are read to
    their end.
    """

    name: str
    call: str
    arguments: dict[str, Any]
    holds: Callable[[Any], bool]
    error: type[Exception] | None = None
    strict: bool = True
    before: Callable[[str], dict[str, Any]] | None = None
    pages: bool = False


def text(reply: Any) -> str:
    return reply.choices[0].message.content or ""


async def outcome(check: Check, url: str, *, asynchronous: bool) -> Any:
    """The answer, the chunks of a stream, or the error."""
    settings: dict[str, Any] = {
        "base_url": url + "/v1",
        "api_key": "none",
        "max_retries": 0,
        "timeout": 120,
        "_strict_response_validation": check.strict,
    }
    client: Any = openai.AsyncOpenAI(**settings) if asynchronous else openai.OpenAI(**settings)
    found = client
    for step in check.call.split("."):
        found = getattr(found, step)

    arguments = dict(check.arguments)
    if check.before is not None:
        arguments |= await asyncio.to_thread(check.before, url)
    many = check.pages or arguments.get("stream")

    def work() -> Any:
        reply = found(**arguments)
        return list(reply) if many else reply

    try:
        if not asynchronous:
            return await asyncio.to_thread(work)
        reply = found(**arguments)
        if check.pages:
            return [one async for one in reply]
        reply = await reply if inspect.isawaitable(reply) else reply
        return [one async for one in reply] if many else reply
    except openai.OpenAIError as error:
        return error
    finally:
        await client.close() if asynchronous else client.close()


async def holds(check: Check, url: str, *, asynchronous: bool) -> None:
    """Make the call, and fail if what comes is not as the check has it."""
    found = await outcome(check, url, asynchronous=asynchronous)
    if check.error is None:
        assert not isinstance(found, Exception), found
    else:
        assert isinstance(found, check.error), found
    assert check.holds(found), found
