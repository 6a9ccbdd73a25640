"""`specstack config`: look at run configs, and make them of those of other servers."""

from pathlib import Path
from typing import Annotated

import typer

from specstack.cli.output import Joined, fail

Config = Annotated[
    str, typer.Argument(help="A distribution's name, a run config, or a directory with config.yaml.")
]

config = typer.Typer(
    help="Check, show and upgrade run configs.\n\n"
    "Examples:\n\n"
    "\b\n"
    "  specstack config check my-config.yaml      every fault with file, line and key\n"
    "  specstack config show starter              what is in force, and where it comes from\n"
    "  specstack config upgrade run.yaml          a config of Llama Stack or OGX in our form",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@config.command()
def check(config: Config = "starter") -> None:
    """Read a run config as the server would, and say everything that is wrong.

    No provider is started and nobody is called.

    Examples:

    \b
      specstack config check my-config.yaml
      OLLAMA_URL=http://localhost:11434/v1 specstack config check starter
    """
    from specstack.cli.loading import load_distribution
    from specstack.rehearsal import start_faults
    from specstack.startup import StartupError

    try:
        read = load_distribution(config)
    except StartupError as error:
        fail(*error.lines)
    faults = start_faults(read)
    if faults:
        fail(*faults)
    ids = ", ".join(one.provider_id for one in read.providers) or "none"
    typer.echo(f"{read.file}: nothing wrong; providers that are on: {ids}")


@config.command()
def show(config: Config = "starter") -> None:
    """Print a run config with everything resolved, and where each value comes from. Secrets are masked.

    Examples:

    \b
      specstack config show starter
      specstack config show my-config.yaml | grep environment
    """
    from specstack.cli.loading import load_distribution
    from specstack.config_view import shown
    from specstack.startup import StartupError

    try:
        typer.echo(shown(load_distribution(config)), nl=False)
    except StartupError as error:
        fail(*error.lines)


@config.command()
def schema(config: Joined = None) -> None:
    """Print the JSON Schema of run configs, for editors.

    Examples:

    \b
      specstack config schema > run-config.schema.json
      specstack config schema my-config.yaml > run-config.schema.json     with what its external folders bring

    Then begin a run config with the line:

        # yaml-language-server: $schema=run-config.schema.json
    """
    from specstack.cli.loading import server_for
    from specstack.external.editor import editor_schema
    from specstack.startup import StartupError

    try:
        typer.echo(editor_schema(server_for(config)), nl=False)
    except StartupError as error:
        fail(*error.lines)


@config.command()
def upgrade(
    file: Annotated[Path, typer.Argument(help="A run config of Llama Stack (version 1 or 2) or OGX.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write here instead of to standard output.")
    ] = None,
) -> None:
    """Make a run config of ours from one of Llama Stack or OGX.

    What could not be carried, and what now means something else, is said on standard error and stands as
    comments at the head of the new file.

    Examples:

    \b
      specstack config upgrade run.yaml > my-config.yaml
      specstack config upgrade run.yaml -o my-config.yaml
    """
    from specstack.config import read_text
    from specstack.startup import StartupError
    from specstack.upgrade import upgrade as upgraded
    from specstack_server import SERVER

    try:
        made = upgraded(read_text(file), str(file), SERVER)
    except StartupError as error:
        fail(*error.lines)
    for line in made.report:
        typer.echo(line, err=True)
    if output is None:
        typer.echo(made.text, nl=False)
        return
    try:
        with output.open("x", encoding="utf-8") as stream:
            stream.write(made.text)
    except OSError as error:
        fail(f"{output}: cannot be written: {error.strerror}")
    typer.echo(f"wrote {output}; next: specstack config check {output}", err=True)
