"""Rules about reading and merging files; source and bundle find these faults on the way."""

from __future__ import annotations

from collections.abc import Iterator

from specstack_codegen.bundle import COMMON, Spec
from specstack_codegen.counted import KEY
from specstack_codegen.lint_rules.registry import Finding, rule
from specstack_codegen.source import Position


def _faults(spec: Spec, rule_id: str) -> Iterator[Finding]:
    return (Finding(fault.pos, fault.message, fault.hint) for fault in spec.faults if fault.rule == rule_id)


@rule("yaml-syntax")
def yaml_syntax(spec: Spec) -> Iterator[Finding]:
    """Every file is UTF-8 YAML whose top is a mapping."""
    return _faults(spec, "yaml-syntax")


@rule("plain-yaml")
def plain_yaml(spec: Spec) -> Iterator[Finding]:
    """No anchors, aliases, merge keys or tags: what a key means can be read where it stands."""
    return _faults(spec, "plain-yaml")


@rule("duplicate-key")
def duplicate_key(spec: Spec) -> Iterator[Finding]:
    """A key stands once in a mapping; YAML readers would silently keep one of two."""
    return _faults(spec, "duplicate-key")


@rule("empty-spec")
def empty_spec(spec: Spec) -> Iterator[Finding]:
    """A spec folder has at least one OpenAPI document."""
    return _faults(spec, "empty-spec")


@rule("component-collision")
def component_collision(spec: Spec) -> Iterator[Finding]:
    """Component names and paths are global: each is defined in one file, once."""
    return _faults(spec, "component-collision")


@rule("unresolved-ref")
def unresolved_ref(spec: Spec) -> Iterator[Finding]:
    """Every `$ref` and every discriminator mapping leads to a named component of the file that it names."""
    return _faults(spec, "unresolved-ref")


@rule("shared-settings")
def shared_settings(spec: Spec) -> Iterator[Finding]:
    """The groups of settings that a provider names exist, and give it none that it has already."""
    return _faults(spec, "shared-settings")


@rule("counted-components")
def counted_components(spec: Spec) -> Iterator[Finding]:
    """`x-counted` stands in common.yaml alone and names components that exist."""
    yield from _faults(spec, "counted-components")
    for document in spec.apis.values():
        if KEY in document:
            message = f"{KEY} holds for every file, and stands in one of them"
            yield Finding(document.at(KEY), message, f"move it to {COMMON}.yaml")


@rule("api-name")
def api_name(spec: Spec) -> Iterator[Finding]:
    """Every OpenAPI file but common.yaml is an API, with an `x-api` named like the file.

    common.yaml holds shared parts and has no paths.
    """
    unreadable = {fault.pos.file for fault in spec.faults if fault.rule == "yaml-syntax"}
    for stem, document in spec.apis.items():
        if document.pos.file in unreadable:
            continue
        if "x-api" not in document:
            message = "the file has no x-api, so it is no API"
            yield Finding(document.pos, message, f"add x-api: {{name: {stem}, summary: …}} at the top")
        elif document.map("x-api").text("name") != stem:
            pos = document.map("x-api").at("name")
            yield Finding(pos, f"x-api.name differs from the file's name {stem!r}", f"write name: {stem}")
    common = spec.files.get(f"openapi/{COMMON}.yaml")
    if common is not None and common.map("paths"):
        pos = common.at("paths")
        yield Finding(
            pos,
            "common.yaml has operations",
            "move them to the file of their API; common.yaml is shared parts",
        )


@rule("api-cycle")
def api_cycle(spec: Spec) -> Iterator[Finding]:
    """The files refer to each other in one direction, so that the generated modules can import each other."""
    done: set[str] = set()

    def visit(stem: str, way: list[str]) -> Iterator[Finding]:
        for target, pos in spec.references.get(stem, {}).items():
            if target in way:
                loop = " -> ".join([*way[way.index(target) :], target])
                hint = (
                    "move the shared component to common.yaml, or to the file that needs nothing of the other"
                )
                yield _cycle(pos, loop, hint)
            elif target not in done:
                yield from visit(target, [*way, target])
        done.add(stem)

    for stem in sorted(spec.references):
        if stem not in done:
            yield from visit(stem, [stem])


def _cycle(pos: Position, loop: str, hint: str) -> Finding:
    return Finding(pos, f"the API files refer to each other in a circle: {loop}", hint)
