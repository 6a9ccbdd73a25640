"""From a pydantic ValidationError to one sentence and the name of the field at fault."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

_NO_BRANCH = frozenset({"union_tag_invalid", "union_tag_not_found"})
_KEY = "[key]"
"""Stands behind the key in the location of what is wrong with the key itself."""
_WRONG_BRANCH = _NO_BRANCH | {"literal_error", "enum"}


class _Fault:
    """One pydantic error whose location is split into real steps and labels of union branches."""

    __slots__ = ("detail", "loc", "steps")

    def __init__(self, detail: ErrorDetails, data: Any) -> None:
        self.detail = detail
        self.loc = detail["loc"]
        self.steps = _real_steps(detail, data)

    @property
    def tag(self) -> str | None:
        """The property that was to choose a union's branch, where that is what is wrong."""
        if self.detail["type"] not in _NO_BRANCH:
            return None
        # A property comes in quotes, a function (`tag_of` calls it as its property) with parentheses.
        named = str(self.detail.get("ctx", {}).get("discriminator", ""))
        return named.strip("'").removesuffix("()") or None

    @property
    def of_key(self) -> bool:
        """Whether it is the name of a map's entry that is wrong, not what stands there."""
        return len(self.loc) > 1 and self.loc[-1] == _KEY and self.detail["input"] == self.loc[-2]

    @property
    def path(self) -> str:
        """The field as clients write it: `messages[0].content`. Of a wrong key it is the map."""
        steps = self.steps[:-1] if self.of_key else self.steps
        parts = [self.loc[index] for index in steps]
        if self.tag:
            parts.append(self.tag)
        text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
        return text.removeprefix(".")

    def label_after(self, start: int) -> int | None:
        """Position of the first union label at or after `start`."""
        return next((index for index in range(start, len(self.loc)) if index not in self.steps), None)


def json_fault(exc: ValidationError) -> str | None:
    """What is wrong with the JSON itself; None when it is JSON, but not what was asked for."""
    first = exc.errors(include_url=False, include_input=False)[0]
    return str(first.get("ctx", {}).get("error")) if first["type"] == "json_invalid" else None


def describe(exc: ValidationError, data: Any) -> tuple[str, str | None]:
    """A message and the field it is about (None: the whole value).

    `data` is the value that was validated, as plain Python. Of the errors of a union's branches
    the ones of the branch that fits best are told; the rest is noise to a client.
    """
    details = exc.errors(include_url=False)
    group = _pick([_Fault(detail, data) for detail in details], 0)
    fault = group[0]
    path = fault.path or None
    kind = fault.detail["type"]
    if kind == "missing" or (kind == "union_tag_not_found" and fault.tag):
        return f"Missing required field '{path}'.", path
    if kind == "extra_forbidden":
        return f"Unknown field '{path}'.", path
    reasons = " or ".join(dict.fromkeys(_reason(other.detail) for other in group))
    reasons = reasons.replace(" or input should be ", " or ")
    where = f"'{path}'" if path else "the request"
    what = "key in" if fault.of_key else "value for"
    return f"Invalid {what} {where}: {reasons}.", path


def _reason(detail: ErrorDetails) -> str:
    if detail["type"] in _NO_BRANCH:
        tags = detail.get("ctx", {}).get("expected_tags")
        return f"input should be {_either(tags)}" if tags else "it lacks what tells its kind"
    message = detail["msg"].rstrip(".")
    return message[:1].lower() + message[1:]


def _either(tags: str) -> str:
    head, comma, last = tags.rpartition(", ")
    return f"{head} or {last}" if comma else last


def _pick(faults: list[_Fault], start: int) -> list[_Fault]:
    """The errors to tell: one, or several of equal standing about the same place."""
    first = faults[0]
    label = first.label_after(start)
    if label is None:
        return [first]
    prefix = first.loc[:label]
    branches: dict[object, list[_Fault]] = {}
    for fault in faults:
        if fault.loc[:label] == prefix and fault.label_after(start) == label:
            branches.setdefault(fault.loc[label], []).append(fault)
    if all(len(fault.loc) == label + 1 for branch in branches.values() for fault in branch):
        return [fault for branch in branches.values() for fault in branch]
    best = max(branches.values(), key=lambda branch: _fitness(branch, label))
    return _pick(best, label + 1)


def _fitness(branch: Sequence[_Fault], label: int) -> tuple[bool, int, int]:
    depth = max(len([step for step in fault.steps if step > label]) for fault in branch)
    wrong = any(fault.detail["type"] in _WRONG_BRANCH and len(fault.loc) == label + 2 for fault in branch)
    return depth > 0 and not wrong, depth, -len(branch)


def _real_steps(detail: ErrorDetails, data: Any) -> tuple[int, ...]:
    """Which positions of the location are fields and indexes; the others name union branches.

    A branch may be called like a field, so the reading counts whose end holds the offending input.
    """
    best: tuple[int, ...] = ()
    for tried, (steps, node) in enumerate(_readings(detail, data, 0, ())):
        if node is detail["input"] or node == detail["input"]:
            return steps
        if len(steps) > len(best):
            best = steps
        if tried == 64:
            break
    return best


def _readings(
    detail: ErrorDetails, node: Any, index: int, steps: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], Any]]:
    loc = detail["loc"]
    if index == len(loc):
        yield steps, node
        return
    part = loc[index]
    if isinstance(node, dict) and part in node:
        yield from _readings(detail, cast("dict[Any, Any]", node)[part], index + 1, (*steps, index))
    if isinstance(node, list) and isinstance(part, int) and 0 <= part < len(cast("list[Any]", node)):
        yield from _readings(detail, cast("list[Any]", node)[part], index + 1, (*steps, index))
        return
    if isinstance(node, dict) and detail["type"] == "missing" and index == len(loc) - 1:
        yield (*steps, index), cast(object, node)
        return
    yield from _readings(detail, node, index + 1, steps)
