"""Descriptions hold what the runtime reads, and nothing else."""

import inspect
import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from specstack import descriptors

SOURCES = Path(descriptors.__file__).parent.rglob("*.py")
CODE = "\n".join(path.read_text() for path in SOURCES)
FOR_HOOKS = {"Operation.access", "Operation.public", "Access.action", "Access.resource"}
"""Read by whoever passes a hook that decides who may call what."""


def described() -> list[str]:
    classes = [one for _, one in inspect.getmembers(descriptors, inspect.isclass) if is_dataclass(one)]
    return [f"{one.__name__}.{field.name}" for one in classes for field in fields(one)]


@pytest.mark.parametrize("name", [one for one in described() if one not in FOR_HOOKS])
def test_every_described_fact_is_read(name: str) -> None:
    assert re.search(rf"\.{name.partition('.')[2]}\b", CODE), f"{name} is generated and nobody reads it"
