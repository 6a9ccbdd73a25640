"""Values that fit a schema: the spec's own examples where it has some, else made of it, always the same.

Reference pages and the mock server show the same ones. Every value is checked against its schema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any, cast

from specstack_codegen import schemas
from specstack_codegen.ir import Schema

_DEEPEST = 8
_TEXT = "…"
_FORMATS = {
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "uri": "https://example.com/",
    "uuid": "7f9c24e8-3b12-4f6a-9d0e-2b5c8a1f3e47",
    "email": "ann@example.com",
    "byte": "c3BlYw==",
    "ipv4": "192.0.2.1",
}
_LITERAL = re.compile(r"[A-Za-z0-9_:/ -]*")
_PATTERN_TRIES = (_TEXT, "a", "A", "0", "a0", "abc", "a-b", "a/b", "1.0", "sha256:" + "0" * 64)


class NoExample(Exception):
    """No value that fits could be made. The message says of what, why, and what to do."""


class Examples:
    """The examples of one set of components."""

    def __init__(self, components: Mapping[str, Schema]) -> None:
        self.components = components

    def of(self, schema: Schema, *, everything: bool = False) -> Any:
        """A value that fits `schema`, with optional fields too if `everything`. Raises NoExample."""
        stated = self.stated(schema)
        if stated:
            return stated[0]
        value = self.draft(schema, everything=everything)
        fault = self.fault(value, schema)
        if fault and everything:
            return self.of(schema)
        if fault:
            name = schemas.ref_name(schema) or "this schema"
            raise NoExample(f"no example of {name} could be made ({fault}); give it one under `examples`")
        return value

    def stated(self, schema: Schema) -> list[Any]:
        """The spec's own examples of a schema, or of the component that it refers to."""
        for place in (schema, schemas.resolved(schema, self.components)):
            if "example" in place:
                return [place["example"]]
            if place.get("examples"):
                return list(place["examples"])
        return []

    def fault(self, value: Any, schema: Schema) -> str:
        """Why a value does not fit, with its place in the value; "" when it does."""
        errors = list(self._validator.evolve(schema={**schema, **self._root}).iter_errors(value))
        if not errors:
            return ""
        error = max(errors, key=lambda one: len(one.absolute_path))
        place = "".join(f"[{step!r}]" for step in error.absolute_path)
        return f"{place or 'it'}: {str(error.message)[:160]}"

    @cached_property
    def _root(self) -> dict[str, Any]:
        return {"components": {"schemas": self.components}}

    @cached_property
    def _validator(self) -> Any:
        from jsonschema import Draft202012Validator

        return Draft202012Validator(self._root)

    def draft(self, schema: Schema, *, depth: int = 0, everything: bool = False) -> Any:
        """The likeliest value, not checked: the spec's own example, else made of required fields."""
        target = schemas.resolved(schema, self.components)
        for place in (schema, target):
            if (stated := _stated(place)) is not None:
                return stated[0]
        if schema.get("default") is not None:
            return schema["default"]
        options = [*target.get("oneOf", ()), *target.get("anyOf", ())]
        if options:
            return self.draft(self._plainest(options), depth=depth, everything=everything)
        kinds = schemas.types(target, self.components)
        if "array" in kinds:
            return self._list(target, depth, everything=everything)
        if "object" in kinds or target.get("properties") or target.get("allOf"):
            return self._object(target, depth, everything=everything)
        return _scalar(target, kinds)

    def _plainest(self, options: list[Schema]) -> Schema:
        """The option that is easiest to read: text, then anything but null."""
        kinds = [schemas.types(option, self.components) for option in options]
        texts = [option for option, kind in zip(options, kinds, strict=True) if kind == frozenset({"string"})]
        others = [option for option, kind in zip(options, kinds, strict=True) if kind != frozenset({"null"})]
        return (texts or others or options)[0]

    def _list(self, schema: Schema, depth: int, *, everything: bool) -> list[Any]:
        if depth > _DEEPEST:
            return []
        one = self.draft(schema.get("items", {}), depth=depth + 1, everything=everything)
        count = max(1, int(schema.get("minItems", 1)))
        return [one] * min(count, int(schema.get("maxItems", count)))

    def _object(self, schema: Schema, depth: int, *, everything: bool) -> dict[str, Any]:
        fields = schemas.properties(schema, self.components)
        needed = schemas.required(schema, self.components)
        if depth > _DEEPEST:
            return {}
        values = schema.get("additionalProperties")
        if not fields and isinstance(values, Mapping):
            return {"key": self.draft(cast("Schema", values), depth=depth + 1)}
        chosen = {name: field for name, field in fields.items() if everything or name in needed}
        return {
            name: self.draft(field, depth=depth + 1, everything=everything) for name, field in chosen.items()
        }


def _stated(schema: Schema) -> list[Any] | None:
    """The example, constant or first choice that a schema states, in a list of one."""
    if "example" in schema:
        return [schema["example"]]
    if schema.get("examples"):
        return [schema["examples"][0]]
    if "const" in schema:
        return [schema["const"]]
    return [schema["enum"][0]] if "enum" in schema else None


def _scalar(schema: Schema, kinds: frozenset[str]) -> Any:
    if "integer" in kinds or "number" in kinds:
        return _number(schema, whole="integer" in kinds)
    if "boolean" in kinds:
        return True
    if kinds == frozenset({"null"}):
        return None
    return _string(schema)


def _number(schema: Schema, *, whole: bool) -> float:
    step = schema.get("multipleOf", 1 if whole else 0.5)
    lowest, highest = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        lowest = schema["exclusiveMinimum"] + step
    if "exclusiveMaximum" in schema:
        highest = schema["exclusiveMaximum"] - step
    if lowest is not None:
        return lowest
    usual = step if "multipleOf" in schema else 1 if whole else 1.0
    return usual if highest is None or highest >= usual else highest


def _string(schema: Schema) -> str:
    known = _FORMATS.get(str(schema.get("format")))
    if known is not None:
        return known
    pattern, shortest = schema.get("pattern"), int(schema.get("minLength", 0))
    begin = "" if pattern is None else _LITERAL.match(pattern.removeprefix("^"))[0]  # type: ignore[index]
    tries = [text * (shortest if len(text) < shortest else 1) for text in _PATTERN_TRIES]
    tries += [begin + text for text in tries]
    return next((text for text in tries if pattern is None or re.search(pattern, text)), tries[0])
