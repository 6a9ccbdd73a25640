"""What changed between two schemas, seen as sets of values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from specstack_codegen.review.changes import Change, below, distinct, listed
from specstack_codegen.review.containers import Recursion, compare_arrays, compare_objects, compare_rest
from specstack_codegen.review.flat import Conj, Flat, Shape
from specstack_codegen.review.flatten import Flattener, references
from specstack_codegen.review.notes import compare_notes
from specstack_codegen.review.scalars import (
    compare_format,
    compare_limits,
    compare_strings,
    compare_values,
)
from specstack_codegen.review.unions import Pairing, are_tagged, conflicts, pair_up, split
from specstack_codegen.source import Map, Position

_Pair = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass
class Differ:
    """Compares schemas of two documents. A pair that is met again inside itself is taken to be the same."""

    old: Flattener
    new: Flattener
    altered: frozenset[str]
    _known: dict[_Pair, tuple[Change, ...]] = field(default_factory=dict[_Pair, tuple[Change, ...]])
    _pending: dict[_Pair, int] = field(default_factory=dict[_Pair, int])
    _lowest: int = 1 << 30
    _flats: dict[tuple[int, int], tuple[Change, ...]] = field(
        default_factory=dict[tuple[int, int], tuple[Change, ...]]
    )
    _splits: dict[int, tuple[Flat, ...]] = field(default_factory=dict[int, tuple[Flat, ...]])
    _kept: list[Conj] = field(default_factory=list[Conj])

    def changes(self, old: Conj, new: Conj) -> tuple[Change, ...]:
        """Every change between two schemas, each edit once."""
        old, new = self.old.direct(old), self.new.direct(new)
        pair = (old.key, new.key)
        if pair in self._known:
            return self._known[pair]
        if self._untouched(old, new):
            return ()
        if pair in self._pending:
            self._lowest = min(self._lowest, self._pending[pair])
            return ()
        # keys are made of ids, so what they name must stay in memory
        self._kept.extend((old, new))
        depth = len(self._pending)
        self._pending[pair] = depth
        outer, self._lowest = self._lowest, 1 << 30
        found = distinct(self._compare(self.old.shape(old), self.new.shape(new)))
        del self._pending[pair]
        if self._lowest >= depth:
            self._known[pair] = found
            self._lowest = outer
        else:
            # the result leans on a pair that is still being compared, so it holds for now only
            self._lowest = min(outer, self._lowest)
        return found

    def _untouched(self, old: Conj, new: Conj) -> bool:
        """Whether both sides say the same in the same words, here and in all that is referred to."""
        if old.parts != new.parts:
            return False
        parts = (part for part in old.parts if isinstance(part, Map))
        return all(self.altered.isdisjoint(self.old.refers(part)) for part in parts)

    def _same_words(self, old: object, new: object) -> bool:
        return old == new and self.altered.isdisjoint(references(old))

    def promised(self, schema: Conj) -> str:
        """The stability that the old side states of a schema itself: of a property or of its component."""
        notes = self.old.shape(schema).notes
        if "x-stability" in notes:
            return str(notes["x-stability"].value)
        return "deprecated" if "deprecated" in notes and notes["deprecated"].value is True else ""

    def _compare(self, old: Shape, new: Shape) -> Iterator[Change]:
        yield from compare_notes(old, new)
        yield from _null(old, new)
        change = _types(old, new)
        if change is not None:
            yield change
        common = old.types & new.types
        olds, news = self._alternatives(old, new, common), self._alternatives(new, old, common)
        if len(olds) == len(news) == 1:
            yield from self._alternative(olds[0], news[0])
        else:
            yield from self._union(old, new, olds, news)

    def _alternatives(self, shape: Shape, other: Shape, common: frozenset[str]) -> tuple[Flat, ...]:
        alternatives = shape.alternatives
        if len(alternatives) > 1 or len(other.alternatives) > 1:
            alternatives = self._splits.setdefault(id(shape), split(alternatives))
        return tuple(one for one in alternatives if one.types & common)

    def _alternative(self, old: Flat, new: Flat) -> tuple[Change, ...]:
        key = (id(old), id(new))
        if key in self._flats:
            return self._flats[key]
        before, self._lowest = self._lowest, 1 << 30
        found = distinct(change.within(old.pos, new.pos) for change in self._flat_changes(old, new))
        if self._lowest == 1 << 30:
            self._flats[key] = found
        self._lowest = min(before, self._lowest)
        return found

    def _flat_changes(self, old: Flat, new: Flat) -> Iterator[Change]:
        common = old.types & new.types
        recursion = Recursion(self.changes, self.promised, self._same_words)
        values, settled = compare_values(old, new, common)
        yield from values
        yield from compare_limits(old, new, common, settled)
        if "string" in common:
            yield from compare_strings(old, new, settled)
        if common & {"string", "integer", "fraction"}:
            yield from compare_format(old, new)
        if "array" in common:
            yield from compare_arrays(old, new, recursion)
        if "object" in common:
            yield from compare_objects(old, new, recursion)
        yield from compare_rest(old, new, recursion)
        yield from compare_notes(old, new)

    def _union(
        self, old: Shape, new: Shape, olds: tuple[Flat, ...], news: tuple[Flat, ...]
    ) -> Iterator[Change]:
        shapes = (self.old.shape, self.new.shape)
        pairing = pair_up(olds, news, shapes, lambda one, other: not self._alternative(one, other))
        for before, after in pairing.pairs:
            inner = self._alternative(before, after)
            if any(change.narrows for change in inner) and self._is_admitted(before, news):
                inner = tuple(change for change in inner if not change.narrows or change.widens)
            if any(change.widens for change in inner) and self._was_admitted(after, olds):
                inner = tuple(change for change in inner if not change.widens)
            name = after.name or before.name
            yield from below(inner, f"<{name}>") if name and len(news) > 1 else inner
        for one in pairing.gone:
            if not self._is_admitted(one, news):
                yield _gone(one, new)
        for one in pairing.come:
            if not self._was_admitted(one, olds):
                yield _come(one, old, tagged=are_tagged(news, self.new.shape))
        yield from self._exclusive(old, new, olds, news, pairing)

    def _is_admitted(self, old: Flat, news: tuple[Flat, ...]) -> bool:
        """Whether one of the new alternatives admits all that `old` did."""
        return any(
            old.types <= new.types and not any(change.narrows for change in self._alternative(old, new))
            for new in news
        )

    def _was_admitted(self, new: Flat, olds: tuple[Flat, ...]) -> bool:
        return any(
            new.types <= old.types and not any(change.widens for change in self._alternative(old, new))
            for old in olds
        )

    def _exclusive(
        self, old: Shape, new: Shape, olds: tuple[Flat, ...], news: tuple[Flat, ...], pairing: Pairing
    ) -> Iterator[Change]:
        """A `oneOf` refuses what fits two of its branches."""
        before, after = conflicts(olds, self.old.shape), conflicts(news, self.new.shape)
        if not before and not after:
            return
        kept = {id(one): other for one, other in pairing.pairs} | {id(two): one for one, two in pairing.pairs}
        known = {frozenset((id(one), id(two))) for one, two in (*before, *after)}

        def stays(one: Flat, two: Flat, wider: bool) -> bool:
            others = kept.get(id(one)), kept.get(id(two))
            if others[0] is None or others[1] is None:
                return False
            inner = (
                *(self._alternative(others[0], one) if wider else self._alternative(one, others[0])),
                *(self._alternative(others[1], two) if wider else self._alternative(two, others[1])),
            )
            moved = any(change.widens if wider else change.narrows for change in inner)
            return not moved and frozenset((id(others[0]), id(others[1]))) in known

        if not all(stays(one, two, True) for one, two in after):
            text = "a oneOf refuses values that fit two of its branches"
            yield Change("variants-overlap", old.pos, new.pos, text)
        if not all(stays(one, two, False) for one, two in before):
            text = "values that fit two branches of a oneOf, and were refused, are now admitted"
            yield Change("variants-parted", old.pos, new.pos, text)


def _null(old: Shape, new: Shape) -> Iterator[Change]:
    if old.null and not new.null:
        yield Change("null-refused", old.null, _types_pos(new), "null is no longer admitted")
    if new.null and not old.null:
        yield Change("null-admitted", _types_pos(old), new.null, "null is newly admitted")


def _types(old: Shape, new: Shape) -> Change | None:
    lost, gained = old.types - new.types, new.types - old.types
    if not lost and not gained:
        return None
    kind = "type-changed" if lost and gained else ("type-narrowed" if lost else "type-widened")
    text = f"{_names(old.types)} became {_names(new.types)}"
    old_pos = next((one.at(one.types_pos) for one in old.alternatives if one.types & lost), _types_pos(old))
    new_pos = next((one.at(one.types_pos) for one in new.alternatives if one.types & gained), _types_pos(new))
    return Change(kind, old_pos, new_pos, text)


def _types_pos(shape: Shape) -> Position:
    if len(shape.alternatives) == 1:
        only = shape.alternatives[0]
        return only.at(only.types_pos)
    return shape.pos


def _names(types: frozenset[str]) -> str:
    if not types:
        return "no value"
    names = {"number" if "fraction" in types and one in ("integer", "fraction") else one for one in types}
    names = {"number" if one == "fraction" else one for one in names}
    return "any value" if len(names) == 5 else " or ".join(sorted(names))


def _gone(one: Flat, new: Shape) -> Change:
    if one.values is not None:
        text = f"{listed(fact.value for fact in one.values.values())} is no longer admitted"
        return Change("enum-value-removed", one.at(one.values_pos), new.pos, text)
    return Change("variant-removed", one.pos, new.pos, f"the variant {_label(one)} is gone")


def _come(one: Flat, old: Shape, *, tagged: bool) -> Change:
    if one.values is not None:
        text = f"{listed(fact.value for fact in one.values.values())} is newly admitted"
        return Change("enum-value-added", old.pos, one.at(one.values_pos), text)
    kind = "tagged-variant-added" if tagged else "variant-added"
    return Change(kind, old.pos, one.pos, f"the variant {_label(one)} is new")


def _label(one: Flat) -> str:
    return f"`{one.name}`" if one.name else f"of type {_names(one.types)}"
