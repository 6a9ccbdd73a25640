"""Running the code generator in tests, on small specs, with the emitters that a test is about."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from specstack_codegen.build import build_ir
from specstack_codegen.bundle import load_spec
from specstack_codegen.emit import EMITTERS
from specstack_codegen.formatting import format_python
from specstack_codegen.ir import Ir

REPOSITORY = Path(__file__).resolve().parents[2]
SPECS = {
    "main": (REPOSITORY / "spec", "specstack"),
    "fixture": (REPOSITORY / "tests/fixture/spec", "fixture"),
}
"""The whole specs of the project, each with the prefix of its packages."""
ROOTS = [str(REPOSITORY / name) for name in ("core", "generated", "codegen")]
PYTHON_EMITTERS = (
    *("models", "config", "protocols", "errors", "api"),
    *("operations", "auto_routers", "routing_tables", "server", "storage", "telemetry"),
)

Document = Mapping[str, Any]
ERROR = {"description": "What went wrong."}


def emitted(spec: Path, package: str, emitters: Iterable[str] = PYTHON_EMITTERS) -> dict[str, str]:
    """The formatted files of some emitters."""
    ir = build_ir(load_spec(spec), package)
    files: dict[str, str] = {}
    for name in emitters:
        files.update(EMITTERS[name](ir))
    return format_python(files, package)


def write_tree(folder: Path, files: Mapping[str, str]) -> None:
    """The files under `folder`."""
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def write_spec(folder: Path, paths: Document, schemas: Document, **files: Document) -> Path:
    """A spec with one API, `things`. `files` are further documents, such as `resources`."""
    document = {
        "openapi": "3.2.0",
        "info": {"title": "Things", "version": "0.1.0", "description": "Test data."},
        "x-api": {"name": "things", "summary": "Things."},
        "paths": paths,
        "components": {"schemas": schemas},
    }
    written = {"openapi/things.yaml": document, **{f"{name}.yaml": value for name, value in files.items()}}
    texts = {name: json.dumps(value, indent=1) for name, value in written.items()}
    write_tree(folder / "spec", texts)
    return folder / "spec"


def ir_of(folder: Path, paths: Document, schemas: Document, **files: Document) -> Ir:
    """The IR of a spec made by `write_spec`."""
    return build_ir(load_spec(write_spec(folder, paths, schemas, **files)), "toy")


def operation(identifier: str, reply: str | None = "Thing", **more: Any) -> dict[str, Any]:
    """An operation with a JSON reply of that component (None: 204); `x_serve` and the like become x- keys."""
    content = {"application/json": {"schema": ref(reply)}} if reply else None
    success = {"description": "Done.", **({"content": content} if content else {})}
    extra = {
        name.replace("x_", "x-", 1).replace("_", "-") if name[:2] == "x_" else name: v
        for name, v in more.items()
    }
    return {
        "operationId": identifier,
        "summary": f"Do {identifier}",
        "x-stability": "stable",
        "responses": {"200" if reply else "204": success, "default": ERROR},
        **extra,
    }


def ref(component: str) -> dict[str, str]:
    """A reference to a component."""
    return {"$ref": f"#/components/schemas/{component}"}


def json_body(component: str) -> dict[str, Any]:
    """A required JSON body."""
    return {"required": True, "content": {"application/json": {"schema": ref(component)}}}


def run_codegen(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m specstack_codegen` in `folder`."""
    command = [sys.executable, "-m", "specstack_codegen", *arguments]
    env = {
        "PYTHONPATH": ":".join(ROOTS),
        "PATH": "/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        **environment,
    }
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
