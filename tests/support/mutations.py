"""Named edits of a spec that is in memory, for tests of the review."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from specstack_codegen.bundle import Spec
from specstack_codegen.review.findings import Finding
from specstack_codegen.review.sides import Side
from specstack_codegen.source import NOWHERE, Map, Position, Seq, positionless
from specstack_codegen.walk import METHODS


@dataclass(frozen=True)
class Mutation:
    """One edit, and every finding it must lead to: class, rule, whom it concerns, where."""

    name: str
    at: str
    do: dict[str, Any]
    finds: tuple[str, ...]


def mutations(file: Path) -> list[Mutation]:
    """The edits of a table."""
    rows = yaml.safe_load(file.read_text())
    return [Mutation(row["name"], row["at"], row["do"], tuple(row.get("finds", ()))) for row in rows]


def edited(side: Side, mutation: Mutation) -> Side:
    """A copy of `side` with the edit; the original stays as it is."""
    spec = side.spec
    copy = Spec(root=spec.root, sources=spec.sources)
    for name in ("openapi", "config", "errors", "resources", "services", "settings", "approvals"):
        setattr(copy, name, copied(getattr(spec, name)))
    copy.providers = {name: copied(value) for name, value in spec.providers.items()}
    copy.apis = Map(
        {name: Map({"x-api": copied(value.map("x-api"))}, value.pos) for name, value in spec.apis.items()}
    )
    copy.files = {name: copied(value) for name, value in spec.files.items()}
    _edit(_target(copy, mutation.at), mutation.do)
    return Side(side.label, copy, side.areas, texts=side.texts)


def copied(value: Any) -> Any:
    """A deep copy that keeps places."""
    if isinstance(value, Map):
        result = Map({key: copied(item) for key, item in value.items()}, value.pos)
        result.key_pos = dict(value.key_pos)
        return result
    if isinstance(value, Seq):
        sequence = Seq((copied(item) for item in value), value.pos)
        sequence.item_pos = list(value.item_pos)
        return sequence
    return value


def _target(spec: Spec, at: str) -> Any:
    head, *steps = at.split("/")
    return _follow(_root(spec, head, steps), steps)


def _root(spec: Spec, head: str, steps: list[str]) -> Any:
    components = spec.openapi.map("components")
    if head == "operation":
        return _operation(spec.openapi, steps.pop(0))
    if head == "provider":
        kind = steps.pop(0)
        return next(one for one in spec.providers.values() if one["provider_type"] == kind)
    if head == "api":
        return spec.apis[steps.pop(0)]
    roots = {
        "schemas": components.map("schemas"),
        "parameters": components.map("parameters"),
        "paths": spec.openapi.map("paths"),
        "document": spec.openapi,
        "config": spec.config.map("components").map("schemas"),
        "providers": spec.providers,
        "errors": spec.errors,
        "resources": spec.resources,
        "services": spec.services,
        "apis": spec.apis,
        "settings": spec.settings,
        "telemetry": spec.files["telemetry.yaml"],
        "storage": spec.files["storage.yaml"],
    }
    return roots[head]


def _operation(document: Map, name: str) -> Map:
    for item in document.map("paths").values():
        for method in METHODS:
            if isinstance(item.get(method), Map) and item[method].get("operationId") == name:
                return item[method]
    raise KeyError(name)


def _follow(value: Any, steps: list[str]) -> Any:
    for step in steps:
        value = value[int(step)] if isinstance(value, list) else value[step.replace("~1", "/")]
    return value


def _edit(target: Any, do: dict[str, Any]) -> None:
    for way, value in do.get("set", {}).items():
        holder, key = _holder(target, way)
        holder[key] = _placed(positionless(value), holder.at(key))
    for way in do.get("delete", ()):
        holder, key = _holder(target, way)
        del holder[int(key) if isinstance(holder, list) else key]
    for way, values in do.get("append", {}).items():
        holder, key = _holder(target, way)
        holder[key] = _placed(Seq([*holder.get(key, ()), *positionless(values)]), holder.at(key))
    for way, values in do.get("drop", {}).items():
        holder, key = _holder(target, way)
        for value in values:
            del holder[key].item_pos[holder[key].index(value)]
            holder[key].remove(value)
    for before, after in do.get("rename", {}).items():
        _rename(target, before, after)
    for way, names in do.get("move", {}).items():
        for before, after in names.items():
            _rename(_follow(target, way.split("/")), before, after)


def _placed(value: Any, pos: Position) -> Any:
    """`value`, with everything that has no place yet at `pos`."""
    if isinstance(value, (Map, Seq)):
        value.pos = pos if value.pos is NOWHERE else value.pos
        for item in value.values() if isinstance(value, Map) else value:
            _placed(item, pos)
    return value


def _rename(target: Map, before: str, after: str) -> None:
    entries = [(after if key == before else key, value) for key, value in target.items()]
    place = target.at(before)
    target.clear()
    target.update(entries)
    target.key_pos[after] = place


def _holder(target: Any, way: str) -> tuple[Any, str]:
    *steps, key = way.split("/")
    return _follow(target, steps), key.replace("~1", "/")


def places(finding: Finding) -> list[str]:
    """A finding as the tables write it, once for each place that feels the edit."""
    head = f"{finding.level.word} {finding.rule}"
    lines = (f"{head} {place.subject.identifier} {place.path}".strip() for place in finding.places)
    return [
        f"{line} ({place.excuse})" if place.excuse else line
        for line, place in zip(lines, finding.places, strict=True)
    ]


def seen(findings: Iterable[Finding]) -> Iterator[str]:
    """Findings by their first places, documentation left out."""
    return (places(finding)[0] for finding in findings if finding.level)


def unexpected(findings: Iterable[Finding], expected: Iterable[str]) -> list[str]:
    """What of findings and expectations has no counterpart; documentation is left out.

    An expectation names one of a finding's places, so that operations to come do not change it.
    """
    left = list(expected)
    strangers: list[str] = []
    for finding in findings:
        lines = places(finding)
        known = next((line for line in left if line in lines), None)
        if known is not None:
            left.remove(known)
        elif finding.level:
            strangers.append(f"found: {lines[0]}")
    return [*strangers, *(f"missing: {line}" for line in left)]
