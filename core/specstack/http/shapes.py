"""What declared types say about text: the shapes that strings of queries and forms should take."""

import re
from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel
from typing_extensions import TypeAliasType

_INTEGER = re.compile(r"-?[0-9]{1,400}")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_DEEPEST = 100

Kinds = frozenset[type]


def kinds_at(annotation: Any, keys: Sequence[str]) -> Kinds:
    """The scalar types admitted at a place inside an annotated value, looking into unions and lists."""
    reached = [annotation]
    for key in keys:
        reached = [inner for outer in reached for inner in _inside(outer, key)]
    return frozenset(kind for place in reached for kind in _scalars(place))


def _branches(annotation: Any) -> Iterator[Any]:
    """The annotation without aliases, metadata and unions around it."""
    if isinstance(annotation, TypeAliasType):
        yield from _branches(annotation.__value__)
        return
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _branches(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for argument in get_args(annotation):
            yield from _branches(argument)
    else:
        yield annotation


def _inside(annotation: Any, key: str) -> Iterator[Any]:
    for branch in _branches(annotation):
        if get_origin(branch) is dict:
            yield get_args(branch)[1]
        elif get_origin(branch) is list and key.isdecimal():
            yield get_args(branch)[0]
        elif isinstance(branch, type) and issubclass(branch, BaseModel):
            for name, info in branch.model_fields.items():
                if (info.alias or name) == key:
                    yield info.annotation


def field_names(annotation: Any) -> Iterator[str]:
    """The wire names of a model's fields; of all branches where the annotation is a union."""
    for branch in _branches(annotation):
        if isinstance(branch, type) and issubclass(branch, BaseModel):
            yield from (info.alias or name for name, info in branch.model_fields.items())


def _scalars(annotation: Any) -> Iterator[type]:
    for branch in _branches(annotation):
        origin = get_origin(branch)
        if origin is Literal:
            yield from (type(value) for value in get_args(branch))
        elif origin is list:
            yield from _scalars(get_args(branch)[0])
        elif branch in (bool, int, float, str):
            yield branch


def scalar(text: str, kinds: Kinds) -> Any:
    """`text` as the first of boolean, integer and number that the kinds admit; else the text itself.

    A text that fits none stays a string, so that validation can say what was expected.
    """
    if bool in kinds and text in ("true", "false"):
        return text == "true"
    if int in kinds and _INTEGER.fullmatch(text):
        return int(text)
    if (float in kinds or int in kinds) and _NUMBER.fullmatch(text):
        return float(text)
    return text


def put_nested(target: dict[str, Any], keys: list[str], value: Any) -> None:
    """Puts `value` into nested mappings; a later plain value or mapping replaces an earlier one."""
    for key in keys[:-1]:
        inner = target.get(key)
        if not isinstance(inner, dict):
            inner = target[key] = {}
        target = cast("dict[str, Any]", inner)
    target[keys[-1]] = value


def bracket_keys(name: str) -> list[str]:
    """`a[b][c]` as ["a", "b", "c"]; a name without well-formed or with too many brackets as itself."""
    head, bracket, rest = name.partition("[")
    if not head or not bracket or not rest.endswith("]"):
        return [name]
    keys = [head, *rest[:-1].split("][")]
    return keys if len(keys) <= _DEEPEST else [name]


def admits_list(model: Any, field: str) -> bool:
    """Whether a field of a model, or of a union of models, may be a list."""
    return any(get_origin(branch) is list for one in _inside(model, field) for branch in _branches(one))


def settled(value: Any, annotation: Any, depth: int = 0) -> Any:
    """What brackets spelled, in the shapes of its type: `a[0]` and `a[1]` are a list, and an empty text is
    an empty list or object where no text is admitted. What is nested too deep is left as it is."""
    if depth > _DEEPEST:
        return value
    branches = list(_branches(annotation))
    is_list = any(get_origin(branch) is list for branch in branches)
    if isinstance(value, dict):
        named = cast("dict[str, Any]", value)
        inner = {key: settled(one, _place(annotation, key), depth + 1) for key, one in named.items()}
        if is_list and all(key.isdecimal() for key in inner):
            return [inner[key] for key in sorted(inner, key=lambda key: (len(key), key))]
        return inner
    if value != "" or str in kinds_at(annotation, ()) or annotation is Any:
        return value
    return [] if is_list else {} if any(_holds_fields(branch) for branch in branches) else value


def _place(annotation: Any, key: str) -> Any:
    found = tuple(_inside(annotation, key))
    return Union[found] if found else Any  # noqa: UP007  made of values


def _holds_fields(branch: Any) -> bool:
    return get_origin(branch) is dict or (isinstance(branch, type) and issubclass(branch, BaseModel))
