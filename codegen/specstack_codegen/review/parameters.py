"""Comparing the parameters of an operation: what callers send in path, query, headers and cookies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from specstack_codegen.review.comparison import Documents, Pair, as_map
from specstack_codegen.review.findings import Subject
from specstack_codegen.source import Map, Position, Seq
from specstack_codegen.walk import resolve

_STYLES = {"path": "simple", "query": "form", "header": "simple", "cookie": "form"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter, and where it stands in the operation's list."""

    node: Map
    pos: Position

    @property
    def stability(self) -> str:
        """What is promised of the parameter itself."""
        return self.node.text("x-stability", "deprecated" if self.node.get("deprecated") is True else "")

    def style(self) -> tuple[str, bool, bool]:
        """How the value is written: style, explode, allowReserved."""
        style = self.node.text("style") or _STYLES.get(self.node.text("in"), "form")
        return (
            style,
            self.node.get("explode", style == "form") is True,
            self.node.get("allowReserved") is True,
        )


_Found = dict[tuple[str, str], Parameter]


def _parameters(document: Map, node: Map, item: Map) -> _Found:
    found: _Found = {}
    for holder in (item.seq("parameters"), node.seq("parameters")):
        for index, value in enumerate(holder):
            target = resolve(document, as_map(value))
            place, name = target.text("in"), target.text("name")
            pos = _place(holder, index, target, value)
            found[place, name.lower() if place == "header" else name] = Parameter(target, pos)
    return found


def _place(holder: Seq, index: int, target: Map, value: object) -> Position:
    return target.pos if target is value else holder.at(index)


def compare_parameters(
    documents: Documents, subject: Subject, node: Pair, items: Pair, renamed: Mapping[str, str]
) -> None:
    """Report every difference. `renamed` maps old names of path parameters to new ones."""
    sink = documents.sink
    old = _parameters(documents.old, node.old, items.old)
    new = _parameters(documents.new, node.new, items.new)
    left = dict(new)
    old_pos, new_pos = node.at("parameters")
    for (place, name), before in old.items():
        path = f"request.{place}.{name}"
        after = left.pop((place, renamed.get(name, name) if place == "path" else name), None)
        if after is not None:
            _compare(documents, subject, path, before, after)
            continue
        moved = next((key for key in left if key[1] == name and key not in old), None)
        if moved is not None:
            text = f"`{name}` moved from {place} to {moved[0]}"
            sink.add(
                "parameter-moved", subject, path, text, before.pos, left.pop(moved).pos, before.stability
            )
        elif place == "path":
            if renamed.get(name) == name:
                text = f"nothing describes the path parameter `{name}` any more"
                sink.add("parameter-undescribed", subject, path, text, before.pos, new_pos, before.stability)
        else:
            text = f"the {place} parameter `{name}` is gone"
            sink.add("parameter-removed", subject, path, text, before.pos, new_pos, before.stability)
    for (place, name), after in left.items():
        if place == "path":
            continue
        needed = after.node.get("required") is True
        text = f"the {place} parameter `{name}` is new{' and required' if needed else ''}"
        rule = "parameter-required" if needed else "parameter-added"
        sink.add(rule, subject, f"request.{place}.{name}", text, old_pos, after.pos)


def _compare(documents: Documents, subject: Subject, path: str, before: Parameter, after: Parameter) -> None:
    sink, node = documents.sink, Pair(before.node, after.node)
    promised = before.stability
    was, now = (one.get("required") is True for one in node)
    if was != now and before.node.text("in") != "path":
        text = f"`{before.node.text('name')}` is {'now' if now else 'no longer'} required"
        rule = "parameter-required" if now else "parameter-optional"
        sink.add(rule, subject, path, text, *node.at("required"), promised)
    media = [set(one.map("content")) for one in node]
    if before.style() != after.style() or media[0] != media[1]:
        key = next((key for key in ("style", "explode", "allowReserved") if node.differs(key)), "content")
        sink.add("parameter-style-changed", subject, path, node.changed(key), *node.at(key), promised)
    was, now = (one.get("deprecated") is True for one in node)
    if was != now:
        rule = "parameter-deprecated" if now else "parameter-undeprecated"
        text = f"`deprecated` is {'new' if now else 'gone'}"
        sink.add(rule, subject, path, text, *node.at("deprecated"), promised)
    was, now = (one.get("allowEmptyValue") is True for one in node)
    if was != now:
        rule = "parameter-empty-admitted" if now else "parameter-empty-refused"
        text = node.changed("allowEmptyValue")
        sink.add(rule, subject, path, text, *node.at("allowEmptyValue"), promised)
    _extensions(documents, subject, path, node, promised)
    changes = documents.changes(node, "schema")
    for media in node.map("content").both():
        changes += documents.changes(node.map("content").map(media), "schema")
    sink.add_changes("request", False, _promising(subject, promised), path, changes)


def _extensions(documents: Documents, subject: Subject, path: str, node: Pair, promised: str) -> None:
    sink = documents.sink
    if node.differs("x-greedy"):
        rule = "greedy-gained" if node.new.get("x-greedy") is True else "greedy-lost"
        sink.add(rule, subject, path, node.changed("x-greedy"), *node.at("x-greedy"), promised)
    if node.differs("x-resource"):
        text = node.changed("x-resource")
        sink.add("parameter-resource-changed", subject, path, text, *node.at("x-resource"), promised)
    if node.differs("x-stability"):
        one, other = node.texts("x-stability")
        lowered = other == "experimental"
        rule = "stability-lowered" if lowered else "stability-changed"
        text = f"{one or 'as stable as the operation'} became {other or 'as stable as the operation'}"
        sink.add(rule, subject, path, text, *node.at("x-stability"), promised)


def _promising(subject: Subject, promised: str) -> Subject:
    """The subject with the parameter's own promise, where that is a weaker one."""
    if promised != "experimental":
        return subject
    return Subject(subject.kind, subject.identifier, subject.label, promised)
