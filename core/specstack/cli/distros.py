"""`specstack distros`: the distributions that come with specstack."""

from typing import Annotated

import typer

from specstack.cli.output import fail, table

distros = typer.Typer(
    help="List the shipped distributions, or show one.\n\n"
    "Examples:\n\n"
    "\b\n"
    "  specstack distros                 what there is\n"
    "  specstack distros show starter    its run config, to copy and change",
    rich_markup_mode=None,
    invoke_without_command=True,
)


@distros.callback()
def listing(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_distros()


@distros.command("list")
def list_distros() -> None:
    """List the shipped distributions.

    Example:

        specstack distros list
    """
    from specstack.distributions import shipped

    table([["NAME", "RUN CONFIG"], *([one.name, str(one.path)] for one in shipped())])


@distros.command()
def show(name: Annotated[str, typer.Argument(help="A distribution's name, or a path.")] = "starter") -> None:
    """Print a distribution's run config as it is written.

    Example:

        specstack distros show starter > my-config.yaml
    """
    from specstack.distributions import find_distribution
    from specstack.startup import StartupError

    try:
        typer.echo(find_distribution(name).path.read_text("utf-8"), nl=False)
    except StartupError as error:
        fail(*error.lines)
