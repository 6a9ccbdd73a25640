"""Chat replies in OpenAI's shape, whole and in chunks, from the pieces that the engine writes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(slots=True)
class Usage:
    """Tokens of a request. A prompt counts once, however many choices were made of it."""

    prompt: int = 0
    cached: int = 0
    completion: int = 0

    def add(self, usage: Mapping[str, Any], *, count_prompt: bool) -> None:
        """Adds the engine's count for one choice."""
        self.completion += int(usage["completion_tokens"])
        if count_prompt:
            self.prompt += int(usage["prompt_tokens"])
            details: Mapping[str, Any] = usage.get("prompt_tokens_details") or {}
            self.cached += int(details.get("cached_tokens", 0))

    def body(self) -> Json:
        """OpenAI's `usage` object."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }


@dataclass(slots=True)
class Choice:
    """One choice of a chat reply, as it grows."""

    index: int
    text: str = ""
    calls: list[Json] = field(default_factory=list[Json])
    logprobs: list[Json] | None = None
    finish: str = "stop"

    def body(self) -> Json:
        """The choice in a whole reply."""
        message: Json = {"role": "assistant", "content": self.text, "refusal": None, "annotations": []}
        if self.calls:
            message.update(content=None, tool_calls=self.calls)
        return {
            "index": self.index,
            "message": message,
            "logprobs": logprobs_body(self.logprobs),
            "finish_reason": self.finish,
        }


def new_call(call_id: str, name: str) -> Json:
    """A tool call without arguments yet."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}


def logprobs_body(entries: Iterable[Json] | None) -> Json | None:
    """OpenAI's `logprobs` object, null when none were asked for."""
    return None if entries is None else {"content": list(entries), "refusal": None}


def token_entries(chunk_logprobs: Mapping[str, Any] | None, top: int) -> list[Json]:
    """The engine's log probabilities in OpenAI's form, the `top` likeliest tokens with each."""
    entries: list[Json] = (chunk_logprobs or {}).get("content") or []
    return [{**_token(entry), "top_logprobs": _likeliest(entry, top)} for entry in entries]


def _likeliest(entry: Mapping[str, Any], top: int) -> list[Json]:
    others: list[Json] = entry.get("top_logprobs") or []
    return [_token(other) for other in others[:top]]


def _token(entry: Mapping[str, Any]) -> Json:
    return {"token": entry["token"], "logprob": entry["logprob"], "bytes": entry["bytes"]}


@dataclass(frozen=True, slots=True)
class Frame:
    """What is the same in a reply and in all its chunks."""

    id: str
    created: int
    model: str
    fingerprint: str

    def reply(self, choices: Iterable[Choice], usage: Usage) -> Json:
        """A whole reply."""
        return {
            **self.head("chat.completion"),
            "choices": [choice.body() for choice in choices],
            "usage": usage.body(),
        }

    def chunk(
        self,
        index: int,
        delta: Mapping[str, Any],
        *,
        with_usage: bool,
        finish: str | None = None,
        logprobs: list[Json] | None = None,
    ) -> Json:
        """One chunk with one choice. Under `include_usage`, all chunks but the last say `usage: null`."""
        choice = {
            "index": index,
            "delta": dict(delta),
            "logprobs": logprobs_body(logprobs),
            "finish_reason": finish,
        }
        return {
            **self.head("chat.completion.chunk"),
            "choices": [choice],
            **({"usage": None} if with_usage else {}),
        }

    def usage_chunk(self, usage: Usage) -> Json:
        """The closing chunk of a stream with `include_usage`."""
        return {**self.head("chat.completion.chunk"), "choices": [], "usage": usage.body()}

    def head(self, kind: str) -> Json:
        """The fields common to the reply and its chunks."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }
