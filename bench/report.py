"""What a bench run says: a table in Markdown and a picture in SVG."""

import statistics
from collections.abc import Mapping
from html import escape
from typing import Any

_COLOURS = {"specstack": "#2563eb", "raw ASGI": "#9ca3af", "nginx": "#16a34a"}
_OTHER = "#d97706"


def _median(results: Any, key: str) -> float | None:
    if not isinstance(results, list):
        return None
    values = [one[key] for one in results if one.get(key) is not None]
    return statistics.median(values) if values else None


def _shown(value: float | None, digits: int = 2) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.{digits}f}"


def table(
    runs: Mapping[str, Mapping[str, Any]],
    units: Mapping[str, str],
    ratios: Mapping[str, Mapping[str, float]],
    facts: Mapping[str, Any],
) -> str:
    """Medians of the rounds, one table per scenario, and start and memory."""
    lines = [
        f"Python {facts['python']}, load by {facts['load']}, {facts['when']}. Medians of the rounds.",
        "",
    ]
    for name, by_target in runs.items():
        unit = units[name]
        first = "first" if unit == "event" else "whole"
        what = "ms to first byte" if unit == "event" else "ms"
        lines += [f"### {name}", ""]
        lines += [f"| | CPU us/{unit} | x raw ASGI | {unit}s/s | p50 {what} | p99 {what} | errors |"]
        lines += ["|---|--:|--:|--:|--:|--:|--:|"]
        for target, results in by_target.items():
            if not isinstance(results, list):
                lines.append(f"| {target} | {results} | | | | | |")
                continue
            rate = _median(results, "events_per_s" if unit == "event" else "req_per_s")
            cells = [
                _shown(_median(results, "cpu_us"), 1),
                _shown(ratios[name].get(target)),
                _shown(rate, 0),
                _shown(_median(results, f"{first}_p50_ms"), 3),
                _shown(_median(results, f"{first}_p99_ms"), 3),
                str(sum(one["errors"] for one in results)),
            ]
            lines.append(f"| {target} | " + " | ".join(cells) + " |")
        lines.append("")
    lines += ["### Start and memory", "", "| | start s | MB idle | MB after |", "|---|--:|--:|--:|"]
    for target, (idle, after) in facts["memory"].items():
        start = _shown(facts["start"].get(target))
        lines.append(f"| {target} | {start} | {idle:.0f} | {after:.0f} |")
    return "\n".join([*lines, ""])


def picture(runs: Mapping[str, Mapping[str, Any]], units: Mapping[str, str]) -> str:
    """Processor time per request or event, a group of bars per scenario, each group by its own scale."""
    width, left, bar, gap = 760, 150, 16, 34
    parts: list[str] = []
    y = 40
    for name, by_target in runs.items():
        costs = {target: cost for target, one in by_target.items() if (cost := _median(one, "cpu_us"))}
        costs.pop("direct", None)
        if not costs:
            continue
        parts.append(
            f'<text x="10" y="{y}" font-weight="bold">{escape(name)}, us CPU per {units[name]}</text>'
        )
        y += 8
        scale = (width - left - 90) / max(costs.values())
        for target, cost in costs.items():
            colour = _COLOURS.get(target, _OTHER)
            parts.append(f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{escape(target)}</text>')
            parts.append(
                f'<rect x="{left}" y="{y}" width="{cost * scale:.1f}" height="{bar}" fill="{colour}"/>'
            )
            parts.append(f'<text x="{left + cost * scale + 6:.1f}" y="{y + 12}">{cost:.1f}</text>')
            y += bar + 4
        y += gap
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" font-family="sans-serif"'
    return (
        f'{head} font-size="12"><rect width="100%" height="100%" fill="white"/>' + "".join(parts) + "</svg>\n"
    )
