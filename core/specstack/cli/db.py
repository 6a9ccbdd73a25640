"""`specstack db`: the tables of a run config's SQL backends, and bringing them up to date."""

from typing import TYPE_CHECKING, TypeVar

import typer

from specstack.cli.configs import Config
from specstack.cli.output import fail, table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from specstack.storage.sql.base import SqlBackend

T = TypeVar("T")

db = typer.Typer(
    help="Look at the tables of a run config's databases, and bring them up to date.\n\n"
    "The server does so itself at start, unless storage.migrate says never.\n\n"
    "Examples:\n\n"
    "\b\n"
    "  specstack db status my-config.yaml      the version of each database\n"
    "  specstack db upgrade my-config.yaml     make tables, or change them to the newest version",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@db.command()
def status(config: Config = "starter") -> None:
    """Print which version the tables of each database have. Leaves with status 1 if one is not up to date.

    Examples:

    \b
      specstack db status
      specstack db status my-config.yaml
    """
    rows: list[list[str]] = []

    async def look(backend: "SqlBackend") -> bool:
        state = await backend.state()
        for branch in backend.making.branches:
            present = state.present.get(branch.api, "none")
            rows.append([backend.making.name, branch.api, present, branch.newest])
        return not (state.missing or state.newer)

    fine = _each(config, look)
    table([["BACKEND", "API", "VERSION", "NEWEST"], *rows])
    if not all(fine):
        raise typer.Exit(1)


@db.command()
def upgrade(config: Config = "starter") -> None:
    """Bring the tables of every SQL backend to the newest version. Data stays; take a backup first anyway.

    Examples:

    \b
      specstack db upgrade
      specstack db upgrade my-config.yaml
    """

    async def bring(backend: "SqlBackend") -> None:
        applied = await backend.upgrade()
        said = f"applied {', '.join(applied)}" if applied else "is up to date"
        typer.echo(f"{backend.making.name}: {said}")

    _each(config, bring)


def _each(config: str, work: "Callable[[SqlBackend], Awaitable[T]]") -> list[T]:
    """What `work` gives for each SQL backend of a run config."""
    import asyncio

    from specstack.cli.loading import load_distribution
    from specstack.startup import StartupError
    from specstack.storage.stores import Storage
    from specstack_server import SERVER
    from specstack_wire import StorageUnavailable

    async def run() -> list[T]:
        read = load_distribution(config)
        storage = Storage(read.stack, SERVER.sql_tables, SERVER.migrations)
        found: list[T] = []
        for name in storage.sql_backends():
            try:
                found.append(await work(storage.sql_backend(name)))
            except StorageUnavailable as error:
                raise StartupError(f"{read.file}: storage.backends.{name}: {error.reason}") from None
        return found

    try:
        return asyncio.run(run())
    except StartupError as error:
        fail(*error.lines)
