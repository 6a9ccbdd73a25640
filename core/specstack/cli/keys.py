"""`specstack keys`: API keys and their hashes for the run config."""

import sys
from typing import Annotated

import typer

from specstack.cli.output import fail

keys = typer.Typer(
    help="Make API keys and hashes for server.auth of a run config.\n\n"
    "Examples:\n\n"
    "\b\n"
    "  specstack keys new alice     a key, and what to put into the run config\n"
    "  specstack keys hash          the hash of a key that you have",
    rich_markup_mode=None,
    no_args_is_help=True,
)

_SNIPPET = """\
server:
  auth:
    provider_config:
      type: api_keys
      keys:
        - id: {id}
          hash: {hash}"""


@keys.command()
def new(
    id: Annotated[str, typer.Argument(help="The caller that the key stands for.")] = "default",
) -> None:
    """Make a key. It is shown this once; the run config gets its hash.

    Examples:

    \b
      specstack keys new
      specstack keys new alice
    """
    import json

    from specstack.auth.keys import hash_of, new_key

    key = new_key()
    typer.echo("The key, for the caller; nobody can show it again:\n", err=True)
    typer.echo(key)
    typer.echo("\nFor the run config:\n", err=True)
    typer.echo(_SNIPPET.format(id=json.dumps(id, ensure_ascii=False), hash=hash_of(key)))


@keys.command("hash")
def hash_() -> None:
    """Print the hash of a key, which is asked for, or read from standard input. It is never an argument:
    other users of the machine would see it.

    Examples:

    \b
      specstack keys hash
      specstack keys hash < key.txt
    """
    from specstack.auth.keys import hash_of, why_unfit

    key = typer.prompt("key", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.read()
    key = key.strip()
    why = why_unfit(key)
    if why is not None:
        fail(f"the key {why}")
    typer.echo(hash_of(key))
