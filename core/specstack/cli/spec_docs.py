"""`specstack spec docs`: the reference as a static web site."""

from pathlib import Path
from typing import Annotated

import typer

from specstack.cli.output import fail
from specstack.cli.spec_common import DEFAULT_SPEC, SpecDir, checked, codegen_needed

DEFAULT_OUTPUT = Path("build/reference")


def docs(
    folder: SpecDir = DEFAULT_SPEC,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The folder to write.")
    ] = DEFAULT_OUTPUT,
    name: Annotated[str, typer.Option(help="What the generated packages are called.")] = "specstack",
) -> None:
    """Write the reference as web pages: searchable, and readable from file:// without any network.

    Examples of requests, replies, streams and errors are the spec's own or made of its schemas, and each is
    checked against its schema.

    Examples:

    \b
      specstack spec docs
      specstack spec docs my-api/spec -o site --name my_api
    """
    with codegen_needed("docs"):
        from specstack_codegen.build import build_ir
        from specstack_codegen.cli import input_digest
        from specstack_codegen.examples import NoExample
        from specstack_codegen.site import build
        from specstack_codegen.writer import apply, compare, with_manifest

        sound = checked(folder)
        try:
            files = build(build_ir(sound, name))
            if output.is_dir() and any(output.iterdir()) and not (output / "search-index.js").exists():
                fail(f"{output} has other files in it; name a folder of its own with -o")
            apply(output, compare(output, with_manifest(files, input_digest(folder, name))))
        except NoExample as error:
            fail(str(error))
        except OSError as error:
            fail(f"{output} cannot be written: {error.strerror}")
    typer.echo(f"wrote {output / 'index.html'} and {len(files) - 1} more files")
