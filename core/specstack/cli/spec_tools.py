"""`specstack spec lint` and `specstack spec bundle`."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from specstack.cli.output import fail
from specstack.cli.spec import spec

if TYPE_CHECKING:
    from specstack_codegen.bundle import Spec

SpecDir = Annotated[Path, typer.Argument(metavar="[SPEC_DIR]", help="The spec folder.", show_default=True)]
DEFAULT_SPEC = Path("spec")


class OpenApiVersion(StrEnum):
    """What `--version` takes."""

    new = "3.2"
    old = "3.1"


@contextmanager
def codegen_needed(command: str) -> Generator[None]:
    """For commands that use the code generator: says what to install where it is not."""
    try:
        yield
    except ImportError as error:
        fail(f"spec {command} needs the extra \"codegen\" ({error}): pip install 'specstack[codegen]'")


@spec.command()
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


@spec.command()
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


def checked(folder: Path) -> "Spec":
    """The spec in `folder`; leaves with status 1 and all its faults when it has any."""
    from specstack_codegen.lint import checked_spec
    from specstack_codegen.source import SpecErrors

    if not folder.is_dir():
        fail(f"there is no folder {folder}; name the one that has openapi/ in it")
    try:
        return checked_spec(folder)
    except SpecErrors as error:
        typer.echo(str(error), err=True)
        fail(f"{len(error)} {'fault' if len(error) == 1 else 'faults'} in {folder}")


def write_text(text: str, output: Path | None) -> None:
    """Print `text`, or write it to `output`."""
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}")
