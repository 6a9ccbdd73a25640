"""What can be searched for: operations, models and fields, providers and settings, errors, run config."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from specstack_codegen import schemas
from specstack_codegen.ir import Ir, Schema

Entry = tuple[str, str, str, str]
"""Title, kind, address from the site's root, and more text to search in."""


def index(ir: Ir) -> str:
    """The script that brings the index to a page: no page of a file:// address may fetch one."""
    entries = [list(entry) for entry in _entries(ir)]
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    # `</` would end a script element if the text were ever put into one.
    return "window.SPEC_INDEX = [\n" + lines.replace("</", "<\\/") + "\n];\n"


def _entries(ir: Ir) -> Iterator[Entry]:
    for api in ir.apis:
        for op in api.operations:
            call = f"{op.method} {op.path} {op.name}"
            yield op.summary, "operation", f"apis/{api.name}.html#{op.id.lower()}", f"{op.id} {call}"
    params = {op.params_model for api in ir.apis for op in api.operations}
    for name in sorted(ir.schemas.keys() - params):
        page = f"apis/{ir.component_api[name]}.html"
        yield from _model(name, ir.schemas[name], page, ir.schemas, "model")
    for provider in ir.providers:
        page = provider.source.removesuffix(".yaml") + ".html"
        yield provider.provider_type, "provider", page, f"{provider.api} {_words(provider.summary)}"
        for setting, schema in schemas.properties(provider.config, {}).items():
            text = _words(str(schema.get("description", "")))
            yield f"{provider.provider_type} {setting}", "setting", page, text
    for kind in ir.errors.kinds if ir.errors else ():
        text = f"{kind.status} {kind.type} {kind.name} {_words(kind.description)}"
        yield kind.code or kind.name, "error", "errors.html", text
    config = cast("Mapping[str, Schema]", (ir.config or {}).get("components", {}).get("schemas", {}))
    for name, schema in config.items():
        yield from _model(name, schema, "run-config.html", config, "run config")


def _model(
    name: str, schema: Schema, page: str, components: Mapping[str, Schema], kind: str
) -> Iterator[Entry]:
    address = f"{page}#model-{name.lower()}"
    yield name, kind, address, _words(str(schema.get("description", "")))
    for field, value in schemas.properties(schema, components).items():
        yield f"{name}.{field}", f"{kind} field", address, _words(_description(value))


def _description(schema: Any) -> str:
    return str(cast("Schema", schema).get("description", "")) if isinstance(schema, Mapping) else ""


def _words(text: str) -> str:
    return " ".join(text.replace("`", "").split())
