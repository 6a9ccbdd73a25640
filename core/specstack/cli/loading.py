"""Reading a run config for the server that is installed."""

from specstack.config import RunConfig, load_config
from specstack.distributions import find_distribution
from specstack_server import SERVER


def load_distribution(name_or_path: str) -> RunConfig:
    """The run config of a distribution's name or a path. Raises StartupError."""
    return load_config(find_distribution(name_or_path).path, SERVER)
