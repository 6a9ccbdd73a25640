"""`specstack serve` and `stack-serve`."""

import gc
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from specstack.cli.output import fail

if TYPE_CHECKING:
    from specstack.config import RunConfig


class Level(StrEnum):
    """What `--log-level` takes."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


def serve(
    distro: Annotated[
        str, typer.Argument(help="A distribution's name, a run config, or a directory with config.yaml.")
    ] = "starter",
    host: Annotated[str | None, typer.Option(help="Listen on this address instead of the config's.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Listen on this port instead; 0 takes a free one.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=128, help="Serve with so many processes instead.")
    ] = None,
    log_level: Annotated[Level | None, typer.Option(help="Log from this level upwards instead.")] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let anybody who reaches the server use it, from anywhere.")
    ] = False,
) -> None:
    """Start a server.

    Examples:

    \b
      stack-serve                        the default distribution, `starter`
      stack-serve my-config.yaml         your own run config
      stack-serve --port 9000            on another port
      stack-serve --workers 2            with two processes, on two cores
      OLLAMA_URL=http://localhost:11434/v1 stack-serve     with Ollama's models too
      SPECSTACK_GGUF=/models/some.gguf stack-serve         with a GGUF file of your own
    """
    # Importing makes tens of thousands of objects that stay: the collector would look at them in vain.
    gc.disable()
    from specstack import logs
    from specstack.distributions import find_distribution
    from specstack.startup import StartupError

    try:
        found = find_distribution(distro)
        logs.set_up(logs.LogSettings(log_level.value if log_level else "info"))
        from specstack.assembly import SERVER, build
        from specstack.cli.banner import banner
        from specstack.config import load_config
        from specstack.serving import serve as run

        config = _overridden(load_config(found.path, SERVER), host, port, workers, log_level)
        logs.set_up_for(config, SERVER)
        app = build(config)
        run(app, lambda url: banner(app, url, found.notice), typer.echo, insecure=insecure)
    except StartupError as error:
        fail(*error.lines)


def _overridden(
    config: "RunConfig", host: str | None, port: int | None, workers: int | None, level: Level | None
) -> "RunConfig":
    """The run config with what the command line says in place of what the file says."""
    from dataclasses import replace

    given: dict[str, Any] = {"host": host, "port": port, "workers": workers}
    given = {key: one for key, one in given.items() if one is not None}
    if host == "":
        fail("--host is empty; name an address, such as 127.0.0.1, or 0.0.0.0 for all")
    server = config.stack.server.model_copy(update=given)
    logging = config.stack.logging.model_copy(update={"level": level.value} if level else {})
    return replace(config, stack=config.stack.model_copy(update={"server": server, "logging": logging}))
