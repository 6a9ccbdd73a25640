"""Which Python types the client's arguments have: as wide as JSON allows, as narrow as the spec says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from specstack_codegen import schemas
from specstack_codegen.ir import Ir, Schema

_SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


@dataclass
class Types:
    """Annotations of one client module. `owners` collects the model modules that they name."""

    ir: Ir
    owners: set[str] = field(default_factory=set[str])

    def component(self, name: str) -> str:
        """A component as an annotation, `models.Name` in its module's alias."""
        owner = self.ir.component_api[name]
        self.owners.add(owner)
        return f"{owner}_models.{name}"

    def reference(self, name: str) -> str:
        """A component as `module:Name`, for import at run time."""
        return f"{self.ir.api_package}.models.{self.ir.component_api[name]}:{name}"

    def argument(self, schema: Schema) -> str:
        """The type of an argument: models, or plain JSON in their place."""
        return " | ".join(dict.fromkeys(self._parts(schema)))

    def _parts(self, schema: Schema) -> list[str]:
        name = schemas.ref_name(schema)
        if name is not None:
            return self._named(name)
        if "const" in schema:
            return [f"Literal[{schema['const']!r}]"]
        if "enum" in schema:
            return [_literal(schema["enum"])]
        options = [*schema.get("oneOf", ()), *schema.get("anyOf", ()), *schema.get("allOf", ())]
        if options:
            return [part for option in options for part in self._parts(option)]
        stated = schema.get("type")
        kinds = cast("list[str]", stated) if isinstance(stated, list) else [str(stated)]
        return [self._single(kind, schema) for kind in kinds]

    def _named(self, name: str) -> list[str]:
        target = self.ir.schemas[name]
        kinds = schemas.types(target, self.ir.schemas)
        parts = [self.component(name)]
        if "object" in kinds or not kinds:
            parts.append("Mapping[str, Any]")
        if "array" in kinds:
            parts.append("Sequence[Any]")
        return parts

    def _single(self, kind: str, schema: Schema) -> str:
        if kind == "string" and schema.get("format") == "binary":
            return "FileTypes"
        if kind == "array":
            return f"Sequence[{self.argument(schema.get('items', {}))}]"
        if kind == "object":
            values = schema.get("additionalProperties")
            inner = self.argument(cast("Schema", values)) if isinstance(values, Mapping) else "Any"
            return f"Mapping[str, {inner}]"
        return _SCALARS.get(kind, "Any")


def _literal(values: list[Any]) -> str:
    texts = [repr(value) for value in values if value is not None]
    literal = f"Literal[{', '.join(texts)}]"
    return f"{literal} | None" if len(texts) < len(values) else literal
