"""YAML with positions: every mapping, key and list item remembers its file, line and column.

The loader reads the YAML that JSON can express and nothing more. Keys are always strings (`200:` is the key
"200"), only `true` and `false` are booleans (`on`, `yes`, `no` stay strings), dates stay strings, and
anchors, aliases, merge keys and tags are refused: a spec file says what it says where it says it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import yaml


class Position(NamedTuple):
    """A place in a spec file, named relative to the spec folder's parent; lines and columns start at 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


NOWHERE = Position("<generated>", 1, 1)


class Map(dict[str, Any]):
    """A YAML mapping that knows where it and each of its keys begin."""

    __slots__ = ("key_pos", "pos")

    def __init__(self, values: dict[str, Any] | None = None, pos: Position = NOWHERE) -> None:
        super().__init__(values or {})
        self.pos = pos
        self.key_pos: dict[str, Position] = {}

    def at(self, key: str) -> Position:
        """Where `key` stands, or where the mapping begins when it has no such key."""
        return self.key_pos.get(key, self.pos)

    def map(self, key: str) -> Map:
        """The mapping under `key`; an empty one, at the key's position, when it is absent or no mapping."""
        value = self.get(key)
        return value if isinstance(value, Map) else Map(pos=self.at(key))

    def seq(self, key: str) -> Seq:
        """The list under `key`; an empty one, at the key's position, when it is absent or no list."""
        value = self.get(key)
        return value if isinstance(value, Seq) else Seq(pos=self.at(key))

    def text(self, key: str, default: str = "") -> str:
        """The string under `key`; `default` when it is absent or something else."""
        value = self.get(key)
        return value if isinstance(value, str) else default

    def put(self, key: str, value: Any, pos: Position) -> None:
        """Set `key` and say where it comes from."""
        self[key] = value
        self.key_pos[key] = pos


class Seq(list[Any]):
    """A YAML list that knows where it and each of its items begin."""

    __slots__ = ("item_pos", "pos")

    def __init__(self, values: Iterable[Any] = (), pos: Position = NOWHERE) -> None:
        super().__init__(values)
        self.pos = pos
        self.item_pos: list[Position] = []

    def at(self, index: int) -> Position:
        """Where item `index` begins, or where the list begins when it has no such item."""
        return self.item_pos[index] if index < len(self.item_pos) else self.pos


@dataclass(frozen=True, slots=True)
class SpecError:
    """One fault in the spec: the rule it breaks, where, what is wrong and how to mend it."""

    rule: str
    pos: Position
    message: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.pos}: {self.rule}: {self.message}"
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class SpecErrors(Exception):
    """All faults found in a spec, in file order."""

    def __init__(self, errors: Iterable[SpecError]) -> None:
        self.errors = sorted(set(errors), key=lambda e: (e.pos, e.rule, e.message))
        super().__init__("\n".join(str(e) for e in self.errors))

    def __len__(self) -> int:
        return len(self.errors)


class _Loader(yaml.CSafeLoader):
    """libyaml's parser with the scalar types of JSON (the YAML 1.2 core schema)."""


_Loader.yaml_implicit_resolvers = {}

_TAG = "tag:yaml.org,2002:"
_FLOAT = r"^[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$"
for _name, _pattern, _first in (
    ("bool", r"^(?:true|false)$", ["t", "f"]),
    ("null", r"^(?:null|~|)$", ["n", "~", ""]),
    ("int", r"^(?:[-+]?[0-9]+|0x[0-9a-fA-F]+)$", list("-+0123456789")),
    ("float", _FLOAT, list("-+0123456789.")),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(_pattern), _first)


