"""Sampling parameters and limits: from OpenAI's fields to llama.cpp's, or a refusal that names the field."""

from collections.abc import Mapping
from typing import Any, cast

from specstack_api.errors import InvalidValue, UnsupportedParameter

Json = dict[str, Any]

_PASSED = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
_SEED_RANGE = 2**32


def sampling(
    body: Mapping[str, Any], defaults: Mapping[str, float], *, vocabulary: int, context: int
) -> Json:
    """llama.cpp's sampling fields for a request body.

    `defaults` hold what suits the model where the caller left a field out; `vocabulary` is the number of
    tokens there are, `context` the number that a text may have. Raises `InvalidValue` for a
    `logit_bias` of no token.
    """
    fields: Json = dict(defaults)
    fields.update({name: body[name] for name in _PASSED if body.get(name) is not None})
    if fields.get("presence_penalty") or fields.get("frequency_penalty"):
        # llama.cpp looks back 64 tokens unless told otherwise; the penalties mean the whole text.
        fields["repeat_last_n"] = context
    if body.get("seed") is not None:
        # llama.cpp's seeds are 32 bits, and the last one means "random".
        fields["seed"] = int(body["seed"]) % (_SEED_RANGE - 1)
    if stops := stop_list(body):
        fields["stop"] = stops
    if body.get("logit_bias"):
        fields["logit_bias"] = _biases(body["logit_bias"], vocabulary)
    return fields


def seeded(fields: Mapping[str, Any], choice: int) -> Json:
    """The fields for one of several choices: a given seed still yields choices that differ, repeatably."""
    if choice and "seed" in fields:
        return {**fields, "seed": (fields["seed"] + choice) % (_SEED_RANGE - 1)}
    return dict(fields)


def stop_list(body: Mapping[str, Any]) -> list[str]:
    """The stop sequences, without empty ones, which would stop at once."""
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else cast(list[str], stop or [])
    return [text for text in stops if text]


def limit_of(body: Mapping[str, Any], *names: str) -> int | None:
    """The limit of new tokens, from the first of `names` that is given. None: up to the context's end."""
    for name in names:
        if body.get(name) is None:
            continue
        limit = int(body[name])
        if limit < 0:
            raise InvalidValue(f"{name} is {limit}; a number of tokens cannot be negative", param=name)
        return limit
    return None


def refuse(
    body: Mapping[str, Any], allowed: Mapping[str, tuple[object, ...]], why: Mapping[str, str]
) -> None:
    """Raises `UnsupportedParameter` for the first field that is set to a value not allowed.

    null is always allowed: it means the same as leaving the field out.
    """
    for name, values in allowed.items():
        value = body.get(name)
        if value is not None and value not in values:
            raise UnsupportedParameter(f"{name}: {why[name]}", param=name)


def _biases(given: Mapping[str, float], vocabulary: int) -> list[list[float | int]]:
    biases: list[list[float | int]] = []
    for key, bias in given.items():
        if not (key.isascii() and key.isdigit() and int(key) < vocabulary):
            raise InvalidValue(
                f"logit_bias has the key {key!r}, which is no token id of this model (0 to {vocabulary - 1})",
                param="logit_bias",
            )
        biases.append([int(key), bias])
    return biases
