"""`telemetry.py`: log categories, metrics and spans, as the runtime reads them."""

from __future__ import annotations

from specstack_codegen.emit import Files
from specstack_codegen.ir import Ir
from specstack_codegen.ir_telemetry import LogCategory, Metric, Span
from specstack_codegen.render import Imports, header, render

DESCRIPTORS = "specstack.descriptors"


def emit(ir: Ir) -> Files:
    """`telemetry.py`, for a spec that has a telemetry.yaml."""
    if ir.telemetry is None:
        return {}
    imports = Imports()
    imports.add(DESCRIPTORS, "LogCategory", "MetricSpec", "SpanSpec", "TelemetrySpec")
    text = render(
        "server/telemetry.py.jinja",
        header=header(ir, "telemetry.yaml"),
        doc="What the server tells of itself: log categories, metrics and spans.",
        imports=imports.lines,
        categories=[(one.name, _category(one)) for one in ir.telemetry.categories],
        metrics=[(one.key, _metric(one)) for one in ir.telemetry.metrics],
        spans=[(one.key, _span(one)) for one in ir.telemetry.spans],
    )
    return {f"{ir.server_package}/telemetry.py": text}


def _category(one: LogCategory) -> list[str]:
    found = [
        f"{key}={value!r}" for key, value in (("loggers", one.loggers), ("libraries", one.libraries)) if value
    ]
    return [*found, f"default={one.default!r}"] if one.default else found


def _metric(one: Metric) -> list[str]:
    found = [
        f"name={one.name!r}",
        f"prometheus={one.prometheus!r}",
        f"kind={one.kind!r}",
        f"unit={one.unit!r}",
        f"description={one.description!r}",
    ]
    if one.attributes:
        found.append(f"attributes={dict(one.attributes)!r}")
    if one.buckets:
        found.append(f"buckets={one.buckets!r}")
    return found


def _span(one: Span) -> list[str]:
    return [f"kind={one.kind!r}", f"names={one.names!r}", f"attributes={dict(one.attributes)!r}"]
