"""Models of the API's components: one module per API, in `models/`."""

from __future__ import annotations

from specstack_codegen.emit import Files
from specstack_codegen.ir import Ir
from specstack_codegen.models import emit_models
from specstack_codegen.render import header, render
from specstack_codegen.split import split_models


def emit(ir: Ir) -> Files:
    """`models/<api>.py` for every API with components, and `models/common.py`."""
    folder, package = f"{ir.api_package}/models", f"{ir.api_package}.models"
    descriptions = {
        name: schema["description"] for name, schema in ir.schemas.items() if schema.get("description")
    }
    modules = split_models(emit_models(ir.schemas), ir.component_api, descriptions, package)
    files = {
        f"{folder}/__init__.py": render(
            "module.py.jinja",
            header=header(ir, "openapi/*.yaml"),
            doc="Models of the requests, replies and parameters, one module per API.",
            imports=[],
            blocks=[],
        )
    }
    for name, module in modules.items():
        files[f"{folder}/{name}.py"] = render(
            "module.py.jinja",
            header=header(ir, f"openapi/{name}.yaml"),
            doc=_title(ir, name),
            imports=module.import_lines,
            blocks=[definition.source for definition in module.definitions],
        )
    return files


def _title(ir: Ir, name: str) -> str:
    api = next((api for api in ir.apis if api.name == name), None)
    return f"Models of the {name} API: {api.summary}" if api else "Models that several APIs use."
