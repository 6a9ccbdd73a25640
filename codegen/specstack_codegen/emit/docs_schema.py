"""Schemas as Markdown: types with links, limits, rows of fields, and examples."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from specstack_codegen import schemas
from specstack_codegen.examples import Examples, NoExample
from specstack_codegen.ir import Schema

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

    def example(self, schema: Schema) -> Any:
        """A value that fits; as far as one can be made where schemas never end."""
        examples = Examples(self.components)
        try:
            return examples.of(schema)
        except NoExample:
            return examples.draft(schema)


def _code(value: Any) -> str:
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _grouped(text: str) -> str:
    return f"({text})" if " or " in text else text


def cell(text: str) -> str:
    """Text for a table cell: one line, no column ends."""
    return " ".join(text.split()).replace("|", "\\|")
