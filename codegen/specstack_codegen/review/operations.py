"""Comparing the operations of two OpenAPI documents: which there are, and what each is called."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from specstack_codegen.review.beside import compare_callbacks, compare_path, more_operations
from specstack_codegen.review.bodies import compare_request_body, compare_responses
from specstack_codegen.review.comparison import Documents, Pair, as_map, texts
from specstack_codegen.review.findings import Sink, Subject
from specstack_codegen.review.flatten import references
from specstack_codegen.review.parameters import compare_parameters
from specstack_codegen.review.promises import compare_promises
from specstack_codegen.source import Map, Position
from specstack_codegen.walk import METHODS, resolve

_RANK = {"experimental": 0, "deprecated": 1, "stable": 2}
# They name components without a reference.
_NAMES_COMPONENTS = frozenset({"x-variant", "x-websocket"})
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of one side, with the path item that holds it."""

    path: str
    method: str
    node: Map
    item: Map
    pos: Position

    @property
    def key(self) -> tuple[str, str]:
        """What callers see of the address: names of path parameters are not part of it."""
        return _PLACEHOLDER.sub("{}", self.path), self.method

    @property
    def identifier(self) -> str:
        """The operationId, or the address where there is none."""
        return self.node.text("operationId") or f"{self.method.upper()} {self.path}"

    @property
    def stability(self) -> str:
        """What is promised: `x-stability`, or else OpenAPI's own `deprecated`."""
        return self.node.text(
            "x-stability", "deprecated" if self.node.get("deprecated") is True else "stable"
        )

    @property
    def placeholders(self) -> list[str]:
        """The names of the path's parameters, in order."""
        return [name[1:-1] for name in _PLACEHOLDER.findall(self.path)]

    def subject(self) -> Subject:
        """The operation as findings name it."""
        name = f"{self.method.upper()} {self.path}"
        label = f"{name}  {self.node.text('operationId')}".rstrip()
        return Subject("operation", self.identifier, label, self.stability)


def operations(document: Map) -> list[Operation]:
    """Every operation of a document, in file order."""
    paths = document.map("paths")
    found: list[Operation] = []
    for path in paths:
        item = resolve(document, as_map(paths[path]))
        found += [
            Operation(path, method, item.map(method), item, item.at(method))
            for method in METHODS
            if isinstance(item.get(method), Map)
        ]
        found += [
            Operation(path, method, node, item, holder.at(method))
            for method, node, holder in more_operations(document, item)
        ]
    return found


def pairs(old: list[Operation], new: list[Operation]) -> Iterator[tuple[Operation | None, Operation | None]]:
    """Operations that belong together: by address, and where that fails by operationId."""
    by_key = {one.key: one for one in new}
    used: set[tuple[str, str]] = {one.key for one in old if one.key in by_key}
    by_name = {one.identifier: one for one in new if one.key not in used}
    for one in old:
        other = by_key.get(one.key) or by_name.pop(one.identifier, None)
        if other is not None:
            used.add(other.key)
        yield one, other
    for other in new:
        if other.key not in used:
            yield None, other


@dataclass
class OperationReview:
    """Compares all operations. `public` says which extensions both sides have; None for all of them."""

    documents: Documents
    sink: Sink
    public: frozenset[str] | None

    @property
    def _sides(self) -> tuple[Map, Map]:
        return self.documents.old, self.documents.new

    def run(self) -> None:
        """Report every difference."""
        old, new = operations(self.documents.old), operations(self.documents.new)
        for one, other in pairs(old, new):
            if one is None and other is not None:
                text = f"{other.method.upper()} {other.path} is new"
                self.sink.add("operation-added", other.subject(), "", text, None, other.pos)
            elif one is not None and other is None:
                new_pos = self._home(one)
                text = f"{one.method.upper()} {one.path} is gone"
                self.sink.add("operation-removed", one.subject(), "", text, one.pos, new_pos)
            elif one is not None and other is not None:
                self._compare(one, other)

    def _home(self, one: Operation) -> Position | None:
        """Where the other operations of its file stand on the new side."""
        paths = self.documents.new.map("paths")
        same = (paths.at(path) for path in paths if paths.at(path).file == one.pos.file)
        return next(same, None)

    def _untouched(self, one: Operation, other: Operation) -> bool:
        """Whether both sides say the same, here and in all that is referred to; saves looking closer."""
        old, new = self._sides
        if (
            (one.path, one.method) != (other.path, other.method)
            or one.node != other.node
            or one.node.keys() & _NAMES_COMPONENTS
        ):
            return False
        if one.item.get("parameters") != other.item.get("parameters") or old.get("security") != new.get(
            "security"
        ):
            return False
        if one.item.get("servers") != other.item.get("servers"):
            return False
        used = (*references(one.node), *references(one.item.get("parameters")))
        return self.documents.altered.isdisjoint(used)

    def _compare(self, one: Operation, other: Operation) -> None:
        if self._untouched(one, other):
            return
        subject, node = one.subject(), Pair(one.node, other.node)
        self._name(one, other, subject)
        self._stability(one, other, subject)
        items = Pair(one.item, other.item)
        renamed = dict(zip(one.placeholders, other.placeholders, strict=False))
        compare_parameters(self.documents, subject, node, items, renamed)
        compare_request_body(self.documents, subject, node)
        compare_responses(self.documents, subject, node)
        compare_callbacks(self.documents, subject, node)
        compare_path(self.documents, subject, items)
        compare_promises(self.documents, subject, node, self.public)

    def _name(self, one: Operation, other: Operation, subject: Subject) -> None:
        node = Pair(one.node, other.node)
        if one.key != other.key:
            text = f"{one.method.upper()} {one.path} became {other.method.upper()} {other.path}"
            aliases = {_PLACEHOLDER.sub("{}", alias) for alias in texts(other.node.get("x-aliases"))}
            kept = one.method == other.method and one.key[0] in aliases
            rule = "operation-moved-with-alias" if kept else "operation-moved"
            self.sink.add(rule, subject, "", text, one.pos, other.pos)
        if node.differs("operationId"):
            self.sink.add(
                "operation-id-changed",
                subject,
                "operationId",
                node.changed("operationId"),
                *node.at("operationId"),
            )
        for before, after in zip(one.placeholders, other.placeholders, strict=False):
            if before != after:
                text = f"`{{{before}}}` became `{{{after}}}`"
                path = f"request.path.{before}"
                old_pos, new_pos = (
                    side.map("paths").at(at)
                    for side, at in zip(self._sides, (one.path, other.path), strict=True)
                )
                self.sink.add("path-parameter-renamed", subject, path, text, old_pos, new_pos)

    def _stability(self, one: Operation, other: Operation, subject: Subject) -> None:
        if one.stability == other.stability:
            node = Pair(one.node, other.node)
            was, now = (side.get("deprecated") is True for side in node)
            if was != now:
                rule = "operation-deprecated" if now else "stability-changed"
                text = f"`deprecated` is {'new' if now else 'gone'}"
                self.sink.add(rule, subject, "deprecated", text, *node.at("deprecated"))
            return
        key = "x-stability" if "x-stability" in one.node or "x-stability" in other.node else "deprecated"
        lowered = other.stability == "experimental" and _RANK[one.stability] > 0
        rule = "stability-lowered" if lowered else "stability-changed"
        if other.stability == "deprecated":
            rule = "operation-deprecated"
        text = f"{one.stability} became {other.stability}"
        self.sink.add(rule, subject, key, text, one.node.at(key), other.node.at(key))
