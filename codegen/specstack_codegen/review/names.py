"""Names that run configs take from other parts of the spec: APIs, operations, categories of the log.

config.yaml says with `x-names` where it takes which: a run config that holds such a name is refused once the
name is gone, though config.yaml itself is as it was. Provider types, resources and stores are compared where
they stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from specstack_codegen.ir import PROVIDER_MODES
from specstack_codegen.review.comparison import as_map
from specstack_codegen.review.findings import Sink
from specstack_codegen.review.operations import Operation, operations, pairs
from specstack_codegen.review.settings import CONFIG
from specstack_codegen.review.sides import Side, table_of
from specstack_codegen.source import Map, Position

API, PROVIDER_API, OPERATION, LOG_CATEGORY = KINDS = ("api", "provider-api", "operation", "log-category")
"""What `x-names` may say: any API, one that has providers, an operation that quotas count, a log category."""


@dataclass(frozen=True, slots=True)
class _Api:
    """What a run config may do with an API."""

    pos: Position
    stability: str
    takes_providers: bool
    is_routed: bool
    operations: frozenset[tuple[str, str]]


def compare_names(old: Side, new: Side, areas: frozenset[str], sink: Sink) -> None:
    """Report names that run configs may hold on the old side and not on the new one."""
    if not (old.spec.config and new.spec.config):
        return
    review = _Names(old, new, {**_takers(old.spec.config), **_takers(new.spec.config)}, sink)
    if "openapi" in areas:
        review.apis()
        review.operations()
    if "telemetry" in areas:
        review.categories()


def _takers(config: Map) -> dict[tuple[str, str], None]:
    """The places of a run config that take names: of which kind, and the path."""
    schemas = config.map("components").map("schemas")
    found: dict[tuple[str, str], None] = {}

    def visit(schema: Map, path: str, inside: tuple[str, ...]) -> None:
        if not schema:
            return
        name = schema.text("$ref").rpartition("/")[2]
        if name and name not in inside:
            visit(schemas.map(name), path, (*inside, name))
        for kind in schema.seq("x-names"):
            # of a map it speaks of the keys
            found[str(kind), f"{path}.*" if "additionalProperties" in schema else path] = None
        for key, value in schema.map("properties").items():
            visit(as_map(value), f"{path}.{key}", inside)
        visit(schema.map("items"), f"{path}[*]", inside)
        visit(schema.map("additionalProperties"), f"{path}.*", inside)
        for keyword in ("allOf", "anyOf", "oneOf"):
            for one in schema.seq(keyword):
                visit(as_map(one), path, inside)

    visit(schemas.map(config.text("root")), "config", ())
    return found


@dataclass
class _Names:
    old: Side
    new: Side
    takers: dict[tuple[str, str], None]
    sink: Sink

    def report(
        self, kind: str, text: str, old: Position, new: Position | None, stability: str, rule: str = ""
    ) -> None:
        """A finding at every place that takes names of this kind."""
        for taken, path in self.takers:
            if taken == kind:
                self.sink.add(rule or "config-name-removed", CONFIG, path, text, old, new, stability)

    def apis(self) -> None:
        """Report APIs that went, and those that are provided otherwise."""
        before, after = _apis(self.old), _apis(self.new)
        for name, one in before.items():
            other = after.get(name)
            if other is None:
                heir = next((key for key in after if key not in before and _is_heir(one, after[key])), "")
                text = f"the API `{name}` is {f'called `{heir}`' if heir else 'gone'}"
                now = after[heir].pos if heir else None
                for kind in (API, PROVIDER_API) if one.takes_providers else (API,):
                    self.report(kind, text, one.pos, now, one.stability)
            elif one.takes_providers and not other.takes_providers:
                text = f"the API `{name}` has no providers any more"
                self.report(PROVIDER_API, text, one.pos, other.pos, one.stability)
            elif other.takes_providers and not one.takes_providers:
                text = f"the API `{name}`, which the server served itself, has providers now"
                self.report(API, text, one.pos, other.pos, one.stability, "config-provider-needed")
            elif one.is_routed and not other.is_routed and one.takes_providers:
                text = f"no resource says any more which provider of the API `{name}` a call goes to"
                self.report(PROVIDER_API, text, one.pos, other.pos, one.stability, "config-default-needed")

    def operations(self) -> None:
        """Report operations with another name, those that are no longer counted, and those that moved."""
        documents = (self.old.spec.openapi, self.new.spec.openapi)
        for one, other in pairs(*map(operations, documents)):
            if one is None or other is None:
                continue
            places = one.node.at("operationId"), other.node.at("operationId")
            if not _is_public(one) and one.identifier != other.identifier:
                text = f"the operation `{one.identifier}` is called `{other.identifier}`"
                self.report(OPERATION, text, *places, one.stability)
            elif not _is_public(one) and _is_public(other):
                text = f"the operation `{one.identifier}` is public, and public operations are never counted"
                places = one.node.at("operationId"), other.node.at("x-public")
                self.report(OPERATION, text, *places, one.stability)
            was, now = _home(one), _home(other)
            if was != now and was in self.new.spec.apis:
                text = f"`{one.identifier}` moved from the API `{was}` to `{now}`"
                self.sink.add("operation-api-changed", one.subject(), "", text, one.pos, other.pos)

    def categories(self) -> None:
        """Report categories of the log that went."""
        old, new = (table_of(side, "telemetry").map("logs") for side in (self.old, self.new))
        for name in old.map("categories"):
            if name not in new.map("categories"):
                text = f"the log category `{name}` is gone"
                self.report(
                    LOG_CATEGORY, text, old.map("categories").at(name), new.at("categories"), "stable"
                )


def _apis(side: Side) -> dict[str, _Api]:
    every = operations(side.spec.openapi)
    resources = list(_resources(side))
    found: dict[str, _Api] = {}
    for stem, file in side.spec.apis.items():
        if side.only.startswith("openapi/") and side.only != f"openapi/{stem}.yaml":
            continue
        own = [one for one in every if _home(one) == stem]
        stabilities = {one.stability for one in own}
        head = file.map("x-api")
        name = head.text("name", stem)
        routing = [one for one in resources if one.text("routes") == name]
        found[name] = _Api(
            head.at("name"),
            # as firm as the firmest of its operations
            next((one for one in ("stable", "deprecated", "experimental") if one in stabilities), "stable"),
            any(one.node.map("x-serve").text("mode") in PROVIDER_MODES for one in own)
            or any("discover" in one for one in routing),
            bool(routing),
            frozenset(one.key for one in own),
        )
    return found


def _is_heir(old: _Api, new: _Api) -> bool:
    """Whether an API goes on under another name."""
    return old.pos.file == new.pos.file or bool(old.operations & new.operations)


def _resources(side: Side) -> Iterator[Map]:
    table = side.spec.resources.map("resources")
    return (table.map(name) for name in table)


def _is_public(operation: Operation) -> bool:
    return operation.node.get("x-public") is True


def _home(operation: Operation) -> str:
    """The name of the file that an operation stands in, which is that of its API."""
    return PurePosixPath(operation.pos.file).stem
