"""Rules about unions whose branches are told apart by a property."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from specstack_codegen.bundle import Spec
from specstack_codegen.lint_rules import view
from specstack_codegen.lint_rules.registry import Finding, close, rule
from specstack_codegen.source import Map, Position
from specstack_codegen.walk import Node, resolve


@dataclass
class _Union:
    """A union with a discriminator: `tags` maps each branch to the values that its property may have."""

    node: Node
    prop: str
    branches: dict[str, Position] = field(default_factory=dict[str, Position])
    tags: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    inline: list[Position] = field(default_factory=list[Position])

    @property
    def discriminator(self) -> Map:
        return self.node.value.map("discriminator")

    @property
    def mapping(self) -> Map:
        return self.discriminator.map("mapping")

    @property
    def default(self) -> str:
        return view.component_name(self.discriminator.text("defaultMapping"))

    @property
    def shared(self) -> set[str]:
        """The tags that several branches have; no mapping can name these."""
        seen: set[str] = set()
        shared: set[str] = set()
        for tags in self.tags.values():
            shared |= seen & tags
            seen |= tags
        return shared


def _unions(spec: Spec) -> Iterator[_Union]:
    for node in spec.schemas():
        discriminator = node.value.map("discriminator")
        if "discriminator" not in node.value or not discriminator.text("propertyName"):
            continue
        union = _Union(node, discriminator.text("propertyName"))
        for key in ("oneOf", "anyOf"):
            items = node.value.seq(key)
            for index, item in enumerate(items):
                name = view.component_name(item.text("$ref")) if isinstance(item, Map) else ""
                if name:
                    union.branches[name] = items.at(index)
                    union.tags[name] = _tags(spec, item, union.prop)
                else:
                    union.inline.append(items.at(index))
        yield union


def _tags(spec: Spec, schema: Map, prop: str) -> set[str]:
    found: set[str] = set()
    for branch in view.branches(spec, schema):
        tag = resolve(spec.openapi, view.fields(spec, branch).get(prop, Map()))
        values: list[Any] = [tag["const"]] if "const" in tag else list(tag.seq("enum"))
        found.update(str(value) for value in values)
    return found


@rule("discriminator-mapping")
def discriminator_mapping(spec: Spec) -> Iterator[Finding]:
    """A discriminator maps every tag of every branch, to that branch and to nothing else.

    Tags that several branches share cannot be mapped: such a union is a component of its own, and its
    discriminator leaves those tags, or the whole mapping, out.
    """
    for union in _unions(spec):
        pos = union.discriminator.pos
        for inline in union.inline:
            yield Finding(
                inline, "a branch of a union with a discriminator is no component", "make it a component"
            )
        for name, tags in union.tags.items():
            if not tags:
                hint = f"give {name}.{union.prop} a const or an enum"
                yield Finding(
                    union.branches[name], f"{name} has no fixed {union.prop!r} to be known by", hint
                )
        if union.shared and union.node.parent is not None and union.node.parent.kind != "components":
            hint = "make the union a component of its own"
            yield Finding(pos, f"an inline union has branches that share the tag {min(union.shared)!r}", hint)
        yield from _unmapped(union)
        yield from _wrong_targets(union)


def _unmapped(union: _Union) -> Iterator[Finding]:
    if union.shared and not union.mapping:
        return
    at = union.discriminator.at("mapping")
    for name, tags in union.tags.items():
        for tag in sorted(tags - union.shared - union.mapping.keys()):
            hint = f'add {tag}: "#/components/schemas/{name}" to the mapping'
            yield Finding(at, f"the tag {tag!r} of {name} is not mapped", hint)


def _wrong_targets(union: _Union) -> Iterator[Finding]:
    for tag, ref in union.mapping.items():
        pos, name = union.mapping.at(tag), view.component_name(str(ref))
        if tag in union.shared:
            hint = "leave the tag out of the mapping; such branches are told apart by their other fields"
            yield Finding(pos, f"the tag {tag!r} is shared by several branches", hint)
        elif name not in union.branches:
            yield Finding(pos, f"{ref!r} is no branch of the union", close(name, union.branches))
        elif union.tags[name] and tag not in union.tags[name]:
            hint = f"{name} has: {', '.join(sorted(union.tags[name]))}"
            yield Finding(pos, f"{name} cannot have {union.prop} {tag!r}", hint)
    if union.discriminator.text("defaultMapping") and union.default not in union.branches:
        pos = union.discriminator.at("defaultMapping")
        yield Finding(
            pos, "defaultMapping names no branch of the union", close(union.default, union.branches)
        )


@rule("discriminator-required")
def discriminator_required(spec: Spec) -> Iterator[Finding]:
    """The property that tells branches apart is required in each of them.

    Optional it may be in the branch that `defaultMapping` names, and in those that share its tag.
    """
    for union in _unions(spec):
        defaults = union.tags.get(union.default, set[str]())
        for name in union.branches:
            if name == union.default or union.tags[name] & defaults:
                continue
            component = view.components(spec).map(name)
            for branch in view.branches(spec, component):
                if union.prop in view.fields(spec, branch) and union.prop not in _required(spec, branch):
                    pos = (
                        branch.at("required")
                        if "required" in branch
                        else branch.map("properties").at(union.prop)
                    )
                    message = f"{union.prop!r} tells the branches of a union apart and is optional in {name}"
                    hint = f"add {union.prop} to required, or name {name} as the union's defaultMapping"
                    yield Finding(pos, message, hint)


def _required(spec: Spec, schema: Map) -> set[str]:
    return {str(name) for part in view.parts(spec, schema) for name in part.seq("required")}
