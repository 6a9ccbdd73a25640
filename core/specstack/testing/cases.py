"""What the conformance kit knows of an operation; generated from the spec."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from specstack.descriptors import Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An operation that a provider answers alone, with an example request.

    `params` are required parameters by location and name, `body` is an example of the body. `key` is where
    the id of a `resource` stands, whose attributes must be as `requires` says. `stream` is the body's field
    that asks for a stream, and `names_resource` are fields of replies and events that hold the id again.
    """

    operation: Operation
    params: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    body: Any = None
    resource: str | None = None
    key: tuple[str, str] | None = None
    requires: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    stream: str | None = None
    names_resource: tuple[str, ...] = ()
