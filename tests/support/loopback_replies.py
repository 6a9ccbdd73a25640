"""What the loopback upstream answers: pure functions from a request body to a reply body.

Every reply is a function of the request alone (ids are digests, the clock stands still), so that a run can be
repeated and compared byte for byte. Nothing here checks a request: whatever the published schema allows is
answered, and a field of the wrong type is treated as absent.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

Json = dict[str, Any]

CREATED: Final = 1_700_000_000
DEFAULT_DIMENSIONS: Final = 8
MAX_DIMENSIONS: Final = 4096  # the schema has no upper bound; a reply of gigabytes would test nothing
ECHO_WORDS: Final = 6
MODELS: Final[tuple[tuple[str, str], ...]] = (
    ("echo", "llm"),
    ("org/echo:8b", "llm"),
    ("echo-embed", "embedding"),
    ("echo-rerank", "rerank"),
)


def digest(value: object, length: int = 12) -> str:
    text = json.dumps(value, sort_keys=True, default=str, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def whole(body: Mapping[str, Any], field: str, default: int) -> int:
    """The field as an int; null, absent and non-numbers give the default. Integral floats are numbers too."""
    value = body.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return default
    return int(value)


def words_of(text: str) -> list[str]:
    """Tokens of the loopback model: words, each but the first with the space before it."""
    return [word if i == 0 else f" {word}" for i, word in enumerate(text.split())]


def text_of(content: Any) -> str:
    """The text in a message's content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts: list[str] = []
    for part in content:  # pyright: ignore[reportUnknownVariableType]
        if isinstance(part, Mapping) and isinstance(part.get("text"), str):  # pyright: ignore
            parts.append(part["text"])  # pyright: ignore
    return " ".join(parts)


def usage(prompt: int, completion: int) -> Json:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


# ---- models ---------------------------------------------------------------------------------------------


def model_list() -> Json:
    rows = [{"id": name, "object": "model", "created": CREATED, "owned_by": "loopback"} for name, _ in MODELS]
    return {"object": "list", "data": rows}


# ---- chat -----------------------------------------------------------------------------------------------


def instance_of(schema: Any, depth: int = 0) -> Any:
    """A small value that fits the common JSON Schema keywords; `{}` schemas and deep nesting give null."""
    if not isinstance(schema, Mapping) or depth > 8:
        return None
    node: Mapping[str, Any] = schema
    if "const" in node:
        return node["const"]
    if isinstance(node.get("enum"), list) and node["enum"]:
        return node["enum"][0]
    kind = node.get("type")
    if isinstance(kind, list):
        kind = next(iter(kind), None)
    if kind == "object" or "properties" in node:
        properties = node.get("properties")
        if not isinstance(properties, Mapping):
            return {}
        return {name: instance_of(value, depth + 1) for name, value in properties.items()}
    if kind == "array":
        return [instance_of(node.get("items"), depth + 1)] if node.get("minItems") else []
    simple: Json = {"string": "loopback", "integer": 1, "number": 1.5, "boolean": True}
    return simple.get(kind) if isinstance(kind, str) else None


def forced_tool(body: Json) -> Json | None:
    """The tool that `tool_choice` leaves no way around, as a function or custom tool definition."""
    tools = [t for t in body.get("tools") or [] if isinstance(t, dict)]
    choice = body.get("tool_choice")
    if choice == "required":
        return tools[0] if tools else None
    if not isinstance(choice, dict):
        return None
    if choice.get("type") == "allowed_tools":
        allowed = choice.get("allowed_tools")
        if not isinstance(allowed, dict) or allowed.get("mode") != "required":
            return None
        wanted = {_tool_name(t) for t in allowed.get("tools") or [] if isinstance(t, dict)}
        return next((t for t in tools if _tool_name(t) in wanted), None)
    name = _tool_name(choice)
    return next((t for t in tools if _tool_name(t) == name), choice)


def _tool_name(tool: Mapping[str, Any]) -> str:
    inner = tool.get("custom" if tool.get("type") == "custom" else "function")
    name = inner.get("name") if isinstance(inner, Mapping) else None
    return name if isinstance(name, str) else "tool"


def _tool_call(tool: Json, index: int) -> Json:
    call_id = f"call_{digest([tool, index])}"
    if tool.get("type") == "custom":
        return {"id": call_id, "type": "custom", "custom": {"name": _tool_name(tool), "input": "loopback"}}
    inner = tool.get("function")
    parameters = inner.get("parameters") if isinstance(inner, dict) else None
    arguments = json.dumps(instance_of(parameters) if parameters else {})
    return {"id": call_id, "type": "function", "function": {"name": _tool_name(tool), "arguments": arguments}}


