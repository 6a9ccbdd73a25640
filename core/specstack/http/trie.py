"""Finds the operations of a path: fixed paths in a dict, all others in a tree of segments."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from urllib.parse import unquote

from specstack.http.endpoint import Endpoint

_LONGEST_GUESS = 100


@dataclass(slots=True)
class Leaf:
    """What stands at one path: an endpoint for each method, one of which may take WebSockets."""

    names: tuple[str, ...]
    methods: dict[str, Endpoint] = field(default_factory=dict[str, Endpoint])
    socket: Endpoint | None = None


@dataclass(slots=True)
class _Node:
    fixed: "dict[str, _Node]" = field(default_factory=dict[str, "_Node"])
    param: "_Node | None" = None
    greedy: "_Node | None" = None
    leaf: Leaf | None = None
    envelopes: set[str] = field(default_factory=set[str])


class Trie:
    """The paths of all endpoints, aliases included.

    Fixed segments win over parameters, these over greedy ids. Raises `ValueError` when two operations
    claim one method of one path, or a path has a segment that is only partly a parameter.
    `fixed` holds the paths without parameters, for a caller in a hurry.
    """

    __slots__ = ("_paths", "_root", "fixed")

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._root = _Node()
        self.fixed: dict[str, Leaf] = {}
        self._paths: list[str] = []
        for endpoint in endpoints:
            for path in (endpoint.op.path, *endpoint.op.aliases):
                self._add(path, endpoint)
            self._paths.append(endpoint.op.path)

    def _add(self, path: str, endpoint: Endpoint) -> None:
        op = endpoint.op
        greedy = {param.name for param in op.params if param.greedy}
        node, names = self._root, list[str]()
        node.envelopes.add(op.envelope)
        for segment in path[1:].split("/"):
            if segment.startswith("{") and segment.endswith("}"):
                name = segment[1:-1]
                names.append(name)
                node = _param_child(node, name in greedy)
            elif "{" in segment:
                raise ValueError(f"{op.id}: {path} has a segment that is only partly a parameter")
            else:
                node = node.fixed.setdefault(segment, _Node())
            node.envelopes.add(op.envelope)
        leaf = node.leaf = node.leaf or Leaf(tuple(names))
        if op.method in leaf.methods:
            other = leaf.methods[op.method].op.id
            raise ValueError(f"{op.method} {path} belongs to both {other} and {op.id}")
        if leaf.names != tuple(names):
            raise ValueError(f"{op.id}: {path} is also another operation's, with other parameter names")
        leaf.methods[op.method] = endpoint
        if op.websocket is not None:
            leaf.socket = endpoint
        if not names:
            self.fixed[path] = leaf

    def find(self, path: str, raw_path: bytes | None) -> tuple[Leaf | None, dict[str, str]]:
        """The leaf of a path and the values of its parameters, each percent-decoded by itself.

        `path` is decoded, `raw_path` as it came; with the latter an escaped slash stays within its id.
        """
        leaf = self.fixed.get(path)
        if leaf is not None:
            return leaf, {}
        if raw_path is None or b"%" not in raw_path:
            segments = path[1:].split("/")
        else:
            raw = raw_path.partition(b"?")[0].decode("latin-1")
            segments = [unquote(part) for part in raw[1:].split("/")]
        for leaf, values in _matches(self._root, segments, 0, ()):
            return leaf, dict(zip(leaf.names, values, strict=True))
        return None, {}

    def close_to(self, path: str) -> list[str]:
        """Served paths that look like an unknown one, the most similar first."""
        return get_close_matches(path[:_LONGEST_GUESS], self._paths, 2, 0.75)

    def envelope_near(self, path: str) -> str | None:
        """The envelope of the API that an unknown path belongs to, as far as the known part tells."""
        node = self._root
        found = _only(node.envelopes)
        for segment in path[1:].split("/"):
            inner = node.fixed.get(segment) or node.param or node.greedy
            if inner is None:
                break
            node = inner
            found = _only(node.envelopes) or found
        return found


def _only(names: set[str]) -> str | None:
    return next(iter(names)) if len(names) == 1 else None


def _param_child(node: _Node, greedy: bool) -> _Node:
    if greedy:
        node.greedy = node.greedy or _Node()
        return node.greedy
    node.param = node.param or _Node()
    return node.param


def _matches(
    node: _Node, segments: list[str], index: int, values: tuple[str, ...]
) -> Iterator[tuple[Leaf, tuple[str, ...]]]:
    if index == len(segments):
        if node.leaf is not None:
            yield node.leaf, values
        return
    segment = segments[index]
    fixed = node.fixed.get(segment)
    if fixed is not None:
        yield from _matches(fixed, segments, index + 1, values)
    if node.param is not None and segment:
        yield from _matches(node.param, segments, index + 1, (*values, segment))
    if node.greedy is None:
        return
    # The shortest id comes first, so that a fixed suffix is found before it is taken for a part of the
    # id; the whole rest is the last resort.
    after = node.greedy
    branching = after.param is not None or after.greedy is not None
    for end in range(index + 1, len(segments) + 1):
        if end == len(segments) or branching or segments[end] in after.fixed:
            value = "/".join(segments[index:end])
            if value:
                yield from _matches(after, segments, end, (*values, value))
