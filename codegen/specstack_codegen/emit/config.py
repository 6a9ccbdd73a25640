"""Configuration: a class per provider type, and the run config."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from specstack_codegen import naming
from specstack_codegen.emit import Files
from specstack_codegen.ir import Ir, Provider
from specstack_codegen.models import emit_models
from specstack_codegen.render import header, render
from specstack_codegen.run_config_schema import additions, run_config_schema
from specstack_codegen.schemas import SCHEMA_PREFIX
from specstack_codegen.split import Module, split_models

Components = dict[str, Mapping[str, Any]]


def emit(ir: Ir) -> Files:
    """`provider_config/<api>/<provider>.py`, `run_config.py` and `run-config.schema.json`."""
    components: Components = {}
    homes: dict[str, str] = {}
    for provider in ir.providers:
        for name, schema in _provider_components(provider).items():
            components[name] = schema
            homes[name] = f"provider_config.{provider.api}.{provider.name}"
    if ir.config:
        for name, schema in ir.config["components"]["schemas"].items():
            components[name] = schema
            homes[name] = "run_config"
    if not components:
        return {}
    descriptions = {
        name: schema["description"] for name, schema in components.items() if schema.get("description")
    }
    modules = split_models(emit_models(components, "config"), homes, descriptions, ir.api_package)
    files = _provider_files(ir, modules)
    if ir.config:
        files[f"{ir.api_package}/run_config.py"] = _module(
            modules["run_config"],
            header(ir, "config.yaml", *config_sources(ir)),
            f"What {ir.package} adds to the run config."
            if ir.external
            else f"The run config. `{ir.config['root']}` is the whole of it.",
        )
    if ir.config or ir.external:
        schema = additions(ir) if ir.external else run_config_schema(ir)
        files[f"{ir.api_package}/run-config.schema.json"] = (
            json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        )
    return files


def config_sources(ir: Ir) -> list[str]:
    """The spec files, besides its own, that the run config's lists of resources come from."""
    if ir.config is None or "registrations" not in ir.config:
        return []
    return ["resources.yaml", *(f"openapi/{one.manages}.yaml" for one in ir.resources if one.registration)]


def _provider_files(ir: Ir, modules: Mapping[str, Module]) -> Files:
    if not ir.providers:
        return {}
    folder = f"{ir.api_package}/provider_config"
    files = {
        f"{folder}/__init__.py": _package(
            ir, "providers/*", "Configuration classes of the providers, by API."
        )
    }
    for provider in ir.providers:
        doc = f"Providers of the {provider.api} API: their configuration."
        files[f"{folder}/{provider.api}/__init__.py"] = _package(ir, f"providers/{provider.api}/*", doc)
        files[f"{folder}/{provider.api}/{provider.name}.py"] = _module(
            modules[f"provider_config.{provider.api}.{provider.name}"],
            header(ir, *provider.sources),
            f"Configuration of `{provider.provider_type}`: {provider.summary}",
        )
    return files


def _module(module: Module, head: str, doc: str) -> str:
    blocks = [definition.source for definition in module.definitions]
    return render("module.py.jinja", header=head, doc=doc, imports=module.import_lines, blocks=blocks)


def _package(ir: Ir, pattern: str, doc: str) -> str:
    return render("module.py.jinja", header=header(ir, pattern), doc=doc, imports=[], blocks=[])


def _provider_components(provider: Provider) -> Components:
    """The provider's schemas as components named after its class; `$defs` get its name as a prefix."""
    found = _lifted(provider.class_name, _config_schema(provider), provider.class_name.removesuffix("Config"))
    if provider.provider_data and provider.provider_data_class:
        schema = {
            "description": f"What a request may bring for `{provider.provider_type}`.",
            **provider.provider_data,
        }
        found.update(_lifted(provider.provider_data_class, schema, provider.provider_data_class))
    return found


def _config_schema(provider: Provider) -> Mapping[str, Any]:
    schema = {"type": "object", "description": f"Settings of `{provider.provider_type}`.", **provider.config}
    return schema if schema.get("properties") else {**schema, "properties": {}}


def _lifted(name: str, schema: Mapping[str, Any], prefix: str) -> Components:
    defs = cast("Mapping[str, Any]", schema.get("$defs", {}))
    names = {f"#/$defs/{key}": f"{prefix}{naming.pascal(key)}" for key in defs}
    own = {key: value for key, value in schema.items() if key != "$defs"}
    found: Components = {name: _renamed(own, names)}
    found.update({names[f"#/$defs/{key}"]: _renamed(value, names) for key, value in defs.items()})
    return found


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_renamed(item, names) for item in cast("list[Any]", value)]
    if not isinstance(value, Mapping):
        return value
    known = cast("Mapping[str, Any]", value)
    return {
        key: f"{SCHEMA_PREFIX}{names[item]}" if key == "$ref" and item in names else _renamed(item, names)
        for key, item in known.items()
    }
