"""Comparing what schemas say besides which values they admit: defaults, stability, marks."""

from __future__ import annotations

from collections.abc import Iterator

from specstack_codegen.review.changes import Change, shown
from specstack_codegen.review.flat import Fact, Flat, Shape
from specstack_codegen.source import Map, Position

_COMPARED = {
    "x-resource": "resource-changed",
    "discriminator": "discriminator-changed",
    "xml": "xml-changed",
    "x-names": "names-changed",
    "contentEncoding": "content-changed",
    "contentMediaType": "content-changed",
}
_RANK = {"experimental": 0, "deprecated": 1, "stable": 2}
Noted = Flat | Shape


def compare_notes(old: Noted, new: Noted) -> Iterator[Change]:
    """Changes of what a schema says besides which values it admits."""
    yield from _default(old, new)
    yield from _flag(old, new, "deprecated", "deprecated", "undeprecated")
    yield from _flag(old, new, "readOnly", "read-only", "writable")
    yield from _flag(old, new, "writeOnly", "write-only", "readable")
    yield from _stability(old, new)
    yield from _mapping(old, new)
    for key, kind in _COMPARED.items():
        before, after = old.notes.get(key), new.notes.get(key)
        one, other = _essence(before), _essence(after)
        if one != other:
            text = (
                f"`{key}` {shown(one)} became {shown(other)}"
                if one and other
                else f"`{key}` is {'gone' if one else 'new'}"
            )
            yield Change(kind, _pos(before, old), _pos(after, new), text)


def _mapping(old: Noted, new: Noted) -> Iterator[Change]:
    """Tags that mean another variant than they did, and another variant for what has no tag."""
    before, after = old.notes.get("discriminator"), new.notes.get("discriminator")
    if (
        before is None
        or after is None
        or not isinstance(before.value, Map)
        or not isinstance(after.value, Map)
    ):
        return
    one, other = before.value, after.value
    tags, others = one.map("mapping"), other.map("mapping")
    for tag in tags:
        if tag in others and tags[tag] != others[tag]:
            text = f"`{tag}` meant {shown(tags[tag])} and means {shown(others[tag])}"
            yield Change("discriminator-changed", tags.at(tag), others.at(tag), text)
    key = "defaultMapping"
    if one.get(key) != other.get(key):
        text = f"`{key}` {shown(one.get(key))} became {shown(other.get(key))}"
        yield Change("discriminator-changed", one.at(key), other.at(key), text)


def _essence(fact: Fact | None) -> object:
    """What of a note matters; a discriminator's mapping follows from the variants and their tags."""
    if fact is None:
        return None
    value = fact.value
    return value["propertyName"] if isinstance(value, Map) and "propertyName" in value else value


def _pos(fact: Fact | None, flat: Noted) -> Position:
    return fact.pos if fact else flat.pos


def _default(old: Noted, new: Noted) -> Iterator[Change]:
    before, after = old.notes.get("default"), new.notes.get("default")
    if before is None and after is None:
        return
    if before is not None and after is not None:
        if before.value != after.value or isinstance(before.value, bool) != isinstance(after.value, bool):
            text = f"the default {shown(before.value)} became {shown(after.value)}"
            yield Change("default-changed", before.pos, after.pos, text)
        return
    fact = before or after
    assert fact is not None
    kind, word = ("default-removed", "gone") if before else ("default-added", "new")
    yield Change(kind, _pos(before, old), _pos(after, new), f"the default {shown(fact.value)} is {word}")


def _flag(old: Noted, new: Noted, key: str, on: str, off: str) -> Iterator[Change]:
    before, after = old.notes.get(key), new.notes.get(key)
    was, now = before is not None and before.value is True, after is not None and after.value is True
    if was != now:
        text = f"`{key}` is {'new' if now else 'gone'}"
        yield Change(on if now else off, _pos(before, old), _pos(after, new), text)


def _stability(old: Noted, new: Noted) -> Iterator[Change]:
    before, after = old.notes.get("x-stability"), new.notes.get("x-stability")
    one, other = str(before.value) if before else "", str(after.value) if after else ""
    if one == other:
        return
    # what says nothing is as stable as what holds it
    lowered = _RANK.get(other, 2) == 0 and _RANK.get(one, 2) > 0
    kind = "stability-lowered" if lowered else "stability-changed"
    text = f"{one or 'as stable as its surroundings'} became {other or 'as stable as its surroundings'}"
    yield Change(kind, _pos(before, old), _pos(after, new), text)
