"""Python models of JSON Schemas, by datamodel-code-generator behind one function.

The rest sees `emit_models` alone, so that another emitter could take its place. The tool is pinned and its
output cached by everything it depends on.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from specstack_codegen.cache import cached_text, digest
from specstack_codegen.normalise import Normalised, normalise

GENERATOR = "datamodel-code-generator"
VERSION = "0.89.0"
WIRE = "specstack_wire"
UPLOAD_ALIAS = "UploadedFile"
TEMPLATES = Path(__file__).parent / "templates" / "dcg"

Profile = Literal["wire", "config"]

_COMMON_OPTIONS = (
    *("--input-file-type", "openapi", "--output-model-type", "pydantic_v2.BaseModel"),
    *("--target-python-version", "3.11", "--target-pydantic-version", "2.14", "--formatters", "builtin"),
    *("--disable-timestamp", "--use-double-quotes", "--use-annotated", "--use-type-alias-type"),
    *("--enum-field-as-literal", "all", "--use-single-value-enum-as-const", "--strict-nullable"),
    *("--type-mappings", "uri=string", "uuid=string", "--naming-strategy", "full-path"),
    *("--base-class", f"{WIRE}.ApiModel", "--disable-future-imports", "--use-field-description"),
    *("--use-schema-description", "--strict-refs", "--disable-warnings", "--ignore-pyproject"),
)
_PROFILE_OPTIONS: dict[Profile, tuple[str, ...]] = {
    "wire": (
        *("--use-missing-sentinel", "--strict-types", "int", "float", "bool"),
        *("--import-overrides", json.dumps({"StrictInt": f"{WIRE}.base"})),
    ),
    "config": (),
}


class GeneratorError(Exception):
    """The model generator is missing, is another version, or refused the schemas."""


@dataclass(frozen=True, slots=True)
class Models:
    """One Python source with a definition for every component.

    `owners`: helper definition -> its component. `fillable`: classes whose fields all have defaults; they are
    made where a field of their type is absent.
    """

    text: str
    owners: Mapping[str, str]
    fillable: frozenset[str] = frozenset()


def emit_models(components: Mapping[str, Any], profile: Profile = "wire") -> Models:
    """The Python models of `components`, as one module's text.

    Profile `wire` is strict JSON with absent values as MISSING; `config` reads strings from the environment
    leniently and has None for absent values. Raises GeneratorError.
    """
    # A component of the same name must not hide the file type.
    upload = UPLOAD_ALIAS if "Upload" in components else "Upload"
    ready = normalise(components, f"{WIRE}.ClosedModel", f"{WIRE}.{upload}")
    options = (*_COMMON_OPTIONS, *_PROFILE_OPTIONS[profile])
    payload = json.dumps([ready.components, ready.aliases, ready.tagged])
    template = (TEMPLATES / "TypeAliasType.jinja2").read_text(encoding="utf-8")
    key = digest(payload, json.dumps(options), VERSION, template)
    text = cached_text("models", key, lambda: _generate(ready, options))
    return Models(text, ready.owners, _fillable(ready) if profile == "config" else frozenset())


def _fillable(ready: Normalised) -> frozenset[str]:
    return frozenset(
        name
        for name, schema in ready.components.items()
        if schema.get("properties") and not schema.get("required")
    )


def _generate(ready: Normalised, options: tuple[str, ...]) -> str:
    _check_version()
    from datamodel_code_generator.__main__ import main  # a second of imports, needed only here

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        document = {
            "openapi": "3.1.0",
            "info": {"title": "components", "version": "1"},
            "paths": {},
            "components": {"schemas": ready.components},
        }
        inputs = {"in.json": document, "aliases.json": ready.aliases, "unions.json": ready.tagged}
        for file, value in inputs.items():
            (folder / file).write_text(json.dumps(value), encoding="utf-8")
        arguments = [
            *("--input", str(folder / "in.json"), "--output", str(folder / "out.py"), *options),
            *("--custom-template-dir", str(TEMPLATES), "--extra-template-data", str(folder / "unions.json")),
            *("--aliases", str(folder / "aliases.json")),
            *("--additional-imports", f"pydantic.Tag,pydantic.Discriminator,{WIRE}.tag_of"),
        ]
        status = main(arguments)
        if status:
            raise GeneratorError(
                f"{GENERATOR} refused the schemas (exit {int(status)}); its message stands above"
            )
        return (folder / "out.py").read_text(encoding="utf-8")


def _check_version() -> None:
    try:
        found = metadata.version(GENERATOR)
    except metadata.PackageNotFoundError:
        found = ""
    if found != VERSION:
        state = f"is {found}" if found else "is not installed"
        hint = 'install the generator\'s packages: pip install -e ".[codegen]"'
        raise GeneratorError(f"{GENERATOR} {state}, and {VERSION} is needed; {hint}")
