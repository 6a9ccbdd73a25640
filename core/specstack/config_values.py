"""A run config after substitution: the same tree, positions kept, what is off left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from specstack.env import EnvError, Expansion, expand
from specstack.positions import Map, Path, Seq, line_of


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong in the run config: line, key path and a message that says what to do."""

    line: int
    path: Path
    message: str

    def render(self, file: str) -> str:
        """One line for a person, beginning with `file:line`."""
        key = shown_path(self.path)
        return f"{file}:{self.line}: {key + ': ' if key else ''}{self.message}"


@dataclass(slots=True)
class Substituted:
    """`root` is the tree without what is off; `dynamic` are the paths whose text came from references.

    `expansions` are what those references came to, also where they came to nothing.
    """

    root: Any = None
    dynamic: set[Path] = field(default_factory=set[Path])
    expansions: dict[Path, Expansion] = field(default_factory=dict[Path, Expansion])
    faults: list[Fault] = field(default_factory=list[Fault])

    def with_variable(self, fault: Fault) -> Fault:
        """The fault, with the variables that its value, or what holds it, came from."""
        above = (fault.path[:depth] for depth in range(len(fault.path), 0, -1))
        expansion = next((self.expansions[path] for path in above if path in self.expansions), None)
        if expansion is None or not expansion.given:
            return fault
        source = f"the value comes from {variables(expansion.given)}"
        return Fault(fault.line, fault.path, f"{fault.message}; {source}")


def variables(names: Sequence[str]) -> str:
    """`the variable A`, or `the variables A and B`."""
    return f"the variable{'s' if len(names) > 1 else ''} {' and '.join(names)}"


def shown_path(path: Path) -> str:
    """`providers.inference[0].config` for a path of keys and indices."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def substitute(document: Any, env: Mapping[str, str]) -> Substituted:
    """Expand every reference of the document.

    A value that is a reference and resolves to nothing counts as not written. A provider whose
    `provider_id` resolves to nothing is off: it is left out before its other keys are looked at. So
    is any other item of a list of which a key that ends in `_id` does, and a part of `server.auth` whose
    `type` does.
    """
    result = Substituted()
    result.root = _Walk(env, result).value(document, ())
    return result


class _Walk:
    def __init__(self, env: Mapping[str, str], result: Substituted) -> None:
        self._env = env
        self._result = result

    def value(self, node: Any, path: Path) -> Any:
        if isinstance(node, Map):
            return self._mapping(node, path)
        if isinstance(node, Seq):
            return self._sequence(node, path)
        return node

    def _mapping(self, node: Map, path: Path) -> Map:
        found = Map(node.line)
        for key, child in node.items():
            here = (*path, key)
            line = node.lines[key]
            if (
                isinstance(child, Map)
                and path[:2] == ("server", "auth")
                and self._comes_to_nothing(child.get("type"))
            ):
                continue
            if not isinstance(child, str):
                found.put(key, self.value(child, here), line)
                continue
            text = self._text(child, here, line)
            if text is not None:
                found.put(key, text, line)
        return found

    def _sequence(self, node: Seq, path: Path) -> Seq:
        found = Seq(node.line)
        for index, child in enumerate(node):
            if isinstance(child, Map) and self._is_off(child, path):
                continue
            # Paths count what is left, because that is what gets validated.
            here = (*path, len(found))
            value = (
                self._text(child, here, node.lines[index])
                if isinstance(child, str)
                else self.value(child, here)
            )
            if value is not None or child is None:
                found.add(value, node.lines[index])
        return found

    def _text(self, text: str, path: Path, line: int) -> str | None:
        """The expanded text; None when it came to nothing or failed (which is noted)."""
        try:
            expansion = expand(text, self._env)
        except EnvError as error:
            self._result.faults.append(Fault(line, path, str(error)))
            return None
        if not expansion.dynamic:
            return expansion.text
        self._result.dynamic.add(path)
        self._result.expansions[path] = expansion
        return expansion.text or None

    def _is_off(self, item: Map, path: Path) -> bool:
        if path[:1] == ("providers",) and len(path) == 2:
            return self._comes_to_nothing(item.get("provider_id"))
        return any(key.endswith("_id") and self._comes_to_nothing(value) for key, value in item.items())

    def _comes_to_nothing(self, value: Any) -> bool:
        if not isinstance(value, str):
            return False
        try:
            expansion: Expansion = expand(value, self._env)
        except EnvError:
            return False
        return not expansion.text


def place(root: Any, path: Path, message: str) -> Fault:
    """A fault at a path of the substituted tree."""
    return Fault(line_of(root, path), path, message)
