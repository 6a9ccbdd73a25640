"""The runtime of specstack: it knows operations, resources and providers as data, none of them by name."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from specstack.library import from_config

__version__ = "0.1.0"

__all__ = ["__version__", "from_config"]


def __getattr__(name: str) -> Any:
    """`from_config`, imported when somebody asks: the runtime itself does without the client."""
    if name != "from_config":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return import_module("specstack.library").from_config
