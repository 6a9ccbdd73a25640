"""What the commands of `specstack spec` share."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from specstack.cli.output import fail

if TYPE_CHECKING:
    from specstack_codegen.bundle import Spec

SpecDir = Annotated[Path, typer.Argument(metavar="[SPEC_DIR]", help="The spec folder.", show_default=True)]
DEFAULT_SPEC = Path("spec")


@contextmanager
def codegen_needed(command: str) -> Generator[None]:
    """For commands that use the code generator: says what to install where it is not."""
    try:
        yield
    except ImportError as error:
        fail(f"spec {command} needs the extra \"codegen\" ({error}): pip install 'specstack[codegen]'")


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