@dataclass
class _Reader:
    """Turns libyaml's node graph into Map and Seq, and collects the faults on the way."""

    file: str
    faults: list[SpecError] = field(default_factory=list[SpecError])
    seen: set[int] = field(default_factory=set[int])

    def pos(self, mark: Any) -> Position:
        return Position(self.file, mark.line + 1, mark.column + 1)

    def refuse(self, rule: str, mark: Any, message: str, hint: str) -> None:
        self.faults.append(SpecError(rule, self.pos(mark), message, hint))

    def value(self, node: Any) -> Any:
        if id(node) in self.seen:
            self.refuse(
                "plain-yaml",
                node.start_mark,
                "the value anchored here is used again by an alias (*name)",
                "write the value out, or make it a component and refer to it by $ref",
            )
            return None
        self.seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        if node.tag not in (f"{_TAG}map", f"{_TAG}seq"):
            self.refuse("plain-yaml", node.start_mark, f"the tag {node.tag!r} is not read", "remove the tag")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node)
        return self.sequence(cast("yaml.SequenceNode", node))

    def mapping(self, node: yaml.MappingNode) -> Map:
        result = Map(pos=self.pos(node.start_mark))
        for key_node, value_node in cast("list[tuple[Any, Any]]", node.value):
            mark = key_node.start_mark
            if not isinstance(key_node, yaml.ScalarNode):
                self.refuse("plain-yaml", mark, "a key is a list or a mapping", "use a plain word as the key")
                continue
            key = str(key_node.value)
            if key == "<<":
                hint = "write the merged keys out, or make a component and refer to it by $ref"
                self.refuse("plain-yaml", mark, "merge keys (<<) are not read", hint)
                continue
            if key in result:
                first = result.key_pos[key]
                hint = f"keep one of the two; the first stands at {first}"
                self.refuse("duplicate-key", mark, f"the key {key!r} stands twice in one mapping", hint)
                continue
            result.put(key, self.value(value_node), self.pos(mark))
        return result

    def sequence(self, node: yaml.SequenceNode) -> Seq:
        result = Seq(pos=self.pos(node.start_mark))
        for item in cast("list[Any]", node.value):
            result.append(self.value(item))
            result.item_pos.append(self.pos(item.start_mark))
        return result

    def scalar(self, node: yaml.ScalarNode) -> Any:
        text, tag = str(node.value), str(node.tag).removeprefix(_TAG)
        if tag == "str":
            return text
        if tag == "bool":
            return text == "true"
        if tag == "null":
            return None
        if tag == "int":
            return int(text, 16) if text.startswith("0x") else int(text)
        if tag == "float":
            return float(text)
        self.refuse("plain-yaml", node.start_mark, f"the tag {node.tag!r} is not read", "remove the tag")
        return text


def read_yaml(path: Path, root: Path) -> tuple[Map, list[SpecError]]:
    """Read one YAML file whose top is a mapping.

    Positions name the file relative to the parent of `root`. Returns what could be read and the faults found;
    the mapping is empty when nothing could be read.
    """
    file = display_path(path, root)
    reader = _Reader(file)
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return Map(pos=Position(file, 1, 1)), [_unreadable(file, error)]
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        return Map(pos=Position(file, 1, 1)), [_syntax_error(file, error)]
    except yaml.YAMLError as error:
        hint = "save the file as UTF-8 text without control characters"
        return Map(pos=Position(file, 1, 1)), [
            SpecError("yaml-syntax", Position(file, 1, 1), str(error), hint)
        ]
    finally:
        loader.dispose()
    value = Map(pos=Position(file, 1, 1)) if node is None else reader.value(node)
    if isinstance(value, Map):
        return value, reader.faults
    message = "the top of a spec file must be a mapping"
    reader.faults.append(
        SpecError("yaml-syntax", Position(file, 1, 1), message, "begin the file with `key: value`")
    )
    return Map(pos=Position(file, 1, 1)), reader.faults


def load_yaml(path: Path, root: Path) -> Map:
    """Read one YAML file whose top is a mapping; raises SpecErrors with every fault of the file."""
    value, faults = read_yaml(path, root)
    if faults:
        raise SpecErrors(faults)
    return value


def display_path(path: Path, root: Path) -> str:
    """How messages name a spec file: relative to the parent of the spec folder, with forward slashes."""
    try:
        return path.resolve().relative_to(root.resolve().parent).as_posix()
    except ValueError:
        return path.as_posix()


def plain(value: Any) -> Any:
    """The same data as ordinary dicts and lists."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [plain(item) for item in cast("list[Any]", value)]
    return value


def positionless(value: Any) -> Any:
    """The inverse of `plain`: copies of dicts and lists as Map and Seq, at no particular place."""
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value)
        return Map({key: positionless(item) for key, item in items.items()})
    if isinstance(value, list):
        return Seq(positionless(item) for item in cast("list[Any]", value))
    return value


def _unreadable(file: str, error: Exception) -> SpecError:
    hint = "check that the file exists, may be read and is UTF-8 text"
    return SpecError("yaml-syntax", Position(file, 1, 1), f"the file cannot be read: {error}", hint)


def _syntax_error(file: str, error: yaml.MarkedYAMLError) -> SpecError:
    mark = error.problem_mark or error.context_mark
    pos = Position(file, mark.line + 1, mark.column + 1) if mark else Position(file, 1, 1)
    message = " ".join(part for part in (error.context, error.problem) if part)
    return SpecError(
        "yaml-syntax", pos, message, "check indentation, quotes and colons on this line and the one above"
    )
