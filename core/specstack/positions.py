"""YAML with the line of every key and item kept, so that a config error can point at its place.

Scalars follow YAML 1.2's core rules: ``yes``, ``on``, dates and ``12:30`` are strings, and so is a
number with leading zeros. Duplicate keys are an error.
"""

import re
from collections.abc import Callable
from typing import Any, cast

import yaml


class Map(dict[str, Any]):
    """A YAML mapping; ``lines[key]`` is the 1-based line of the key, ``line`` that of the mapping."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: dict[str, int] = {}

    def put(self, key: str, value: Any, line: int) -> None:
        """Set ``key`` and remember where it stands."""
        self[key] = value
        self.lines[key] = line


class Seq(list[Any]):
    """A YAML sequence; ``lines[i]`` is the 1-based line of item i."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line
        self.lines: list[int] = []

    def add(self, value: Any, line: int) -> None:
        """Append ``value`` and remember where it stands."""
        self.append(value)
        self.lines.append(line)


class YamlError(ValueError):
    """Broken YAML; ``line`` is 1-based, the message says what is wrong."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


Path = tuple[str | int, ...]

DEPTH = 100
"""How deep mappings and lists may be nested in each other."""
MOST = 200_000
"""Values that a document may come to, those behind aliases counted each time."""


def load(text: str) -> Any:
    """Parse one YAML document into Map, Seq and scalars. Raises YamlError."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        return None if node is None else _value(loader, node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = min(mark.line + 1, len(text.splitlines()) or 1) if mark else 1
        raise YamlError(error.problem or error.context or "broken YAML", line) from None
    except yaml.reader.ReaderError as error:
        raise YamlError(f"character {error.character!r} is not allowed in YAML", 1) from None
    except RecursionError:
        raise YamlError("it is nested too deeply", 1) from None
    finally:
        loader.dispose()


def line_of(root: Any, path: Path) -> int:
    """The line of the deepest part of ``path`` that exists below ``root``."""
    line = int(getattr(root, "line", 1))
    for step in path:
        if isinstance(root, Map) and isinstance(step, str) and step in root:
            line = root.lines.get(step, line)
            root = root[step]
        elif isinstance(root, Seq) and isinstance(step, int) and step < len(root):
            line = root.lines[step]
            root = root[step]
        else:
            break
    return line


def placed(value: Any, line: int, depth: int = 0) -> Any:
    """JSON's mappings and lists as ours, all of it in one line. Raises RecursionError below `DEPTH`."""
    if depth > DEPTH:
        raise RecursionError
    if isinstance(value, dict):
        found = Map(line)
        for key, one in cast("dict[str, Any]", value).items():
            found.put(key, placed(one, line, depth + 1), line)
        return found
    if isinstance(value, list):
        items = Seq(line)
        for one in cast("list[Any]", value):
            items.add(placed(one, line, depth + 1), line)
        return items
    return value


def scalar(text: str) -> Any:
    """What ``text`` would be as a plain YAML scalar: int, float, bool, None or the string itself."""
    for tag, pattern, _ in _RULES:
        if pattern.match(text):
            try:
                return _CONVERT[tag](text)
            except ValueError:
                # Python reads no number of thousands of digits.
                return text
    return text


_RULES: list[tuple[str, re.Pattern[str], str]] = [
    ("null", re.compile(r"^(?:~|null|Null|NULL|)$"), "~nN\0"),
    ("bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF"),
    ("int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), "-+0123456789"),
    (
        "float",
        re.compile(r"^[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"),
        "-+.0123456789",
    ),
    ("merge", re.compile(r"^<<$"), "<"),
]
_CONVERT: dict[str, Callable[[str], Any]] = {
    "null": lambda text: None,
    "bool": lambda text: text.lower() == "true",
    "int": int,
    "float": float,
    "merge": str,
}


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """The rules in the loader's form: by first character, "" for an empty scalar."""
    found: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for tag, pattern, first in _RULES:
        for char in first:
            found.setdefault("" if char == "\0" else char, []).append((f"tag:yaml.org,2002:{tag}", pattern))
    return found


class _Loader(yaml.CSafeLoader):
    yaml_implicit_resolvers = _resolvers()
    left = MOST

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge what `<<` names. Each key stays once, so that merges of merges do not multiply."""
        super().flatten_mapping(node)
        node.value = list({str(key.value): (key, child) for key, child in node.value}.values())


def _value(loader: _Loader, node: yaml.Node, above: tuple[yaml.Node, ...]) -> Any:
    if any(node is outer for outer in above):
        raise YamlError("an alias refers to the mapping or list that holds it", node.start_mark.line + 1)
    loader.left -= 1
    if loader.left < 0:
        message = f"with its aliases it comes to more than {MOST} values; write less, or use fewer aliases"
        raise YamlError(message, node.start_mark.line + 1)
    if len(above) > DEPTH:
        raise YamlError("it is nested too deeply", node.start_mark.line + 1)
    above = (*above, node)
    if isinstance(node, yaml.MappingNode):
        return _mapping(loader, node, above)
    if isinstance(node, yaml.SequenceNode):
        items = Seq(node.start_mark.line + 1)
        for child in node.value:
            items.add(_value(loader, child, above), child.start_mark.line + 1)
        return items
    tag = node.tag.removeprefix("tag:yaml.org,2002:")
    convert = _CONVERT.get(tag, str)
    if tag not in _CONVERT and tag != "str":
        raise YamlError(f"the tag {node.tag} is not supported", node.start_mark.line + 1)
    try:
        return convert(cast(str, node.value))
    except ValueError:
        raise YamlError(f"'{str(node.value)[:40]}' is no {tag}", node.start_mark.line + 1) from None


def _mapping(loader: _Loader, node: yaml.MappingNode, above: tuple[yaml.Node, ...]) -> Map:
    seen: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise YamlError("a key must be a plain string", line)
        if key.value in seen and key.value != "<<":
            raise YamlError(f"the key '{key.value}' stands twice, first in line {seen[key.value]}", line)
        seen[key.value] = line
    loader.flatten_mapping(node)
    found = Map(node.start_mark.line + 1)
    for key, child in node.value:
        found.put(str(key.value), _value(loader, child, above), key.start_mark.line + 1)
    return found
