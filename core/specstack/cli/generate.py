"""`specstack generate`: the code generator, where it is installed."""

from pathlib import Path
from typing import Annotated

import typer

from specstack.cli.output import fail


def generate(
    context: typer.Context,
    external: Annotated[
        Path | None,
        typer.Option("--external", metavar="DIR", help="Generate for providers or APIs of your own."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write there instead of where servers look.")
    ] = None,
    package: Annotated[
        str | None, typer.Option("--package", metavar="NAME", help="Prefix of the generated packages.")
    ] = None,
) -> None:
    """Write generated/ from spec/, or with --external the code for a spec of your own.

    Without --external, options go to the generator; see its own help with `-- --help`.

    Examples:

    \b
      specstack generate
      specstack generate --check      only say what would change
      specstack generate --spec my-spec --out my-code --package mine
      specstack generate --external /srv/my-apis      what a server with external_apis_dir needs
      specstack generate --external /srv/my-apis --out /srv/my-apis/generated
    """
    try:
        if external is not None:
            _generate_external(context, external, out, package)
            return
        from specstack_codegen.cli import main

        given = {"--out": out, "--package": package}
        status = main([*context.args, *(str(one) for pair in given.items() if pair[1] for one in pair)])
    except ImportError as error:
        fail(f"generate needs the extra \"codegen\" ({error}): pip install 'specstack[codegen]'")
    raise typer.Exit(status)


def _generate_external(context: typer.Context, root: Path, out: Path | None, package: str | None) -> None:
    from specstack.cli.external import generate_external
    from specstack.startup import StartupError

    if context.args:
        fail(f"--external does not go with {' '.join(context.args)}")
    try:
        generate_external(root, out, package)
    except StartupError as error:
        fail(*error.lines)
