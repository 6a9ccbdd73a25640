"""Comparing what two alternatives say of objects and lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from specstack_codegen.review.changes import CONTENT, Change, below, shown
from specstack_codegen.review.flat import ANYTHING, UNREAD, Conj, Flat
from specstack_codegen.source import NOWHERE, Map, Position

NOTHING = Conj((False,), NOWHERE)
TEXT = Conj((Map({"type": "string"}),), NOWHERE)


@dataclass(frozen=True, slots=True)
class Recursion:
    """How comparing goes on below.

    `changes` gives those between two schemas, `promised` what the old side promised of one, and `same` says
    whether two values say the same in the same words, with all that they refer to.
    """

    changes: Callable[[Conj, Conj], tuple[Change, ...]]
    promised: Callable[[Conj], str]
    same: Callable[[Any, Any], bool]


def compare_objects(old: Flat, new: Flat, recursion: Recursion) -> Iterator[Change]:
    """Changes of properties, of which are required, and of what else an object may hold."""
    for name in dict.fromkeys((*old.properties, *new.properties)):
        if name not in new.properties:
            yield from _removed(old, new, name, recursion)
        elif name not in old.properties:
            yield from _added(old, new, name, recursion)
        else:
            yield from _kept(old, new, name, recursion)
    yield from _only_required(old, new)
    yield from _additional(old, new, recursion)
    yield from _by_pattern(old, new, recursion)
    before, after = (TEXT.and_(one.property_names or ANYTHING) for one in (old, new))
    yield from below(recursion.changes(before, after), "(names)")
    for name in dict.fromkeys((*old.dependent_required, *new.dependent_required)):
        before = old.dependent_required.get(name, frozenset())
        after = new.dependent_required.get(name, frozenset())
        for other in sorted(before ^ after):
            if other in (old.required if other in after else new.required):
                continue  # it is there in any case
            kind = "property-required" if other in after else "property-optional"
            text = (
                f"with `{name}`, `{other}` {'is now required' if other in after else 'is no longer required'}"
            )
            yield Change(kind, old.pos, new.pos, text, (other,))


def _kept(old: Flat, new: Flat, name: str, recursion: Recursion) -> Iterator[Change]:
    before, after = old.properties[name], new.properties[name]
    promised = recursion.promised(before)
    yield from below(recursion.changes(before, after), name, stability=promised)
    if (name in old.required) == (name in new.required):
        return
    demanded = name in new.required
    old_pos, new_pos = _requires(old, name), _requires(new, name)
    kind = "property-required" if demanded else "property-optional"
    text = f"`{name}` {'is now required' if demanded else 'is no longer required'}"
    yield Change(kind, old_pos, new_pos, text, (name,), promised)


def _requires(flat: Flat, name: str) -> Position:
    """Where an object requires a property, or else what it does require, or else the property itself."""
    if name in flat.required:
        return flat.required[name]
    return flat.required_pos if flat.required else flat.property_pos.get(name, flat.pos)


def _removed(old: Flat, new: Flat, name: str, recursion: Recursion) -> Iterator[Change]:
    before = old.properties[name]
    promised = recursion.promised(before)
    old_pos = old.property_pos.get(name, old.pos)
    new_pos = new.at(new.properties_pos)
    text = f"the property `{name}` is gone"
    if name in new.required and name not in old.required:
        text_now = f"`{name}` is now required"
        yield Change("property-required", old_pos, new.required[name], text_now, (name,), promised)
    if new.additional is None or new.additional.parts == (True,):
        yield Change("property-removed", old_pos, new_pos, text, (name,), promised)
    elif new.additional.parts == (False,):
        yield Change("property-refused", old_pos, new.additional.pos, text, (name,), promised)
    else:
        # a map of values of one kind: what was a property is now one of its entries
        if name in old.required and name not in new.required:
            yield Change(
                "property-optional", old_pos, new_pos, f"`{name}` is no longer required", (name,), promised
            )
        yield from below(recursion.changes(before, new.additional), name, stability=promised)


def _added(old: Flat, new: Flat, name: str, recursion: Recursion) -> Iterator[Change]:
    old_pos = old.at(old.properties_pos)
    new_pos = new.property_pos.get(name, new.pos)
    closed = old.additional is not None and old.additional.parts == (False,)
    if name in old.required and name not in new.required:
        yield Change(
            "property-optional", old.required[name], new_pos, f"`{name}` is no longer required", (name,)
        )
    if name in new.required and name not in old.required:
        text = f"`{name}` is new and required"
        kind = "property-demanded" if closed else "property-required"
        yield Change(kind, old_pos, new.required[name], text, (name,))
    elif old.additional is None:
        yield Change("property-added", old_pos, new_pos, f"`{name}` is new", (name,))
    elif closed:
        yield Change("property-admitted", old.additional.pos, new_pos, f"`{name}` is new", (name,))
    elif old.additional.parts == (True,):
        narrower = any(change.narrows for change in recursion.changes(ANYTHING, new.properties[name]))
        text = f"`{name}` is new in an object that admitted any property"
        kind = "property-claimed" if narrower else "property-named"
        yield Change(kind, old.additional.pos, new_pos, text, (name,))
    else:
        text = f"`{name}` is new in an object that admitted other properties"
        yield Change("property-named", old.additional.pos, new_pos, text, (name,))
        yield from below(recursion.changes(old.additional, new.properties[name]), name)


def _only_required(old: Flat, new: Flat) -> Iterator[Change]:
    """Names that are required without being described."""
    named = old.properties.keys() | new.properties.keys()
    for name in dict.fromkeys((*old.required, *new.required)):
        if name in named or (name in old.required) == (name in new.required):
            continue
        demanded = name in new.required
        kind = "property-required" if demanded else "property-optional"
        text = f"`{name}` {'is now required' if demanded else 'is no longer required'}"
        old_pos, new_pos = old.required.get(name, old.pos), new.required.get(name, new.pos)
        yield Change(kind, old_pos, new_pos, text, (name,))


def _additional(old: Flat, new: Flat, recursion: Recursion) -> Iterator[Change]:
    before, after = old.additional or ANYTHING, new.additional or ANYTHING
    was_closed, is_closed = before.parts == (False,), after.parts == (False,)
    old_pos, new_pos = old.at(before.pos), new.at(after.pos)
    if is_closed and was_closed:
        return
    if is_closed:
        yield Change(
            "object-closed", old_pos, new_pos, "properties beyond those listed are no longer admitted"
        )
    elif was_closed:
        yield Change("object-opened", old_pos, new_pos, "properties beyond those listed are now admitted")
    else:
        yield from below(recursion.changes(before, after), "*")


def _by_pattern(old: Flat, new: Flat, recursion: Recursion) -> Iterator[Change]:
    for pattern in dict.fromkeys((*old.pattern_properties, *new.pattern_properties)):
        before = old.pattern_properties.get(pattern, ANYTHING)
        after = new.pattern_properties.get(pattern, ANYTHING)
        yield from below(recursion.changes(before, after), f"/{pattern}/")


def compare_arrays(old: Flat, new: Flat, recursion: Recursion) -> Iterator[Change]:
    """Changes of a list's items, by place (`prefixItems`) and of the rest."""
    for index in range(max(len(old.prefix), len(new.prefix))):
        before, after = _item(old, index), _item(new, index)
        yield from below(recursion.changes(before, after), f"[{index}]")
    yield from below(recursion.changes(old.items or ANYTHING, new.items or ANYTHING), "[*]")


