"""Writing YAML that `positions` reads back as it was, and readers of older YAML as well."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

import yaml

from specstack.positions import scalar

_PLAIN = re.compile(r"[A-Za-z0-9_$/~.+(][^#:]*(?:(?::(?=[^ ])|(?<=[^ ])#)[^#:]*)*", re.ASCII)
_RESOLVER: Any = yaml.resolver.Resolver()
_TEXT = "tag:yaml.org,2002:str"


def yaml_scalar(value: Any) -> str:
    """A scalar, empty list or empty mapping on one line. Text has quotes only where it needs them."""
    if isinstance(value, str) and _is_plain(value):
        return value
    return "".join(
        char if char.isprintable() else _escaped(char) for char in json.dumps(value, ensure_ascii=False)
    )


def yaml_lines(value: Any, indent: str = "") -> Iterator[str]:
    """A mapping or list in block form, one line each."""
    if isinstance(value, Mapping) and value:
        for key, child in cast(Mapping[str, Any], value).items():
            yield from _entry(f"{indent}{yaml_scalar(key)}:", child, indent + "  ")
    elif isinstance(value, list) and value:
        for child in cast(list[Any], value):
            below = list(yaml_lines(child, indent + "  "))
            if isinstance(child, Mapping):
                below[0] = f"{indent}- {below[0].lstrip()}"
                yield from below
            else:
                yield from _entry(f"{indent}-", child, indent + "  ")
    else:
        yield indent + yaml_scalar(value)


def _entry(head: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping | list) and value:
        yield head
        yield from yaml_lines(value, indent)
    else:
        yield f"{head} {yaml_scalar(value)}"


def _escaped(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


def _is_plain(text: str) -> bool:
    return (
        text.isprintable()
        and text == text.strip()
        and isinstance(scalar(text), str)
        and _RESOLVER.resolve(yaml.ScalarNode, text, (True, False)) == _TEXT
        and _PLAIN.fullmatch(text) is not None
        and not text.endswith(":")
    )
