"""The API package's front: every public name, imported when first asked for."""

from __future__ import annotations

from specstack_codegen.emit import Files
from specstack_codegen.ir import Ir
from specstack_codegen.render import header, model_module, render


def emit(ir: Ir) -> Files:
    """`__init__.py` and `py.typed` of the API package."""
    modules: dict[str, list[str]] = {}
    for name in ir.schemas:
        modules.setdefault(model_module(ir, name), []).append(name)
    for api in ir.apis:
        names = [service.class_name for service in ir.services if service.api == api.name]
        if api.has_protocol:
            names.append(api.class_name)
        if names:
            modules[f"{ir.api_package}.protocols.{api.name}"] = names
    if not modules:
        doc = "The settings of providers."
        text = render("module.py.jinja", header=header(ir, "providers/*"), doc=doc, imports=[], blocks=[])
        return {f"{ir.api_package}/__init__.py": text, f"{ir.api_package}/py.typed": ""}
    text = render(
        "api/init.py.jinja",
        header=header(ir, "openapi/*.yaml", "services.yaml"),
        doc="Models and protocols of every API, under one name each; a module is imported when it is needed.",
        modules=[(module, sorted(names)) for module, names in sorted(modules.items())],
    )
    return {f"{ir.api_package}/__init__.py": text, f"{ir.api_package}/py.typed": ""}
