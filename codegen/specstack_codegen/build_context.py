"""What building the IR needs at every step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from specstack_codegen import schemas
from specstack_codegen.bundle import Spec
from specstack_codegen.ir import Schema
from specstack_codegen.source import Map, Position, SpecError
from specstack_codegen.walk import resolve


@dataclass
class Context:
    """What building needs at every step: the spec, its components as plain data, and the faults found."""

    spec: Spec
    schemas: Mapping[str, Schema]
    faults: list[SpecError] = field(default_factory=list[SpecError])

    def fault(self, rule: str, pos: Position, message: str, hint: str) -> None:
        self.faults.append(SpecError(rule, pos, message, hint))

    def resolve(self, value: Map) -> Map:
        return resolve(self.spec.openapi, value)

    def component(self, schema: Any, pos: Position, what: str) -> str:
        """The component that `schema` names; a fault when it names none."""
        name = schemas.ref_name(schema)
        if name is None:
            hint = "move the schema to components.schemas and refer to it by $ref"
            self.fault("named-schema", pos, f"{what} is no reference to a component", hint)
            return ""
        return name
