"""`specstack spec lint` and `specstack spec bundle`, and the other tools put into their group."""

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from specstack.cli.spec import spec
from specstack.cli.spec_common import DEFAULT_SPEC, SpecDir, checked, codegen_needed, write_text
from specstack.cli.spec_diff import diff
from specstack.cli.spec_docs import docs
from specstack.cli.spec_mock import mock
from specstack.cli.spec_score import score


class OpenApiVersion(StrEnum):
    """What `--version` takes."""

    new = "3.2"
    old = "3.1"


def lint(folder: SpecDir = DEFAULT_SPEC) -> None:
    """Check a spec against every rule; all faults at once, each with file, line and mend.

    Examples:

    \b
      specstack spec lint
      specstack spec lint my-api/spec
    """
    started = time.perf_counter()
    with codegen_needed("lint"):
        from specstack_codegen.lint_rules.registry import RULES

        sound = checked(folder)
    seconds = time.perf_counter() - started
    typer.echo(f"{folder}: {len(sound.files)} files, {len(RULES)} rules, no fault ({seconds:.2f} s)")


def bundle(
    folder: SpecDir = DEFAULT_SPEC,
    version: Annotated[OpenApiVersion, typer.Option(help="Of OpenAPI.")] = OpenApiVersion.new,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; printed if not given.")
    ] = None,
) -> None:
    """Merge a spec's OpenAPI files into the one JSON document that the server publishes.

    3.1 is for tools that do not read 3.2 yet.

    Examples:

    \b
      specstack spec bundle > openapi.json
      specstack spec bundle my-api/spec --version 3.1 -o openapi-3.1.json
    """
    with codegen_needed("bundle"):
        from specstack_codegen.emit.openapi import documents

        text = documents(checked(folder).openapi)[version.value]
    write_text(text, output)


for command in (lint, bundle, diff, score, docs, mock):
    spec.command()(command)
