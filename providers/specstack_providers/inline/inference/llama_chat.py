"""Chat completions over the engine: what a request means, and the reply whole or in pieces."""

import contextlib
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from specstack_api.errors import InternalError, InvalidJsonSchema, InvalidValue
from specstack_providers.inline.inference.llama_calls import CallStart, Piece, ReplyReader, Text
from specstack_providers.inline.inference.llama_front import EngineFront
from specstack_providers.inline.inference.llama_grammar import (
    Grammar,
    calls_grammar,
    calls_or_text_grammar,
    json_grammar,
)
from specstack_providers.inline.inference.llama_messages import plain_messages
from specstack_providers.inline.inference.llama_replies import Choice, Frame, Usage, new_call, token_entries
from specstack_providers.inline.inference.llama_runs import merged
from specstack_providers.inline.inference.llama_sampling import limit_of, refuse, sampling, seeded
from specstack_providers.inline.inference.llama_tools import Tools, tools_of

Json = dict[str, Any]
Schema = tuple[Mapping[str, Any], bool]
"""A JSON Schema, and whether every keyword of it must be enforced."""

_ALLOWED: Mapping[str, tuple[object, ...]] = {
    "functions": (),
    "function_call": ("none",),
    "audio": (),
    "modalities": ([], ["text"]),
    "web_search_options": (),
}
_WHY: Mapping[str, str] = {
    "functions": "this model takes functions as `tools`",
    "function_call": "this model takes `tool_choice` instead",
    "audio": "this model does not speak",
    "modalities": 'this model answers in text only (["text"])',
    "web_search_options": "this model cannot search the web",
}


@dataclass(frozen=True, slots=True)
class ChatPlan:
    """What a chat request comes down to: an engine request, run `choices` times, and how to read it."""

    request: Json
    tools: Tools
    schema: Schema | None
    choices: int
    logprobs: bool
    top_logprobs: int
    stream_usage: bool

    def reader(self) -> ReplyReader | None:
        """For replies that may hold calls."""
        if self.tools.mode == "text":
            return None
        names = [function.name for function in self.tools.functions]
        return ReplyReader(names, text_allowed=self.tools.mode == "auto")


async def plan_chat(engine: EngineFront, body: Mapping[str, Any], defaults: Mapping[str, float]) -> ChatPlan:
    """Reads a request body. Raises the 400s of its meaning, before anything is generated."""
    refuse(body, _ALLOWED, _WHY)
    limit = limit_of(body, "max_completion_tokens", "max_tokens")
    if limit == 0:
        raise InvalidValue("a chat answer needs at least one token", param="max_completion_tokens")
    logprobs = body.get("logprobs") is True
    top = int(body.get("top_logprobs") or 0)
    if top and not logprobs:
        raise InvalidValue("top_logprobs needs logprobs to be true", param="top_logprobs")
    tools = tools_of(body)
    schema = None if tools.mode == "calls" else _schema_of(body)
    fields = sampling(body, defaults, vocabulary=engine.vocabulary, context=engine.settings.context)
    grammar = await _grammar(engine, tools, schema)
    if grammar is not None:
        fields["grammar"] = grammar.source()
    if logprobs:
        fields["n_probs"] = max(1, top)
    fields["n_predict"] = engine.settings.max_tokens if limit is None else limit
    fields["prompt"] = await _prompt(engine, body, tools, schema)
    options = cast(Mapping[str, Any], body.get("stream_options") or {})
    return ChatPlan(
        fields, tools, schema, int(body.get("n") or 1), logprobs, top, options.get("include_usage") is True
    )


def _schema_of(body: Mapping[str, Any]) -> Schema | None:
    """The schema that the reply's text must fit, None for free text."""
    form = cast(Mapping[str, Any], body.get("response_format") or {})
    if form.get("type") == "json_object":
        return {"type": "object"}, False
    if form.get("type") != "json_schema":
        return None
    named = cast(Mapping[str, Any], form["json_schema"])
    return named.get("schema") or {"type": "object"}, named.get("strict") is True


async def _grammar(engine: EngineFront, tools: Tools, schema: Schema | None) -> Grammar | None:
    """The grammar for the reply, made sure that the engine takes every schema in it."""
    if schema is not None:
        await _check(engine, schema, "response_format.json_schema.schema")
    if tools.mode == "text":
        return None if schema is None else json_grammar(schema[0], strict=schema[1])
    for function, position in zip(tools.functions, tools.positions, strict=True):
        param = f"tools[{position}].function.parameters"
        await _check(engine, (function.schema, function.strict), param)
    if tools.mode == "calls":
        grammar = calls_grammar(tools.functions, several=tools.several)
    else:
        grammar = calls_or_text_grammar(tools.functions, several=tools.several, instead=schema)
    if not await engine.supports(grammar):
        raise InvalidJsonSchema(
            "these tools together are more than the engine can hold a reply to", param="tools"
        )
    return grammar


async def _check(engine: EngineFront, schema: Schema, param: str) -> None:
    if not await engine.supports(json_grammar(schema[0], strict=schema[1])):
        raise InvalidJsonSchema(
            f"{param} cannot be enforced: it is no valid JSON Schema, nothing fits it, or it uses a keyword, "
            "pattern or reference that the grammar engine does not know",
            param=param,
        )