def _answer(body: Json) -> tuple[list[str], str]:
    """The reply's tokens and finish reason, before tools are considered."""
    messages = [m for m in body.get("messages") or [] if isinstance(m, dict)]
    last = text_of(messages[-1].get("content")) if messages else ""
    said = " ".join(last.split()[:ECHO_WORDS])
    text = f"You said: {said}" if said else "You said nothing."
    response_format = body.get("response_format")
    if isinstance(response_format, dict):
        if response_format.get("type") == "json_object":
            text = json.dumps({"said": said})
        if response_format.get("type") == "json_schema":
            wrapped = response_format.get("json_schema")
            schema = wrapped.get("schema") if isinstance(wrapped, dict) else None
            text = json.dumps(instance_of(schema or {"type": "object"}))
    return cut(text, body, whole(body, "max_completion_tokens", whole(body, "max_tokens", ECHO_WORDS * 2)))


def cut(text: str, body: Json, limit: int) -> tuple[list[str], str]:
    """Apply stop sequences and the token limit."""
    stop = body.get("stop")
    for sequence in [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []:
        if isinstance(sequence, str) and sequence and sequence in text:
            text = text[: text.index(sequence)]
    tokens = words_of(text)
    if len(tokens) <= max(limit, 0):
        return tokens, "stop"
    return tokens[: max(limit, 0)], "length"


def _logprob(token: str, top: int) -> Json:
    entry: Json = {"token": token, "logprob": -0.25, "bytes": list(token.encode("utf-8", "replace"))}
    ranked = [{**entry, "logprob": -0.25 - rank} for rank in range(top)]
    return {**entry, "top_logprobs": ranked}


def _logprobs(body: Json, tokens: Sequence[str]) -> Json | None:
    if body.get("logprobs") is not True:
        return None
    top = whole(body, "top_logprobs", 0)
    return {"content": [_logprob(token, top) for token in tokens], "refusal": None}


def _prompt_tokens(body: Json) -> int:
    return sum(
        len(text_of(m.get("content")).split()) for m in body.get("messages") or [] if isinstance(m, dict)
    )


def _chat_head(body: Json, kind: str) -> Json:
    return {
        "id": f"chatcmpl-{digest(body)}",
        "object": kind,
        "created": CREATED,
        "model": body.get("model", ""),
        "system_fingerprint": "fp_loopback",
    }


def chat(body: Json) -> Json:
    tokens, finish = _answer(body)
    tool = forced_tool(body)
    choices: list[Json] = []
    for index in range(max(whole(body, "n", 1), 1)):
        message: Json = {"role": "assistant", "content": "".join(tokens), "refusal": None}
        reason = finish
        if tool is not None:
            message.update(content=None, tool_calls=[_tool_call(tool, index)])
            reason = "tool_calls"
        elif isinstance(body.get("function_call"), dict):
            message.update(
                content=None, function_call={"name": body["function_call"].get("name", ""), "arguments": "{}"}
            )
            reason = "function_call"
        elif _wants_audio(body):
            message.update(content=None, audio=_audio(body, tokens))
        logprobs = _logprobs(body, tokens if message["content"] is not None else [])
        choices.append({"index": index, "message": message, "finish_reason": reason, "logprobs": logprobs})
    completion = len(tokens) * len(choices)
    return {
        **_chat_head(body, "chat.completion"),
        "choices": choices,
        "usage": usage(_prompt_tokens(body), completion),
    }


def _wants_audio(body: Json) -> bool:
    modalities = body.get("modalities")
    return isinstance(body.get("audio"), dict) and isinstance(modalities, list) and "audio" in modalities


def _audio(body: Json, tokens: Sequence[str]) -> Json:
    data = base64.b64encode(b"loopback").decode()
    return {
        "id": f"audio_{digest(body)}",
        "expires_at": CREATED + 3600,
        "data": data,
        "transcript": "".join(tokens),
    }


def chat_events(body: Json) -> Iterator[Json]:
    """The chunks of a streamed chat: role, one token each, the finish reason, usage if asked for."""
    head = _chat_head(body, "chat.completion.chunk")
    tokens, finish = _answer(body)
    tool = forced_tool(body)
    wants_usage = _include_usage(body)
    extra: Json = {"usage": None} if wants_usage else {}
    choices = range(max(whole(body, "n", 1), 1))

    def chunk(index: int, delta: Json, reason: str | None = None, logprobs: Json | None = None) -> Json:
        choice = {"index": index, "delta": delta, "finish_reason": reason, "logprobs": logprobs}
        return {**head, "choices": [choice], **extra}

    for index in choices:
        yield chunk(index, {"role": "assistant", "content": None if tool else "", "refusal": None})
    for index in choices:
        if tool is None:
            for token in tokens:
                yield chunk(index, {"content": token}, logprobs=_logprobs(body, [token]))
            yield chunk(index, {}, finish)
            continue
        call = _tool_call(tool, index)
        if call["type"] == "custom":  # the published chunk schema knows no other type than function
            yield chunk(index, {"tool_calls": [{"index": 0, "id": call["id"], "custom": call["custom"]}]})
        else:
            opened = {**call, "index": 0, "function": {"name": call["function"]["name"], "arguments": ""}}
            yield chunk(index, {"tool_calls": [opened]})
            rest = {"index": 0, "function": {"arguments": call["function"]["arguments"]}}
            yield chunk(index, {"tool_calls": [rest]})
        yield chunk(index, {}, "tool_calls")
    if wants_usage:
        yield {**head, "choices": [], "usage": usage(_prompt_tokens(body), len(tokens) * len(choices))}


def _include_usage(body: Json) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


# ---- completions ----------------------------------------------------------------------------------------


def _prompts(body: Json) -> list[str]:
    prompt = body.get("prompt")
    if isinstance(prompt, str):
        return [prompt]
    if not isinstance(prompt, list) or not prompt:
        return [""]
    if isinstance(prompt[0], str):
        return [str(text) for text in prompt]
    if isinstance(prompt[0], list):
        return [" ".join(str(t) for t in tokens) for tokens in prompt]
    return [" ".join(str(t) for t in prompt)]


def _completion_choice(body: Json, prompt: str, index: int) -> Json:
    said = " ".join(prompt.split()[:ECHO_WORDS])
    tokens, finish = cut(f"and so {said}".strip(), body, whole(body, "max_tokens", 16))
    if body.get("echo") is True:
        tokens = [*words_of(prompt), *tokens]
    logprobs: Json | None = None
    if body.get("logprobs") is not None:
        offsets = [sum(len(t) for t in tokens[:i]) for i in range(len(tokens))]
        logprobs = {
            "tokens": tokens,
            "token_logprobs": [-0.5 for _ in tokens],
            "top_logprobs": [{token: -0.5} for token in tokens],
            "text_offset": offsets,
        }
    return {"index": index, "text": "".join(tokens), "logprobs": logprobs, "finish_reason": finish}


def completion(body: Json) -> Json:
    prompts = _prompts(body)
    count = max(whole(body, "n", 1), 1)
    choices = [
        _completion_choice(body, p, i * count + j) for i, p in enumerate(prompts) for j in range(count)
    ]
    spent = sum(len(choice["text"].split()) for choice in choices)
    return {
        "id": f"cmpl-{digest(body)}",
        "object": "text_completion",
        "created": CREATED,
        "model": body.get("model", ""),
        "choices": choices,
        "usage": usage(sum(len(p.split()) for p in prompts), spent),
    }


def completion_events(body: Json) -> Iterator[Json]:
    """The chunks of a streamed completion: one token each, the finish reason, usage if asked for."""
    whole_reply = completion(body)
    head = {key: value for key, value in whole_reply.items() if key not in {"choices", "usage"}}
    extra: Json = {"usage": None} if _include_usage(body) else {}
    for choice in whole_reply["choices"]:
        tokens = words_of(choice["text"])
        for token in tokens:
            piece = {"index": choice["index"], "text": token, "logprobs": None, "finish_reason": None}
            yield {**head, "choices": [piece], **extra}
        yield {**head, "choices": [{**choice, "text": "", "logprobs": None}], **extra}
    if _include_usage(body):
        yield {**head, "choices": [], "usage": whole_reply["usage"]}


# ---- embeddings and rerank ------------------------------------------------------------------------------


def vector(text: str, dimensions: int) -> list[float]:
    """A unit vector of hashed words: equal texts are equal, texts that share words are near."""
    row = [0.0] * dimensions
    for word in text.lower().split() or [""]:
        row[int(hashlib.sha256(word.encode("utf-8", "replace")).hexdigest()[:8], 16) % dimensions] += 1.0
    norm = math.sqrt(sum(x * x for x in row)) or 1.0
    return [x / norm for x in row]


def embeddings(body: Json) -> Json:
    source = body.get("input")
    texts = _prompts({"prompt": source})
    dimensions = min(max(whole(body, "dimensions", DEFAULT_DIMENSIONS), 1), MAX_DIMENSIONS)
    as_base64 = body.get("encoding_format") == "base64"
    encode: Callable[[list[float]], Any] = _base64 if as_base64 else list
    rows = [
        {"object": "embedding", "index": i, "embedding": encode(vector(t, dimensions))}
        for i, t in enumerate(texts)
    ]
    spent = sum(len(t.split()) for t in texts)
    total = {"prompt_tokens": spent, "total_tokens": spent}
    return {"object": "list", "data": rows, "model": body.get("model", ""), "usage": total}


def _base64(row: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(row)}f", *row)).decode()


def rerank(body: Json) -> Json | list[Json]:
    """Documents by cosine with the query, best first; for `texts` the bare list of TEI."""
    query = vector(text_of(body.get("query")), 64)
    documents = body.get("documents", body.get("texts")) or []
    scores: list[tuple[float, int, str]] = []
    for index, document in enumerate(documents):
        text = document if isinstance(document, str) else text_of([document])
        scores.append(
            (round(sum(a * b for a, b in zip(query, vector(text, 64), strict=True)), 6), index, text)
        )
    ranked = sorted(scores, key=lambda row: (-row[0], row[1]))[: max(whole(body, "top_n", len(scores)), 0)]
    if "texts" in body:
        return [{"index": index, "score": score} for score, index, _ in ranked]
    results = [
        {"index": i, "relevance_score": score, "document": {"text": text}} for score, i, text in ranked
    ]
    return {
        "id": f"rerank-{digest(body)}",
        "model": body.get("model", ""),
        "results": results,
        "usage": {"total_tokens": 1},
    }
