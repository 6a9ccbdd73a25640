"""Comparing two states of a whole spec."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from specstack_codegen.review.approvals import Approval, apply
from specstack_codegen.review.client import (
    compare_components,
    compare_document,
    compare_envelopes,
    compare_words,
)
from specstack_codegen.review.comparison import Documents, Pair
from specstack_codegen.review.findings import Finding, Sink
from specstack_codegen.review.kinds import Level
from specstack_codegen.review.names import compare_names
from specstack_codegen.review.operations import OperationReview
from specstack_codegen.review.settings import compare_config, compare_groups, compare_providers
from specstack_codegen.review.sides import AREAS, Side, table_of
from specstack_codegen.review.tables import (
    compare_errors,
    compare_resources,
    compare_services,
    compare_storage,
)
from specstack_codegen.review.telemetry import compare_telemetry
from specstack_codegen.source import Map


@dataclass(frozen=True)
class Review:
    """What changed from `old` to `new`. `skipped` are parts that only one side has; nobody compared them."""

    old: Side
    new: Side
    findings: list[Finding]
    skipped: tuple[str, ...]

    def counted(self, limit: Level | None) -> list[Finding]:
        """The findings of the class `limit` or a worse one that nothing excuses."""
        return [finding for finding in self.findings if finding.counts(limit)]

    def tally(self) -> dict[Level, int]:
        """How many findings of each class there are, worst first; excused ones are not among them."""
        counts = Counter(one.level for one in self.findings if not one.excuse and one.approval is None)
        return {level: counts[level] for level in sorted(Level, reverse=True) if counts[level]}


def review(
    old: Side, new: Side, approvals: Iterable[Approval] = (), today: datetime.date | None = None
) -> Review:
    """Everything that changed between two sides. Approvals that ended before `today` excuse nothing."""
    sink = Sink()
    shared = old.areas & new.areas
    documents = Documents(old.spec.openapi, new.spec.openapi, sink)
    if "openapi" in shared:
        _openapi(old, new, documents, sink)
    spec = Pair(_tables(old), _tables(new))
    if "providers" in shared:
        compare_providers(old.spec.providers, new.spec.providers, sink)
        if not (old.only.startswith("providers/") or new.only.startswith("providers/")):
            groups = Pair(old.spec.settings, new.spec.settings).map("settings")
            compare_groups(groups, old.spec.providers, new.spec.providers, sink)
    if "config" in shared:
        compare_config(spec.map("config"), spec.map("resources"), spec.map("openapi"), sink)
    compare_names(old, new, shared, sink)
    compare = {
        "storage": compare_storage,
        "errors": compare_errors,
        "resources": compare_resources,
        "services": compare_services,
        "telemetry": compare_telemetry,
    }
    for area, run in compare.items():
        if area in shared:
            run(spec.map(area), sink)
    day = today or datetime.datetime.now(datetime.UTC).date()
    findings, about = apply(sink.findings(), approvals, day)
    skipped = tuple(area for area in AREAS if area in old.areas ^ new.areas)
    return Review(old, new, [*findings, *about], skipped)


def _openapi(old: Side, new: Side, documents: Documents, sink: Sink) -> None:
    public: frozenset[str] | None = None
    if old.published or new.published:
        from specstack_codegen.lint_rules.home import public_extensions

        public = public_extensions()
    OperationReview(documents, sink, public).run()
    compare_components(documents, sink)
    compare_document(documents, sink)
    if public is None:
        compare_envelopes(old.spec.apis, new.spec.apis, sink)
    compare_words(documents, sink)


def _tables(side: Side) -> Map:
    """The files beside the OpenAPI documents and providers."""
    spec = side.spec
    return Map(
        {
            "openapi": spec.openapi,
            "config": spec.config,
            "storage": table_of(side, "storage"),
            "telemetry": table_of(side, "telemetry"),
            "errors": spec.errors,
            "resources": spec.resources,
            "services": spec.services,
        }
    )
