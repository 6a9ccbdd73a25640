"""Every key of the run config is read by something."""

import inspect
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from specstack_api import run_config

ROOT = Path(run_config.__file__).parents[2]
READERS = (ROOT / "core" / "specstack", ROOT / "generated" / "specstack_server" / "routing_tables")
CODE = "\n".join(path.read_text() for folder in READERS for path in sorted(folder.rglob("*.py")))


def keys() -> list[str]:
    """`Class.field` of every key that the schema has, but for resources, which are forms of operations."""
    found: list[str] = []
    for name, one in inspect.getmembers(run_config, inspect.isclass):
        if issubclass(one, BaseModel) and one.__module__ == run_config.__name__:
            found += [f"{name}.{field}" for field in one.model_fields]
    return found


@pytest.mark.parametrize("key", keys())
def test_every_key_is_read(key: str) -> None:
    name = key.partition(".")[2]
    read = rf"\.{name}\b|[\"']{name}[\"']"
    assert re.search(read, CODE), f"the run config has {key}, and nothing reads it: use it or take it out"


def test_there_are_keys() -> None:
    assert len(keys()) > 60
