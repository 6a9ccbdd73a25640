"""References to Python objects, as generated code and descriptions hold them."""

from importlib import import_module
from typing import Any


def load_reference(reference: str) -> Any:
    """The object that `module:name` names."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)
