"""The whole score: every category of the reference, and what it is made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from specstack_codegen.score.comparison import Comparison, Fact
from specstack_codegen.score.deviations import Deviation, excuse
from specstack_codegen.score.document import Document, Endpoint
from specstack_codegen.score.endpoints import compare, extra_operation
from specstack_codegen.walk import METHODS


@dataclass
class Category:
    """One group of the reference's operations. Facts `compared` are `matching`, `excused` or `differing`."""

    name: str
    served: list[Endpoint] = field(default_factory=list[Endpoint])
    missing: list[Endpoint] = field(default_factory=list[Endpoint])
    compared: int = 0
    matching: list[Fact] = field(default_factory=list[Fact])
    differing: list[Fact] = field(default_factory=list[Fact])
    excused: list[Fact] = field(default_factory=list[Fact])

    @property
    def operations(self) -> int:
        return len(self.served) + len(self.missing)

    @property
    def same(self) -> int:
        return self.compared - len(self.differing) - len(self.excused)

    @property
    def percent(self) -> float | None:
        """Matching facts of those compared, deviations left out; None where nothing was compared."""
        counted = self.same + len(self.differing)
        return 100 * self.same / counted if counted else None

    @property
    def strict_percent(self) -> float | None:
        """The same with deviations counted as differences."""
        return 100 * self.same / self.compared if self.compared else None


@dataclass
class Score:
    """What came out. `stale` are deviations that excuse nothing; None when not everything was compared."""

    reference: Document
    categories: list[Category]
    deviations: list[Deviation]
    stale: list[Deviation] | None

    @property
    def differing(self) -> list[Fact]:
        return [fact for one in self.categories for fact in one.differing]


def score(ours: Document, theirs: Document, deviations: list[Deviation], only: Iterable[str] = ()) -> Score:
    """Compares the operations that both documents have. `only` names categories, whatever their case.

    Raises ValueError for a category that the reference does not have.
    """
    grouped: dict[str, list[Endpoint]] = {}
    for endpoint in theirs.endpoints.values():
        grouped.setdefault(endpoint.category, []).append(endpoint)
    wanted = {name.casefold() for name in only}
    unknown = wanted - {name.casefold() for name in grouped}
    if unknown:
        have = ", ".join(sorted(grouped))
        raise ValueError(f"the reference has no category {', '.join(sorted(unknown))}; it has {have}")
    categories = [
        _category(ours, theirs, name, endpoints, deviations)
        for name, endpoints in sorted(grouped.items())
        if not wanted or name.casefold() in wanted
    ]
    stale = None if wanted else [one for one in deviations if not one.excused]
    return Score(theirs, categories, deviations, stale)


def _category(
    ours: Document, theirs: Document, name: str, endpoints: list[Endpoint], deviations: list[Deviation]
) -> Category:
    category, comparison = Category(name), Comparison(ours, theirs)
    unlike = {one.where for one in deviations if "operation" in one.facts}
    for endpoint in endpoints:
        mine = ours.endpoints.get(endpoint.key)
        if mine is not None and mine.id in unlike:
            # The same path and another operation: nothing in it is to be compared.
            extra_operation(comparison, mine)
            mine = None
        (category.missing if mine is None else category.served).append(endpoint)
        if mine is not None:
            compare(comparison, mine, endpoint)
    for path in dict.fromkeys(endpoint.key[1] for endpoint in category.served):
        for method in METHODS:
            mine = ours.endpoints.get((method, path))
            if mine is not None and (method, path) not in theirs.endpoints:
                extra_operation(comparison, mine)
    category.compared = len(comparison.facts)
    category.matching = [fact for fact in comparison.facts if fact.same]
    different = [fact for fact in comparison.facts if not fact.same]
    category.differing, category.excused = excuse(different, deviations)
    return category
