"""`specstack generate`: the code generator, where it is installed."""

import typer

from specstack.cli.output import fail


def generate(context: typer.Context) -> None:
    """Write generated/ from spec/. Options go to the generator; see its own help with `-- --help`.

    Examples:

    \b
      specstack generate
      specstack generate --check      only say what would change
      specstack generate --spec my-spec --out my-code --package mine
    """
    try:
        from specstack_codegen.cli import main

        status = main(context.args)
    except ImportError as error:
        fail(f"generate needs the extra \"codegen\" ({error}): pip install 'specstack[codegen]'")
    raise typer.Exit(status)
