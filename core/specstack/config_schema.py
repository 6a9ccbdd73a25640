"""Checking a part of the run config against a generated class, with messages for people.

What came out of the environment is text. It is taken as such wherever the class admits text, and is
read as a number, switch or null only where the class asks for one: an API key `0012` stays as it is,
and `port: ${env.PORT:=8321}` is an integer.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from typing_extensions import TypeAliasType

from specstack.config_values import Fault, place
from specstack.positions import Map, Path, Seq, line_of, placed, scalar

M = TypeVar("M", bound=BaseModel)

_KINDS = {
    "string_type": "must be a string",
    "int_type": "must be an integer",
    "int_parsing": "must be an integer",
    "int_from_float": "must be an integer",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "none_required": "must be null",
    "missing": "is missing",
}
_LIMITS = {
    "greater_than_equal": ("must be at least {}", "ge"),
    "greater_than": ("must be more than {}", "gt"),
    "less_than_equal": ("must be at most {}", "le"),
    "less_than": ("must be less than {}", "lt"),
    "too_short": ("must have at least {} items", "min_length"),
    "too_long": ("must have at most {} items", "max_length"),
    "string_too_long": ("must have at most {} characters", "max_length"),
    "string_pattern_mismatch": ("must match the pattern {}", "pattern"),
}


def check(
    model: type[M], root: Any, at: Path, dynamic: set[Path], ignored: Iterable[Path] = ()
) -> tuple[M | None, list[Fault]]:
    """An instance of `model` made of what stands at `at`, or None and every fault.

    `dynamic` are paths of text that came from references; `ignored` are paths whose fault is known.
    Values at those paths and nulls are mended in `root` where the class refuses them as they are.
    """
    try:
        return _validated(model, root, at), []
    except ValidationError as error:
        first = error
    if _mend(root, at, dynamic, first):
        try:
            return _validated(model, root, at), []
        except ValidationError as error:
            first = error
    return None, _faults(model, root, at, first, set(ignored))


def _validated(model: type[M], root: Any, at: Path) -> M:
    # As JSON, because strictness there means JSON's types: `yes` is no switch and `true` no number.
    return model.model_validate_json(json.dumps(_at(root, at)), strict=True)


def close_to(name: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?`, or the list of what there is."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, 2, 0.6)
    if len(close) == 2 and _likeness(name, close[0]) - _likeness(name, close[1]) > 0.05:
        del close[1]
    if close:
        return f"did you mean {' or '.join(repr(one) for one in close)}?"
    return f"there are: {', '.join(names)}" if names else "there are none"


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def _at(root: Any, path: Path) -> Any:
    for step in path:
        root = root[step]
    return root


def _existing(root: Any, at: Path, loc: tuple[int | str, ...]) -> Path:
    """The part of an error's location that is a path of the document; the rest names union branches."""
    path: Path = at
    node: Any = _at(root, at)
    for step in loc:
        inside = (isinstance(node, Map) and step in node) or (
            isinstance(node, Seq) and isinstance(step, int) and step < len(node)
        )
        if not inside:
            break
        path, node = (*path, step), _at(node, (step,))
    return path


def _mend(root: Any, at: Path, dynamic: set[Path], error: ValidationError) -> bool:
    """Read refused texts of the environment as what they look like; drop refused nulls."""
    mended = False
    for path in {_existing(root, at, one["loc"]) for one in error.errors(include_url=False)}:
        if len(path) == len(at):
            continue
        parent, key = _at(root, path[:-1]), path[-1]
        value = parent[key]
        if value is None and isinstance(parent, Map):
            del parent[str(key)]
            mended = True
        elif path in dynamic and isinstance(value, str):
            parent[key] = _read(value, line_of(root, path))
            mended = mended or parent[key] != value
    return mended


def _read(text: str, line: int) -> Any:
    """The scalar, or the JSON list or mapping, that a text stands for."""
    if text[:1] in "[{":
        try:
            return placed(json.loads(text), line)
        except (ValueError, RecursionError):
            return text
    return scalar(text)


def _faults(
    model: type[BaseModel], root: Any, at: Path, error: ValidationError, ignored: set[Path]
) -> list[Fault]:
    messages: dict[Path, list[str]] = {}
    for one in error.errors(include_url=False):
        path = _existing(root, at, one["loc"])
        kind = one["type"]
        if kind == "missing":
            path = (*path, one["loc"][-1])
        if path in ignored:
            continue
        if kind == "extra_forbidden":
            known = _fields_at(model, path[len(at) : -1])
            said = f"unknown key; {close_to(str(path[-1]), known)}"
        else:
            said = _said(one)
        found = messages.setdefault(path, [])
        if said not in found:
            found.append(said)
    return [place(root, path, _joined(found)) for path, found in messages.items()]


def _joined(messages: list[str]) -> str:
    """One message for the branches of a union. An integer's second branch is a number: not worth saying."""
    if "must be an integer" in messages and "must be a number" in messages:
        messages = [one for one in messages if one != "must be a number"]
    return ", or ".join(messages)


def _said(error: ErrorDetails) -> str:
    kind, context = error["type"], cast(Mapping[str, Any], error.get("ctx", {}))
    if kind == "missing":
        return "is missing; add it"
    if kind == "string_type" and isinstance(error["input"], int | float):
        return "must be a string; put it in quotes"
    if kind in _KINDS:
        return _KINDS[kind]
    if kind == "string_too_short":
        return (
            "must not be empty"
            if context.get("min_length") == 1
            else f"must have {context['min_length']} characters"
        )
    if kind in _LIMITS:
        text, name = _LIMITS[kind]
        return text.format(context.get(name))
    if kind == "literal_error":
        return f"must be {context['expected']}"
    if kind == "value_error":
        return str(context.get("error", error["msg"]))
    return error["msg"].replace("Input should be", "must be")


def _fields_at(model: Any, path: Path) -> list[str]:
    """The keys that the class knows at a path below it."""
    for step in path:
        model = child_of(plain(model), step)
    found = plain(model)
    if isinstance(found, type) and issubclass(found, BaseModel):
        return [info.alias or name for name, info in found.model_fields.items()]
    return []


def child_of(model: Any, step: str | int) -> Any:
    if isinstance(model, type) and issubclass(model, BaseModel):
        for name, info in model.model_fields.items():
            if step in (name, info.alias):
                return info.annotation
        return None
    arguments = get_args(model)
    return arguments[-1] if arguments else None


def plain(annotation: Any) -> Any:
    """The class, list or dict inside aliases, annotations and unions with MISSING or None."""
    if isinstance(annotation, TypeAliasType):
        return plain(annotation.__value__)
    origin = get_origin(annotation)
    if origin is Annotated:
        return plain(get_args(annotation)[0])
    if origin in (Union, UnionType):
        for one in get_args(annotation):
            found = plain(one)
            if get_origin(found) in (list, dict) or (
                isinstance(found, type) and issubclass(found, BaseModel)
            ):
                return found
    return annotation
