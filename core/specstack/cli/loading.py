"""Reading a run config for the server that is installed, and that server with what joins it from outside."""

from pathlib import Path

from specstack.config import RunConfig, load_config, server_of
from specstack.descriptors import GeneratedServer
from specstack.distributions import find_distribution
from specstack_server import SERVER


def load_distribution(name_or_path: str) -> RunConfig:
    """The run config of a distribution's name or a path. Raises StartupError."""
    return load_config(find_distribution(name_or_path).path, SERVER)


def server_for(config: str | None) -> GeneratedServer:
    """The server with all that joins it: installed packages, and the folders of a run config.

    Raises StartupError.
    """
    return server_of(None if config is None else Path(find_distribution(config).path), SERVER)