def _item(flat: Flat, index: int) -> Conj:
    return flat.prefix[index] if index < len(flat.prefix) else flat.items or ANYTHING


def compare_rest(old: Flat, new: Flat, recursion: Recursion) -> Iterator[Change]:
    """Changes of `contentSchema`, of `not`, and of what is only compared for being the same."""
    yield from below(recursion.changes(old.content or ANYTHING, new.content or ANYTHING), CONTENT)
    yield from _excluded(old, new, recursion)
    for key in dict.fromkeys((*old.opaque, *new.opaque)):
        before, after = old.opaque.get(key, []), new.opaque.get(key, [])
        if not recursion.same([fact.value for fact in before], [fact.value for fact in after]):
            yield from _condition(old, new, key, recursion)


def _condition(old: Flat, new: Flat, key: str, recursion: Recursion) -> Iterator[Change]:
    """A keyword that is not the same. Each is one condition more, except for what was not read at all."""
    before, after = old.opaque.get(key, []), new.opaque.get(key, [])
    old_pos: Position = before[0].pos if before else old.pos
    new_pos: Position = after[0].pos if after else new.pos
    if key != UNREAD and not (before and after):
        kind, word = ("keyword-removed", "gone") if before else ("keyword-added", "new")
        yield Change(kind, old_pos, new_pos, f"`{key}` is {word}")
        return
    text = f"`{key}` changed"
    if len(before) == len(after) == 1:
        one, other = before[0].value, after[0].value
        if key == "contains" and recursion.same(one["contains"], other["contains"]):
            yield from _contained(one, other)
            return
        text = f"`{key}` {shown(one)} became {shown(other)}"
    yield Change("keyword-changed", old_pos, new_pos, text)


def _contained(old: Map, new: Map) -> Iterator[Change]:
    """How many items must, and may, be what `contains` describes."""
    for key, nothing in (("minContains", 1), ("maxContains", None)):
        one, other = old.get(key, nothing), new.get(key, nothing)
        if one == other:
            continue
        tighter = one is None or (other is not None and (other > one) == (key == "minContains"))
        text = f"`{key}` {shown(one)} became {shown(other)}"
        if one is None or other is None:
            text = f"`{key}` {shown(other if one is None else one)} is {'new' if one is None else 'gone'}"
        yield Change("bound-tightened" if tighter else "bound-loosened", old.at(key), new.at(key), text)


def _excluded(old: Flat, new: Flat, recursion: Recursion) -> Iterator[Change]:
    """`not` the other way round: what it excludes more is what the schema admits less."""
    gone = [one for one in old.excluded if not any(_same(one, other, recursion) for other in new.excluded)]
    come = [one for one in new.excluded if not any(_same(other, one, recursion) for other in old.excluded)]
    for index in range(max(len(gone), len(come))):
        before = gone[index] if index < len(gone) else NOTHING
        after = come[index] if index < len(come) else NOTHING
        inner = recursion.changes(before, after)
        old_pos, new_pos = old.at(before.pos), new.at(after.pos)
        if after is NOTHING or any(change.narrows for change in inner):
            yield Change("exclusion-removed", old_pos, new_pos, "values are admitted that `not` excluded")
        if before is NOTHING or any(change.widens for change in inner):
            yield Change("exclusion-added", old_pos, new_pos, "`not` excludes more values")


def _same(one: Conj, other: Conj, recursion: Recursion) -> bool:
    return not recursion.changes(one, other)
