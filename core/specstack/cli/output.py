"""What commands share: errors in one form, tables, and the running server that they talk to."""

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from specstack_client import Specstack

DEFAULT_URL = "http://127.0.0.1:8321"

Url = Annotated[
    str,
    typer.Option("--url", envvar="SPECSTACK_URL", help="The running server, without /v1.", show_default=True),
]
"""The option that names the running server."""

Joined = Annotated[
    str | None,
    typer.Argument(metavar="[CONFIG]", help="A run config: what its external folders bring counts too."),
]
"""The argument that names a run config for what it adds to the server."""


def fail(*lines: str) -> NoReturn:
    """Print each line as an error and leave with status 1."""
    for line in lines:
        typer.echo(f"error: {line}", err=True)
    raise typer.Exit(1)


def table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in aligned columns; the last one runs on."""
    if not rows:
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        typer.echo("  ".join([*cells, row[-1]]).rstrip())


@contextmanager
def connected(url: str) -> Generator["Specstack"]:
    """A client of the running server; what goes wrong is said in one line."""
    from specstack_client import APIConnectionError, APIError, AuthenticationError, Specstack

    if not _is_url(url):
        fail(f"'{url}' is no URL of a server; write it like {DEFAULT_URL}")
    try:
        with Specstack(url.rstrip("/").removesuffix("/v1"), os.environ.get("SPECSTACK_API_KEY")) as client:
            yield client
    except APIConnectionError as error:
        hint = "start a server with `specstack serve`, or name one with --url"
        fail(f"no answer from {url}: {error.message}", hint)
    except APIError as error:
        if error.message.lstrip().startswith("<"):
            fail(f"what answers at {url} sends a web page, so it is no specstack; name another with --url")
        if isinstance(error, AuthenticationError):
            fail(error.message, "set SPECSTACK_API_KEY to a key of that server")
        fail(error.message)


def _is_url(url: str) -> bool:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
