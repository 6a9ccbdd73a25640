"""Rules about x- extensions and the form of every other spec file: the JSON Schemas of spec/meta."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from specstack_codegen.bundle import TABLES, Spec
from specstack_codegen.lint_rules import home, json_schema
from specstack_codegen.lint_rules.registry import Finding, article, close, rule
from specstack_codegen.source import Map
from specstack_codegen.walk import Node, walk


def all_nodes(spec: Spec) -> Iterator[Node]:
    """The bundle's objects, and the root of every OpenAPI file, which the bundle does not keep."""
    for name, document in spec.files.items():
        if name.startswith("openapi/"):
            yield Node("root", document, ())
    yield from (node for node in spec.nodes if node.kind != "root")


@rule("unknown-extension")
def unknown_extension(spec: Spec) -> Iterator[Finding]:
    """An x- key is one of those in spec/meta/extensions.json and stands where that file allows it."""
    known = cast("dict[str, dict[str, Any]]", home.meta(spec, "extensions")["extensions"])
    for node in all_nodes(spec):
        for key in node.value:
            if not key.startswith("x-"):
                continue
            pos = node.value.at(key)
            if key not in known:
                yield Finding(pos, f"there is no extension {key!r}", close(key, known))
            elif node.kind not in known[key]["places"]:
                places = " or ".join(article(place) for place in known[key]["places"])
                yield Finding(pos, f"{key} cannot stand in {article(node.kind)}", f"put it into {places}")


@rule("extension-schema")
def extension_schema(spec: Spec) -> Iterator[Finding]:
    """The value of an x- extension has the form that spec/meta/extensions.json gives it."""
    schemas = home.extension_schemas(spec)
    for node in all_nodes(spec):
        for key, value in node.value.items():
            if key in schemas:
                yield from json_schema.findings(value, schemas[key], node.value.at(key), key)


@rule("config-extension")
def config_extension(spec: Spec) -> Iterator[Finding]:
    """The one x- key of the run config's schemas is x-names, with the form in spec/meta/config.json."""
    known = cast("dict[str, dict[str, Any]]", home.meta(spec, "config")["$defs"])
    for node in (node for node in walk(spec.config) if node.kind == "schema"):
        for key, value in node.value.items():
            if key in known:
                yield from json_schema.findings(value, known[key], node.value.at(key), key)
            elif key.startswith("x-"):
                message = f"there is no extension {key!r} in the run config"
                yield Finding(node.value.at(key), message, close(key, known))


@rule("file-schema")
def file_schema(spec: Spec) -> Iterator[Finding]:
    """Every file beside the OpenAPI documents and providers has the form that spec/meta gives it."""
    for kind in TABLES:
        value = spec.files.get(f"{kind}.yaml")
        if value:
            yield from json_schema.findings(value, home.meta(spec, kind), value.pos, kind)


@rule("provider-schema")
def provider_schema(spec: Spec) -> Iterator[Finding]:
    """A provider's file has the form of spec/meta/provider.json; its sample sets what its config has."""
    for provider in spec.providers.values():
        if not provider:
            continue
        yield from json_schema.findings(provider, home.meta(spec, "provider"), provider.pos, "provider")
        config = provider.map("config")
        if config.get("additionalProperties") is not False:
            continue
        settings = cast("dict[str, Any]", config.map("properties"))
        for key in provider.map("sample"):
            if key not in settings:
                pos = provider.map("sample").at(key)
                yield Finding(
                    pos, f"the sample sets {key!r}, which config does not have", close(key, settings)
                )


def config_schemas(spec: Spec) -> Iterator[Node]:
    """The schemas of provider configs, of their per-request data and of the run config, nested ones too."""
    for provider in spec.providers.values():
        for key in ("config", "provider_data"):
            if isinstance(provider.get(key), Map):
                yield from walk(provider.map(key), "schema")
    yield from (node for node in walk(spec.config) if node.kind == "schema")
