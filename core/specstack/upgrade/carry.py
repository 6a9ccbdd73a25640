"""Carrying a tree of the old file into ours: what has room goes there, everything else is reported."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from specstack.positions import Map, Path, Seq, line_of
from specstack.upgrade import shapes
from specstack.upgrade.dialect import translated
from specstack.upgrade.mapping import Rule
from specstack.upgrade.report import Report

NOWHERE = object()
"""What stands for a value that has no place."""


class Carrier:
    """Carries values below one place. `rules` are keyed by dotted path with `[]` for the items of lists.

    `refuse` is asked of each mapping in a list, with the list's dotted path in our terms: why it must stay
    out, or None.
    """

    def __init__(
        self,
        root: Any,
        rules: Mapping[str, Rule],
        report: Report,
        refuse: Callable[[str, Map], str | None] = lambda dotted, item: None,
        prefix: str = "",
    ) -> None:
        self._root = root
        self._rules = rules
        self._report = report
        self._refuse = refuse
        self._prefix = prefix

    def mapping(self, node: Map, path: Path, into: dict[str, Any], annotation: Any, dotted: str = "") -> None:
        """Carry every key of `node` into `into`, which `annotation` describes."""
        for key, value in node.items():
            if value is not None:
                self.key(value, (*path, key), into, annotation, f"{dotted}.{key}" if dotted else key)

    def key(self, value: Any, path: Path, into: dict[str, Any], annotation: Any, dotted: str) -> None:
        """Carry one key's value to its place below `into`."""
        rule = self._rules.get(dotted, Rule())
        target = (rule.to or dotted).split(".")
        here = shapes.at(annotation, *target) if rule.values is None else Any
        deeper = isinstance(value, Map) and not shapes.takes_mapping(here)
        if here is None or deeper or rule.differs or not _has(annotation, target):
            self._elsewhere(value, path, into, annotation, dotted, rule)
            return
        carried = self.value(value, path, here, rule.to or dotted)
        if rule.values is not None:
            carried = self._called(value, path, target[-1], rule.values)
        if carried is NOWHERE:
            return
        if rule.ending and isinstance(carried, str) and rule.ending not in carried:
            carried = carried.rstrip("/") + rule.ending
            warning = "; variables in it must not bring it too" if "${env." in carried else ""
            self._report.note(self._line(path), path, f"'{rule.ending}' was put after it{warning}")
        self._put(carried, path, into, target)

    def value(self, value: Any, path: Path, annotation: Any, dotted: str) -> Any:
        """The value in our terms, or NOWHERE after saying why."""
        if isinstance(value, Map):
            return self._below(value, path, annotation, dotted)
        if isinstance(value, Seq):
            if shapes.item_of(annotation) is None and annotation is not Any:
                return self._lost(path, "here no list stands there")
            items = (self._item(one, (*path, index), annotation, dotted) for index, one in enumerate(value))
            return [one for one in items if one is not NOWHERE]
        return self._scalar(value, path, annotation)

    # -- inside ----------------------------------------------------------------------------

    def _line(self, path: Path) -> int:
        return line_of(self._root, path)

    def _lost(self, path: Path, message: str) -> Any:
        self._report.lost(self._line(path), path, message)
        return NOWHERE

    def _elsewhere(
        self, value: Any, path: Path, into: dict[str, Any], annotation: Any, dotted: str, rule: Rule
    ) -> None:
        """A key that has no room: perhaps some of the keys below it have."""
        below = any(name.startswith(dotted + ".") and one.to for name, one in self._rules.items())
        if isinstance(value, Map) and below and rule.reason is None:
            self.mapping(value, path, into, annotation, dotted)
            return
        if (
            isinstance(value, Map)
            and rule.reason is None
            and _has(annotation, (rule.to or dotted).split("."))
        ):
            self._lost(path, "here no mapping stands there")
            return
        self._lost(path, rule.reason or "this server has no such setting")

    def _called(self, value: Any, path: Path, name: str, values: Mapping[str, str]) -> Any:
        carried = values.get(str(value).lower())
        if carried is None:
            return self._lost(path, f"only {' and '.join(values)} have a counterpart here")
        self._report.note(self._line(path), path, f"here it is {name}: {carried}")
        return carried

    def _below(self, node: Map, path: Path, annotation: Any, dotted: str) -> Any:
        values = shapes.values_of(annotation)
        if values is not None:
            named = {
                key: self.value(one, (*path, key), values, f"{dotted}.*")
                for key, one in node.items()
                if one is not None
            }
            return {key: one for key, one in named.items() if one is not NOWHERE}
        if not shapes.is_model(annotation):
            return {key: self.value(one, (*path, key), Any, f"{dotted}.*") for key, one in node.items()}
        found: dict[str, Any] = {}
        below = inside(self._rules, dotted)
        inner = Carrier(self._root, below, self._report, self._refuse, f"{self._prefix}{dotted}.")
        inner.mapping(node, path, found, annotation)
        if node and not found:
            # Nothing of it had a place, which has been said.
            return NOWHERE
        absent = shapes.missing(annotation, found)
        if absent:
            return self._lost(path, f"without {' and '.join(absent)} it cannot be")
        return found

    def _item(self, value: Any, path: Path, annotation: Any, dotted: str) -> Any:
        if isinstance(value, Map):
            why = self._refuse(self._prefix + dotted, value)
            if why is not None:
                return self._lost(path, why)
        return self.value(value, path, shapes.item_of(annotation) or Any, f"{dotted}[]")

    def _scalar(self, value: Any, path: Path, annotation: Any) -> Any:
        if isinstance(value, str):
            text = translated(value)
            for note in text.notes:
                self._report.note(self._line(path), path, note)
            value = text.text
        if shapes.is_model(annotation):
            return self._lost(path, "here it is a mapping of keys to values")
        choices = shapes.choices(annotation)
        if choices and value not in choices and "${env." not in str(value):
            said = ", ".join(str(one) for one in choices)
            return self._lost(path, f"the value has no counterpart here; there are: {said}")
        if shapes.wants_text(annotation) and isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        return value

    def _put(self, value: Any, path: Path, into: dict[str, Any], target: list[str]) -> None:
        for step in target[:-1]:
            into = into.setdefault(step, {})
        if target[-1] not in into:
            into[target[-1]] = value
        elif isinstance(value, list) and isinstance(into[target[-1]], list):
            into[target[-1]].extend(value)
        elif isinstance(value, dict) and isinstance(into[target[-1]], dict):
            into[target[-1]].update(value)
        elif into[target[-1]] != value:
            self._lost(path, f"{'.'.join(target)} is set already")


def _has(annotation: Any, target: list[str]) -> bool:
    return shapes.has(shapes.at(annotation, *target[:-1]), target[-1])


def inside(rules: Mapping[str, Rule], dotted: str) -> dict[str, Rule]:
    """The rules below a place, relative to it."""
    begin = re.compile(re.escape(dotted) + r"\.")
    found: dict[str, Rule] = {}
    for name, rule in rules.items():
        if not begin.match(name):
            continue
        to = rule.to
        # A goal inside the same place is relative to it too; none leads out of a list's item.
        found[begin.sub("", name, 1)] = replace(rule, to=to and begin.sub("", to, 1))
    return found
