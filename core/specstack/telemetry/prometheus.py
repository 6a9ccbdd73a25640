"""Metrics in Prometheus' text exposition format, version 0.0.4."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from specstack.telemetry.meters import Family, Sample

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_TYPES = {"counter": "counter", "updown": "gauge", "gauge": "gauge", "histogram": "histogram"}


def exposition(families: Iterable[Family], about: Mapping[str, str]) -> bytes:
    """The page. `about` are the attributes of the server itself, told once, in `target_info`."""
    lines = [
        "# HELP target_info What this server is.",
        "# TYPE target_info gauge",
        f"target_info{_labels(about, {})} 1",
    ]
    for family in families:
        name = family.spec.prometheus
        lines.append(f"# HELP {name} {_help(family.spec.description)}")
        lines.append(f"# TYPE {name} {_TYPES[family.spec.kind]}")
        for sample in family.samples:
            if sample.counts:
                lines.extend(_histogram(name, family.spec.buckets, sample))
            else:
                lines.append(f"{name}{_labels(sample.attributes, {})} {_number(sample.value)}")
    return ("\n".join(lines) + "\n").encode()


def _histogram(name: str, bounds: tuple[float, ...], sample: Sample) -> Iterator[str]:
    totals = list(accumulate(sample.counts))
    for bound, total in zip((*map(_number, bounds), "+Inf"), totals, strict=True):
        yield f"{name}_bucket{_labels(sample.attributes, {'le': bound})} {total}"
    yield f"{name}_sum{_labels(sample.attributes, {})} {_number(sample.value)}"
    yield f"{name}_count{_labels(sample.attributes, {})} {totals[-1]}"


def _labels(attributes: Mapping[str, str | int], more: Mapping[str, str]) -> str:
    pairs = [f'{name.replace(".", "_")}="{_escaped(str(value))}"' for name, value in attributes.items()]
    pairs.extend(f'{name}="{value}"' for name, value in more.items())
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
