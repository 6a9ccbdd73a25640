"""Text completions over the engine: a prompt is continued as it stands, without a chat template."""

import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from specstack_api.errors import InvalidValue
from specstack_providers.inline.inference.llama_front import EngineFront
from specstack_providers.inline.inference.llama_replies import Frame, Usage
from specstack_providers.inline.inference.llama_runs import merged
from specstack_providers.inline.inference.llama_sampling import limit_of, refuse, sampling, seeded

Json = dict[str, Any]

_MAX_TOKENS = 16
_ALLOWED: Mapping[str, tuple[object, ...]] = {"suffix": ("",)}
_WHY: Mapping[str, str] = {"suffix": "this model continues texts and does not fill gaps"}


@dataclass(frozen=True, slots=True)
class CompletionPlan:
    """What a completions request comes down to: what the engine reads, and what is repeated of it."""

    prompts: list[str | list[int]]
    echoes: list[str]
    fields: Json
    each: int
    top_logprobs: int | None
    stream_usage: bool
    nothing: bool
    """Whether no token shall be generated; the engine then generates one that is dropped."""


async def plan_completion(
    engine: EngineFront, body: Mapping[str, Any], defaults: Mapping[str, float]
) -> CompletionPlan:
    """Reads a request body. Raises the 400s of its meaning, before anything is generated."""
    each = int(body.get("n") or 1)
    refuse(
        body,
        {**_ALLOWED, "best_of": tuple(range(each + 1))},
        {**_WHY, "best_of": "this model makes no more continuations than `n`, to choose among them"},
    )
    prompts = _prompts(body.get("prompt"), engine)
    top = None if body.get("logprobs") is None else int(body["logprobs"])
    echo = body.get("echo") is True
    if echo and top is not None:
        # Log probabilities of the prompt would belong to the echo, and the engine has none.
        refuse(body, {"logprobs": ()}, {"logprobs": "this model cannot give them together with `echo`"})
    limit = limit_of(body, "max_tokens")
    fields = sampling(body, defaults, vocabulary=engine.vocabulary, context=engine.settings.context)
    fields["n_predict"] = max(1, _MAX_TOKENS if limit is None else limit)
    if top is not None:
        fields["n_probs"] = max(1, top)
    echoes = [await _text(engine, prompt) if echo else "" for prompt in prompts]
    options = cast(Mapping[str, Any], body.get("stream_options") or {})
    return CompletionPlan(
        [prompt or engine.bos or " " for prompt in prompts],
        echoes,
        fields,
        each,
        top,
        options.get("include_usage") is True,
        limit == 0,
    )


def _prompts(given: object, engine: EngineFront) -> list[str | list[int]]:
    """The prompts, one or several, as texts or token ids. A missing one is the beginning of a text."""
    if given is None or isinstance(given, str):
        return [given or ""]
    items = cast(Sequence[Any], given)
    if not items:
        raise InvalidValue("prompt is an empty list; give at least one text", param="prompt")
    if isinstance(items[0], (int, float)):
        return [_tokens(cast(Sequence[float], items), engine)]
    return [item if isinstance(item, str) else _tokens(item, engine) for item in items]


def _tokens(ids: Sequence[float], engine: EngineFront) -> list[int]:
    for token in ids:
        if not 0 <= token < engine.vocabulary:
            raise InvalidValue(
                f"prompt has {int(token)}, which is no token id of this model (0 to {engine.vocabulary - 1})",
                param="prompt",
            )
    return [int(token) for token in ids]


async def _text(engine: EngineFront, prompt: str | list[int]) -> str:
    if isinstance(prompt, str):
        return prompt
    return cast(str, (await engine.ask("/detokenize", {"tokens": prompt}))["content"])


@dataclass(frozen=True, slots=True)
class Part:
    """More of one continuation."""

    index: int
    text: str
    logprobs: Json | None
    finish: str | None
    usage: Mapping[str, Any] | None


