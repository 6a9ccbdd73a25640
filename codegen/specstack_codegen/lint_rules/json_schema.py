"""Check YAML with positions against a JSON Schema of spec/meta."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from specstack_codegen.lint_rules.registry import Finding, close
from specstack_codegen.source import Map, Position, Seq

_validators: dict[int, Any] = {}
_TYPES = {"object": "a mapping", "array": "a list", "string": "text", "integer": "a whole number"}


def findings(value: Any, schema: dict[str, Any], pos: Position, what: str) -> Iterator[Finding]:
    """What is wrong with `value`, which stands at `pos` and which messages call `what`.

    `schema` must be one that stays in memory (of spec/meta): its validator is kept.
    """
    if id(schema) not in _validators:
        from jsonschema import Draft202012Validator

        _validators[id(schema)] = Draft202012Validator(schema)
    for error in _validators[id(schema)].iter_errors(value):
        yield from _render(error, value, pos, what)


def _render(error: Any, value: Any, pos: Position, what: str) -> Iterator[Finding]:
    steps = list(cast("list[str | int]", error.absolute_path))
    holder, place = _follow(value, steps, pos)
    name = ".".join([what, *(str(step) for step in steps)])
    schema = cast("dict[str, Any]", error.schema if isinstance(error.schema, dict) else {})
    described = str(schema.get("description", ""))
    hint = f"write {described}" if described else "see spec/meta for what may stand here"
    keyword, instance = str(error.validator), error.instance
    if keyword in ("required", "dependentRequired"):
        yield Finding(place, f"{name}: {_missing(error)}", f"add it{f': {described}' if described else ''}")
    elif keyword == "additionalProperties" and isinstance(instance, Map):
        known = cast("dict[str, Any]", schema.get("properties", {}))
        for key in instance:
            if key not in known:
                yield Finding(instance.at(key), f"{name} has no key {key!r}", close(key, known))
    elif isinstance(instance, str) and "propertyNames" in error.absolute_schema_path:
        at = holder.at(instance) if isinstance(holder, Map) else place
        yield Finding(at, f"{name}: {instance!r} cannot be a key here", _allowed(schema) or hint)
    elif keyword == "type":
        yield Finding(place, f"{name} must be {_type(error.validator_value)}, not {_short(instance)}", hint)
    elif keyword in ("enum", "const"):
        yield Finding(place, f"{name} cannot be {_short(instance)}", _allowed(schema) or hint)
    elif keyword == "pattern":
        fallback = hint if described else f"write something that matches {error.validator_value}"
        yield Finding(place, f"{name}: {_short(instance)} has the wrong form", fallback)
    else:
        message = str(error.message)
        text = message if len(message) < 120 else f"{_short(instance)} breaks {keyword!r}"
        yield Finding(place, f"{name}: {text}", hint)


def _missing(error: Any) -> str:
    quoted = str(error.message).split("'")
    return f"the key {quoted[1]!r} is missing" if len(quoted) > 1 else str(error.message)


def _allowed(schema: dict[str, Any]) -> str:
    values = cast("list[Any]", schema.get("enum", []))
    return f"write one of {', '.join(str(value) for value in values)}" if values else ""


def _type(value: Any) -> str:
    names = cast("list[str]", value if isinstance(value, list) else [value])
    return " or ".join(_TYPES.get(name, name) for name in names)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _follow(value: Any, steps: list[str | int], pos: Position) -> tuple[Any, Position]:
    """What stands at the end of `steps` in `value`, and where."""
    for step in steps:
        if isinstance(value, Map):
            value, pos = value[str(step)], value.at(str(step))
        elif isinstance(value, Seq):
            value, pos = value[int(step)], value.at(int(step))
    return value, pos
