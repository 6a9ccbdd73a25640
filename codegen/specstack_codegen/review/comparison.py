"""What every part of a comparison needs: both sides, the sink, and comparing schemas and plain values."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from specstack_codegen.review.changes import Change, shown
from specstack_codegen.review.differ import Differ
from specstack_codegen.review.findings import Sink, Subject
from specstack_codegen.review.flat import conj
from specstack_codegen.review.flatten import Flattener, altered_references
from specstack_codegen.source import Map, Position, Seq
from specstack_codegen.walk import resolve


class Pair(NamedTuple):
    """The same object on both sides."""

    old: Map
    new: Map

    def at(self, key: str) -> tuple[Position, Position]:
        """Where `key` stands on both sides, or where the object begins."""
        return self.old.at(key), self.new.at(key)

    def map(self, key: str) -> Pair:
        """The mappings under `key`; empty ones where there are none."""
        return Pair(self.old.map(key), self.new.map(key))

    def texts(self, key: str) -> tuple[str, str]:
        """The strings under `key`."""
        return self.old.text(key), self.new.text(key)

    def values(self, key: str) -> tuple[Any, Any]:
        """The values under `key`, None where there are none."""
        return self.old.get(key), self.new.get(key)

    def differs(self, key: str) -> bool:
        """Whether the values under `key` are not the same."""
        return self.old.get(key) != self.new.get(key)

    def gone(self) -> Iterator[str]:
        """Keys that only the old side has."""
        return (key for key in self.old if key not in self.new)

    def come(self) -> Iterator[str]:
        """Keys that only the new side has."""
        return (key for key in self.new if key not in self.old)

    def both(self) -> Iterator[str]:
        """Keys that both sides have, in the order of the new one."""
        return (key for key in self.new if key in self.old)

    def changed(self, key: str) -> str:
        """What to say of a value that changed."""
        one, other = self.values(key)
        if one is None or other is None:
            return f"`{key}` {shown(other if one is None else one)} is {'new' if one is None else 'gone'}"
        return f"`{key}` {shown(one)} became {shown(other)}"


@dataclass
class Documents:
    """Two documents whose schemas refer to components of their own."""

    old: Map
    new: Map
    sink: Sink

    def __post_init__(self) -> None:
        self.altered = altered_references(self.old, self.new)
        self.differ = Differ(Flattener(self.old), Flattener(self.new), self.altered)

    def resolved(self, old: Any, new: Any) -> Pair:
        """Both objects after following their references; an empty object for what is none."""
        return Pair(resolve(self.old, as_map(old)), resolve(self.new, as_map(new)))

    def changes(self, holder: Pair, key: str) -> tuple[Change, ...]:
        """The changes of the schema under `key`."""
        old, new = holder.old.get(key, True), holder.new.get(key, True)
        return self.differ.changes(conj(old, holder.old.at(key)), conj(new, holder.new.at(key)))

    def schema(self, prefix: str, output: bool, subject: Subject, path: str, holder: Pair, key: str) -> None:
        """Report the changes of the schema under `key`."""
        self.sink.add_changes(prefix, output, subject, path, self.changes(holder, key))


def as_map(value: Any) -> Map:
    """`value`, or an empty mapping for anything else."""
    return value if isinstance(value, Map) else Map()


def texts(value: Any) -> dict[str, Position]:
    """The strings of a list, each with its place."""
    if not isinstance(value, Seq):
        return {}
    return {str(item): value.at(index) for index, item in enumerate(value)}


def without(some: Iterable[str], others: Container[str]) -> list[str]:
    """Those of `some` that are not among `others`, in their order."""
    return [one for one in some if one not in others]