@dataclass(slots=True)
class _Logprobs:
    """OpenAI's older form of log probabilities: parallel lists, with each token's place in the text."""

    top: int
    offset: int = 0

    def of(self, chunk: Mapping[str, Any] | None) -> Json:
        entries = cast(list[Json], (chunk or {}).get("content") or [])
        offsets: list[int] = []
        for entry in entries:
            offsets.append(self.offset)
            self.offset += len(entry["token"])
        return {
            "tokens": [entry["token"] for entry in entries],
            "token_logprobs": [entry["logprob"] for entry in entries],
            "top_logprobs": [_top(entry, self.top) for entry in entries] if self.top else None,
            "text_offset": offsets,
        }


def _top(entry: Json, top: int) -> Json:
    others: list[Json] = entry.get("top_logprobs") or []
    listed = {other["token"]: other["logprob"] for other in others[:top]}
    return {entry["token"]: entry["logprob"], **listed}


@dataclass(slots=True)
class _Whole:
    """One continuation, as it grows."""

    text: str = ""
    logprobs: Json | None = None
    finish: str = "stop"
    parts: list[Json] = field(default_factory=list[Json])

    def add(self, part: Part) -> None:
        self.text += part.text
        self.finish = part.finish or self.finish
        if part.logprobs is not None:
            self.parts.append(part.logprobs)

    def body(self, index: int) -> Json:
        return {
            "index": index,
            "text": self.text,
            "logprobs": _joined(self.parts),
            "finish_reason": self.finish,
        }


def _joined(parts: list[Json]) -> Json | None:
    if not parts:
        return None
    joined: Json = {}
    for name in parts[0]:
        lists: list[list[Any]] = [part[name] or [] for part in parts]
        joined[name] = [item for items in lists for item in items]
    return {
        **joined,
        "top_logprobs": joined["top_logprobs"] if parts[0]["top_logprobs"] is not None else None,
    }


async def completion_reply(engine: EngineFront, plan: CompletionPlan, frame: Frame) -> Json:
    """The whole reply. Cancelling it stops the generation."""
    wholes = [_Whole() for _ in range(len(plan.prompts) * plan.each)]
    usage = Usage()
    async with contextlib.aclosing(_parts(engine, plan)) as parts:
        async for part in parts:
            wholes[part.index].add(part)
            _count(usage, plan, part)
    choices = [whole.body(index) for index, whole in enumerate(wholes)]
    return {**frame.head("text_completion"), "choices": choices, "usage": usage.body()}


async def completion_chunks(engine: EngineFront, plan: CompletionPlan, frame: Frame) -> AsyncGenerator[Json]:
    """The reply in chunks. Closing the generator stops the generation."""
    usage = Usage()
    null_usage = {"usage": None} if plan.stream_usage else {}
    async with contextlib.aclosing(_parts(engine, plan)) as parts:
        async for part in parts:
            _count(usage, plan, part)
            choice = {
                "index": part.index,
                "text": part.text,
                "logprobs": part.logprobs,
                "finish_reason": part.finish,
            }
            yield {**frame.head("text_completion"), "choices": [choice], **null_usage}
    if plan.stream_usage:
        yield {**frame.head("text_completion"), "choices": [], "usage": usage.body()}


def _count(usage: Usage, plan: CompletionPlan, part: Part) -> None:
    if part.usage is not None:
        counted = {**part.usage, "completion_tokens": 0} if plan.nothing else part.usage
        usage.add(counted, count_prompt=part.index % plan.each == 0)


def _parts(engine: EngineFront, plan: CompletionPlan) -> AsyncGenerator[Part]:
    runs = len(plan.prompts) * plan.each
    return merged(lambda index: _run(engine, plan, index), runs, engine.settings.slots)


async def _run(engine: EngineFront, plan: CompletionPlan, index: int) -> AsyncGenerator[Part]:
    """The parts of one continuation."""
    which, choice = divmod(index, plan.each)
    request = {**seeded(plan.fields, choice), "prompt": plan.prompts[which]}
    logprobs = None if plan.top_logprobs is None else _Logprobs(plan.top_logprobs)
    echo = plan.echoes[which]
    async with contextlib.aclosing(engine.generate(request, param="prompt")) as chunks:
        async for chunk in chunks:
            written = chunk["choices"][0]
            text = echo + ("" if plan.nothing else written["text"])
            echo = ""
            listed = None if logprobs is None or plan.nothing else logprobs.of(written["logprobs"])
            if text or written["finish_reason"] is not None:
                yield Part(index, text, listed, written["finish_reason"], chunk.get("usage"))
