"""The rule about examples: what the spec shows must be what it asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

from specstack_codegen.bundle import Spec
from specstack_codegen.examples import Examples
from specstack_codegen.lint_rules.registry import Finding, rule
from specstack_codegen.source import Map, Position, Seq, plain
from specstack_codegen.walk import Node


@rule("example-fits", across=True)
def example_fits(spec: Spec) -> Iterator[Finding]:
    """Every example fits its schema: the reference prints them and the mock server answers with them."""
    from jsonschema.exceptions import UnknownType

    if any(fault.rule in ("unresolved-ref", "component-collision") for fault in spec.faults):
        return
    found = [(node, *shown) for node in spec.nodes for shown in _examples(node)]
    if not found:
        return
    examples = Examples(plain(spec.openapi.map("components").map("schemas")))
    for node, value, pos in found:
        schema = node.value if node.kind == "schema" else node.value.map("schema")
        try:
            fault = examples.fault(plain(value), plain(schema))
        except (re.error, AttributeError, LookupError, TypeError, ValueError, UnknownType):
            # The schema itself is wrong, and other rules say so.
            continue
        if fault:
            yield Finding(
                pos, f"the example does not fit its schema: {fault}", "mend the example or the schema"
            )


def _examples(node: Node) -> Iterator[tuple[Any, Position]]:
    """The examples of a schema, parameter, header or media type, and where they stand."""
    if node.kind not in ("schema", "parameter", "header", "media") or "itemSchema" in node.value:
        return
    if "example" in node.value:
        yield node.value["example"], node.value.at("example")
    named = node.value.get("examples")
    if isinstance(named, Seq):
        for index, value in enumerate(cast("list[Any]", named)):
            yield value, named.at(index)
    elif isinstance(named, Map) and node.kind != "schema":
        for name in named:
            shown = named.map(name)
            for key in ("value", "dataValue"):
                if key in shown:
                    yield shown[key], shown.at(key)
