"""Unions that are told apart by a tag: full mappings for the model generator, or tagged unions of our own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from specstack_codegen import schemas

Node = dict[str, Any]


def spell_out_union(components: Mapping[str, Node], union: Node) -> Node | None:
    """Gives a discriminated union its full mapping, in place.

    A union of which several branches share a tag, or of which a branch may lack it, cannot have one: its
    discriminator goes, and the data of a tagged union for the alias template is returned.
    """
    if "propertyName" not in union.get("discriminator", {}):
        return None
    prop = union["discriminator"]["propertyName"]
    _flatten(components, union)
    names = [schemas.ref_name(branch) for branch in _branches(union)]
    groups = _tags(components, names, prop)
    if groups is None:
        del union["discriminator"]
        return None
    loose = [name for name in names if name and not _demands(components, name, prop)]
    if not loose and all(len(branches) == 1 for branches in groups.values()):
        mapping = {tag: f"{schemas.SCHEMA_PREFIX}{branches[0]}" for tag, branches in groups.items()}
        union["discriminator"] = {"propertyName": prop, "mapping": mapping}
        return None
    del union["discriminator"]
    default = next(
        (tag for tag, branches in groups.items() if loose and loose[0] in branches), next(iter(groups))
    )
    return {"prop": prop, "default": default, "groups": list(groups.items())}


def _branches(union: Node) -> list[Node]:
    return [*union.get("oneOf", ()), *union.get("anyOf", ())]


def _flatten(components: Mapping[str, Node], union: Node) -> None:
    """Puts the branches of unions within a union in their place, so that each branch is one object."""
    for key in ("oneOf", "anyOf"):
        if key in union:
            names = dict.fromkeys(name for branch in union[key] for name in _leaves(components, branch))
            if None not in names:
                union[key] = [{"$ref": f"{schemas.SCHEMA_PREFIX}{name}"} for name in names]


def _leaves(components: Mapping[str, Node], branch: Node) -> list[str | None]:
    """The object components behind a branch; None stands for something inline."""
    name = schemas.ref_name(branch)
    if name is None:
        return [None]
    inner = components[name]
    options = _branches(inner)
    if inner.get("properties") or not options:
        return [name]
    return [leaf for option in options for leaf in _leaves(components, option)]


def _tags(components: Mapping[str, Node], names: list[str | None], prop: str) -> dict[str, list[str]] | None:
    """Tag -> branches with it; None when some branch is inline or has no fixed tag."""
    groups: dict[str, list[str]] = {}
    for name in names:
        values = _tag_values(components, name, prop) if name else []
        if name is None or not values:
            return None
        for value in values:
            groups.setdefault(value, []).append(name)
    return groups


def _tag_values(components: Mapping[str, Node], name: str, prop: str) -> list[str]:
    """The strings that the property may be in an object; empty when it may be anything."""
    schema = schemas.properties(components[name], components).get(prop)
    found: list[str] = []
    for option in schemas.branches(schema or {}, components):
        values = [option["const"]] if "const" in option else option.get("enum", [])
        found += [value for value in values if isinstance(value, str)]
    return found


def _demands(components: Mapping[str, Node], name: str, prop: str) -> bool:
    """Whether the tag must be there and must not be null."""
    schema = schemas.properties(components[name], components)[prop]
    needed = prop in schemas.required(components[name], components)
    return needed and "null" not in schemas.types(schema, components)
