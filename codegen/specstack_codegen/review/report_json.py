"""A review for programs."""

from __future__ import annotations

import json
from typing import Any

from specstack_codegen.review.findings import Finding
from specstack_codegen.review.report import Report
from specstack_codegen.source import NOWHERE, Position


def render(report: Report) -> str:
    """One JSON object: both sides, the verdict, and every finding with its places."""
    review = report.review
    document = {
        "old": review.old.label,
        "new": review.new.label,
        "fails": bool(report.counted),
        "tally": {level.word: count for level, count in review.tally().items()},
        "not_compared": list(review.skipped),
        "findings": [_finding(report, one) for one in review.findings],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _finding(report: Report, finding: Finding) -> dict[str, Any]:
    approval = finding.approval
    return {
        "rule": finding.rule,
        "class": finding.level.word,
        "counts": finding.counts(report.limit),
        "text": finding.text,
        "why": finding.why,
        "old": _position(finding.old),
        "new": _position(finding.new),
        "places": [
            {
                "kind": place.subject.kind,
                "where": place.subject.identifier,
                "label": place.subject.label.replace("  ", " "),
                "stability": place.subject.stability,
                "path": place.path,
                "excuse": place.excuse or None,
            }
            for place in finding.places
        ],
        "approval": {"reason": approval.reason, "expires": str(approval.expires)} if approval else None,
    }


def _position(position: Position | None) -> dict[str, Any] | None:
    if position is None or position == NOWHERE:
        return None
    return {"file": position.file, "line": position.line, "column": position.column}
