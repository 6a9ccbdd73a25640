"""The official client with what the server keeps: stored completions and models. 403 and 409 too.

Each check once with `OpenAI` and once with `AsyncOpenAI`, as in test_openai_client.py.
"""

import uuid
from typing import Any

import httpx
import openai
import pytest

from e2e.kit import ASK, CHAT, SHORT, Check, holds, text

pytestmark = [pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(240)]


def kept(url: str) -> dict[str, Any]:
    """A conversation that has been stored."""
    answered = {"role": "assistant", "content": "It is Paris."}
    again = {"role": "user", "content": [{"type": "text", "text": "Say it again."}]}
    body = {**SHORT, "messages": [*ASK, answered, again], "max_completion_tokens": 4, "store": True}
    made = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=120).raise_for_status()
    return {"completion_id": made.json()["id"]}


def kept_with(url: str, *topics: str) -> dict[str, Any]:
    """The metadata of stored completions that no other check has, one for each topic."""
    ours = {"check": uuid.uuid4().hex}
    for topic in topics:
        body = {**SHORT, "max_completion_tokens": 4, "store": True, "metadata": {**ours, "topic": topic}}
        httpx.post(f"{url}/v1/chat/completions", json=body, timeout=120).raise_for_status()
    return {"metadata": ours}


def registered(url: str) -> dict[str, Any]:
    """A further name of the chat model."""
    body = {
        "model_id": f"llama-cpp/{uuid.uuid4().hex}",
        "provider_id": "llama-cpp",
        "provider_model_id": CHAT.partition("/")[2],
    }
    return {"model": httpx.post(f"{url}/v1/models", json=body, timeout=60).raise_for_status().json()["id"]}


def only_the_role_is_wrong(error: Any) -> bool:
    """Whether nothing but the role of messages that a user wrote goes against the client's own types."""
    faults = [(*fault["loc"][-1:], fault["type"], fault["input"]) for fault in error.__cause__.errors()]
    return error.status_code == 200 and faults == [("role", "literal_error", "user")] * 2


CHECKS = [
    Check(
        "stored completions, by what was noted of them",
        "chat.completions.list",
        {"model": CHAT},
        lambda page: (
            [one.metadata["topic"] for one in page.data] == ["a", "b"]
            and [one.object for one in page.data] == ["chat.completion"] * 2
            and not page.has_more
        ),
        before=lambda url: kept_with(url, "a", "b"),
    ),
    Check(
        "stored completions, page by page from the newest on",
        "chat.completions.list",
        {"limit": 1, "order": "desc"},
        lambda all_: [one.metadata["topic"] for one in all_] == ["c", "b", "a"],
        before=lambda url: kept_with(url, "a", "b", "c"),
        pages=True,
    ),
    Check(
        "a stored completion",
        "chat.completions.retrieve",
        {},
        lambda reply: reply.object == "chat.completion" and reply.model == CHAT and bool(text(reply)),
        before=kept,
    ),
    Check(
        "other notes on a stored completion",
        "chat.completions.update",
        {"metadata": {"topic": "spain"}},
        lambda reply: reply.metadata == {"topic": "spain"} and bool(text(reply)),
        before=kept,
    ),
    Check(
        "a stored completion goes",
        "chat.completions.delete",
        {},
        lambda gone: gone.deleted is True and gone.object == "chat.completion.deleted",
        before=kept,
    ),
    Check(
        "messages of a stored request",
        "chat.completions.messages.list",
        {"limit": 2},
        lambda all_: (
            [(one.role, one.content) for one in all_]
            == [("user", ASK[0]["content"]), ("assistant", "It is Paris."), ("user", None)]
            and all_[2].content_parts[0].text == "Say it again."
            and [one.id.rpartition("-")[2] for one in all_] == ["0", "1", "2"]
        ),
        before=kept,
        pages=True,
        strict=False,
    ),
    Check(
        "messages of which only the role goes against the client's types",
        "chat.completions.messages.list",
        {},
        only_the_role_is_wrong,
        openai.APIResponseValidationError,
        before=kept,
    ),
    Check(
        "a model's message of a stored request fits them",
        "chat.completions.messages.list",
        {"limit": 1},
        lambda page: [one.content for one in page.data] == ["It is Paris."] and page.has_more,
        before=lambda url: (found := kept(url)) and {**found, "after": found["completion_id"] + "-0"},
    ),
    Check(
        "a stored completion that there is not",
        "chat.completions.retrieve",
        {"completion_id": "chatcmpl-none"},
        lambda error: (error.status_code, error.code) == (404, "chat_completion_not_found"),
        openai.NotFoundError,
    ),
    Check(
        "a model goes",
        "models.delete",
        {},
        lambda gone: gone.deleted is True and gone.object == "model" and gone.id.startswith("llama-cpp/"),
        before=registered,
    ),
    Check(
        "a model that is not the caller's to remove",
        "models.delete",
        {"model": CHAT},
        lambda error: (error.status_code, error.code) == (409, "model_conflict"),
        openai.ConflictError,
    ),
    Check(
        "a call from a page of another site",
        "chat.completions.create",
        {**SHORT, "extra_headers": {"origin": "https://elsewhere.example"}},
        lambda error: (error.status_code, error.code) == (403, "permission_denied"),
        openai.PermissionDeniedError,
    ),
]


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
async def test_the_official_client_with_what_is_kept(check: Check, url: str, asynchronous: bool) -> None:
    await holds(check, url, asynchronous=asynchronous)
