"""Schemas as Markdown: types with links, limits, rows of fields, and examples."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from specstack_codegen import schemas
from specstack_codegen.ir import Schema

_DEEPEST_EXAMPLE = 5
_LIMITS = (
    ("minimum", "at least {}"),
    ("exclusiveMinimum", "more than {}"),
    ("maximum", "at most {}"),
    ("exclusiveMaximum", "less than {}"),
    ("minLength", "at least {} long"),
    ("maxLength", "at most {} long"),
    ("minItems", "items: at least {}"),
    ("maxItems", "items: at most {}"),
    ("minProperties", "entries: at least {}"),
    ("maxProperties", "entries: at most {}"),
    ("multipleOf", "a multiple of {}"),
    ("pattern", "pattern `{}`"),
)
_NOT_EMPTY = frozenset({"at least 1 long", "items: at least 1", "entries: at least 1"})
_FORMATS = {"password": "secret", "binary": "file"}
_SAMPLES: dict[str, Any] = {"integer": 1, "number": 1.0, "boolean": True, "null": None, "string": "…"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A field or parameter, each column as Markdown for a table cell."""

    name: str
    place: str
    type: str
    required: str
    default: str
    description: str


@dataclass(frozen=True, slots=True)
class Pages:
    """How schemas are printed on one page. `link` gives the address of a component's description."""

    components: Mapping[str, Schema]
    link: Callable[[str], str]

    def type(self, schema: Schema) -> str:
        """The type of a value: names link to components."""
        name = schemas.ref_name(schema)
        if name is not None:
            return f"[{name}]({self.link(name)})"
        if "const" in schema:
            return _code(schema["const"])
        if "enum" in schema:
            return " or ".join(_code(value) for value in schema["enum"])
        options = [*schema.get("oneOf", ()), *schema.get("anyOf", ()), *schema.get("allOf", ())]
        if options:
            return " or ".join(dict.fromkeys(self.type(option) for option in options))
        stated = schema.get("type")
        kinds = cast("list[str]", stated) if isinstance(stated, list) else [str(stated or "any value")]
        return " or ".join(self._single(kind, schema) for kind in kinds)

    def _single(self, kind: str, schema: Schema) -> str:
        if kind == "array":
            return f"list of {_grouped(self.type(schema.get('items', {})))}"
        values = schema.get("additionalProperties")
        if kind == "object" and isinstance(values, Mapping):
            return f"map of {_grouped(self.type(cast('Schema', values)))}"
        return _FORMATS.get(str(schema.get("format")), kind)

    def rows(self, schema: Schema) -> list[Row]:
        """The fields of an object schema; empty for every other."""
        needed = schemas.required(schema, self.components)
        fields = schemas.properties(schema, self.components)
        return [self.row(name, field, required=name in needed) for name, field in fields.items()]

    def row(
        self, name: str, schema: Schema, *, required: bool, place: str = "", description: str = ""
    ) -> Row:
        """One field or parameter."""
        target = schemas.resolved(schema, self.components)
        text = description or str(schema.get("description") or target.get("description") or "")
        notes = [text.strip(), *self._limits(target), "Deprecated." if schema.get("deprecated") else ""]
        return Row(
            name=f"`{name}`",
            place=place,
            type=cell(self.type(schema)),
            required="yes" if required else "",
            default=cell(_code(schema["default"])) if "default" in schema else "",
            description=cell(" ".join(note for note in notes if note)),
        )

    def _limits(self, schema: Schema) -> list[str]:
        found = [text.format(schema[key]) for key, text in _LIMITS if key in schema]
        found = ["not empty" if text in _NOT_EMPTY else text for text in found]
        return [f"({', '.join(found)})"] if found else []

    def example(self, schema: Schema, *, depth: int = 0, everything: bool = False) -> Any:
        """A value that fits: the spec's own example, else made of required fields."""
        stated = _stated(schema)
        if stated is not None:
            return stated[0]
        target = schemas.resolved(schema, self.components)
        stated = _stated(target)
        if stated is not None:
            return stated[0]
        if "default" in schema and schema["default"] is not None:
            return schema["default"]
        options = [*target.get("oneOf", ()), *target.get("anyOf", ())]
        if options:
            return self.example(self._plainest(options), depth=depth)
        kinds = schemas.types(target, self.components)
        if "array" in kinds:
            return (
                [] if depth > _DEEPEST_EXAMPLE else [self.example(target.get("items", {}), depth=depth + 1)]
            )
        if "object" in kinds:
            return self._object(target, depth, everything=everything)
        kind = next((kind for kind in _SAMPLES if kind in kinds and kind != "null"), "string")
        lowest = target.get("minimum")
        return lowest if kind in ("integer", "number") and lowest is not None else _SAMPLES[kind]

    def _plainest(self, options: list[Schema]) -> Schema:
        """The option that is easiest to read: text, then anything but null."""
        kinds = [schemas.types(option, self.components) for option in options]
        texts = [option for option, kind in zip(options, kinds, strict=True) if kind == frozenset({"string"})]
        others = [option for option, kind in zip(options, kinds, strict=True) if kind != frozenset({"null"})]
        return (texts or others or options)[0]

    def _object(self, schema: Schema, depth: int, *, everything: bool) -> dict[str, Any]:
        fields = schemas.properties(schema, self.components)
        needed = schemas.required(schema, self.components)
        if depth > _DEEPEST_EXAMPLE:
            return {}
        values = schema.get("additionalProperties")
        if not fields and isinstance(values, Mapping):
            return {"key": self.example(cast("Schema", values), depth=depth + 1)}
        chosen = {name: field for name, field in fields.items() if everything or name in needed}
        return {name: self.example(field, depth=depth + 1) for name, field in chosen.items()}


def _stated(schema: Schema) -> list[Any] | None:
    """The example, constant or first choice that a schema states, in a list of one."""
    if "example" in schema:
        return [schema["example"]]
    if schema.get("examples"):
        return [schema["examples"][0]]
    if "const" in schema:
        return [schema["const"]]
    return [schema["enum"][0]] if "enum" in schema else None


def _code(value: Any) -> str:
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _grouped(text: str) -> str:
    return f"({text})" if " or " in text else text


def cell(text: str) -> str:
    """Text for a table cell: one line, no column ends."""
    return " ".join(text.split()).replace("|", "\\|")
