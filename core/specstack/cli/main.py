"""The two programs: `specstack` and `stack-serve`."""

import typer

from specstack.cli.chat import chat
from specstack.cli.configs import config
from specstack.cli.db import db
from specstack.cli.distro import distro
from specstack.cli.generate import generate
from specstack.cli.keys import keys
from specstack.cli.models import models
from specstack.cli.providers import providers
from specstack.cli.recordings import recordings
from specstack.cli.routes import routes
from specstack.cli.serve import serve
from specstack.cli.spec_tools import spec

app = typer.Typer(
    name="specstack",
    help="An OpenAI-compatible server over models that run here or elsewhere.\n\n"
    "Examples:\n\n"
    "\b\n"
    "  specstack serve            start the default distribution\n"
    "  specstack chat             talk to it, from another terminal\n"
    "  specstack COMMAND --help   what a command does, with examples",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(serve)
app.command()(chat)
app.add_typer(models, name="models")
app.add_typer(keys, name="keys")
app.command()(providers)
app.add_typer(config, name="config")
app.add_typer(db, name="db")
app.add_typer(distro, name="distro")
# Its name until 0.1; scripts may still say it.
app.add_typer(distro, name="distros", hidden=True)
app.command()(routes)
app.add_typer(recordings, name="recordings")
app.add_typer(spec, name="spec")
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(generate)


def main() -> None:
    """The program `specstack`."""
    app()


def stack_serve() -> None:
    """The program `stack-serve`: `specstack serve` under a name of its own."""
    alone = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    alone.command()(serve)
    alone()