async def _prompt(engine: EngineFront, body: Mapping[str, Any], tools: Tools, schema: Schema | None) -> str:
    """The conversation in the model's own chat format."""
    hints: list[str] = []
    if tools.mode != "text":
        hints.append(tools.prompt())
    if schema is not None and len(schema[0]) > 1:
        hints.append(f"Answer with JSON that fits this schema: {json.dumps(schema[0], ensure_ascii=False)}")
    examples = tools.examples() if tools.mode == "auto" and schema is None else ()
    messages = plain_messages(body["messages"], system="\n\n".join(hints), examples=examples)
    asked = {"messages": messages, "chat_template_kwargs": {"enable_thinking": False}}
    try:
        return cast(str, (await engine.ask("/apply-template", asked))["prompt"])
    except InvalidValue as error:
        raise InvalidValue(error.message, param="messages") from error


@dataclass(frozen=True, slots=True)
class Step:
    """What came of one chunk of the engine. `finish` and `usage` are set in a choice's last step."""

    index: int
    pieces: list[Piece]
    logprobs: list[Json] | None = None
    finish: str | None = None
    usage: Mapping[str, Any] | None = None


async def chat_reply(engine: EngineFront, plan: ChatPlan, frame: Frame, new_id: Callable[[str], str]) -> Json:
    """The whole reply. Cancelling it stops the generation."""
    choices = [Choice(index, logprobs=[] if plan.logprobs else None) for index in range(plan.choices)]
    usage = Usage()
    async with contextlib.aclosing(_steps(engine, plan)) as steps:
        async for step in steps:
            choice = choices[step.index]
            for piece in step.pieces:
                _append(choice, piece, new_id)
            if choice.logprobs is not None:
                choice.logprobs.extend(step.logprobs or [])
            if step.finish is not None:
                choice.finish = step.finish
            if step.usage is not None:
                usage.add(step.usage, count_prompt=step.index == 0)
    return frame.reply(choices, usage)


async def chat_chunks(
    engine: EngineFront, plan: ChatPlan, frame: Frame, new_id: Callable[[str], str]
) -> AsyncGenerator[Json]:
    """The reply in chunks. Closing the generator stops the generation."""
    usage = Usage()
    begun: set[int] = set()
    with_usage = plan.stream_usage
    async with contextlib.aclosing(_steps(engine, plan)) as steps:
        async for step in steps:
            logprobs = step.logprobs
            if step.index not in begun:
                begun.add(step.index)
                delta = {"role": "assistant", "content": "", "refusal": None}
                yield frame.chunk(step.index, delta, with_usage=with_usage)
            for piece in step.pieces:
                delta = _delta(piece, new_id)
                yield frame.chunk(step.index, delta, with_usage=with_usage, logprobs=logprobs)
                logprobs = None
            if step.usage is not None:
                usage.add(step.usage, count_prompt=step.index == 0)
            if step.finish is not None:
                yield frame.chunk(
                    step.index, {}, with_usage=with_usage, finish=step.finish, logprobs=logprobs
                )
    if with_usage:
        yield frame.usage_chunk(usage)


def _append(choice: Choice, piece: Piece, new_id: Callable[[str], str]) -> None:
    if isinstance(piece, Text):
        choice.text += piece.text
    elif isinstance(piece, CallStart):
        choice.calls.append(new_call(new_id("call_"), piece.name))
    else:
        choice.calls[piece.index]["function"]["arguments"] += piece.text


def _delta(piece: Piece, new_id: Callable[[str], str]) -> Json:
    if isinstance(piece, Text):
        return {"content": piece.text}
    if isinstance(piece, CallStart):
        return {"tool_calls": [{"index": piece.index, **new_call(new_id("call_"), piece.name)}]}
    return {"tool_calls": [{"index": piece.index, "function": {"arguments": piece.text}}]}


def _steps(engine: EngineFront, plan: ChatPlan) -> AsyncGenerator[Step]:
    """The steps of all choices, as they come."""
    return merged(lambda index: _choice(engine, plan, index), plan.choices, engine.settings.slots)


async def _choice(engine: EngineFront, plan: ChatPlan, index: int) -> AsyncGenerator[Step]:
    """The steps of one choice."""
    reader = plan.reader()
    # Log probabilities of what may still become a call; they are told for text only.
    held: list[Json] = []
    text = ""
    request = seeded(plan.request, index)
    async with contextlib.aclosing(engine.generate(request, param="messages")) as chunks:
        async for chunk in chunks:
            choice = chunk["choices"][0]
            if plan.logprobs:
                held.extend(token_entries(choice["logprobs"], plan.top_logprobs))
            finish = choice["finish_reason"]
            pieces = _pieces(reader, choice["text"], last=finish is not None)
            text += "".join(piece.text for piece in pieces if isinstance(piece, Text))
            logprobs: list[Json] | None = None
            if plan.logprobs and not (reader is not None and reader.undecided):
                logprobs, held = ([] if reader is not None and reader.calls else held), []
            if finish is not None:
                _check_form(plan, reader, text, finish)
                if reader is not None and reader.calls and finish == "stop":
                    finish = "tool_calls"
            if pieces or finish is not None:
                yield Step(index, pieces, logprobs, finish, chunk.get("usage"))


def _pieces(reader: ReplyReader | None, text: str, *, last: bool) -> list[Piece]:
    if reader is None:
        return [Text(text)] if text else []
    return reader.feed(text) + (reader.end() if last else [])


def _check_form(plan: ChatPlan, reader: ReplyReader | None, text: str, finish: str) -> None:
    """Makes sure that a reply which ended by itself has the form that was promised."""
    if finish != "stop" or plan.request.get("stop"):
        return
    broken = reader is not None and not reader.complete
    if plan.schema is not None and not (reader is not None and reader.calls):
        try:
            json.loads(text)
        except ValueError:
            broken = True
    if broken:
        raise InternalError(
            "the model's engine left the grammar of its reply; please report this with the request"
        )
