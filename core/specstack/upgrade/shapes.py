"""What the generated classes of our run config have room for, asked by key."""

from typing import Any, Literal, cast, get_args, get_origin

from pydantic import BaseModel

from specstack.config_schema import child_of, plain


def is_model(annotation: Any) -> bool:
    """Whether a closed mapping with known keys stands there."""
    found = plain(annotation)
    return isinstance(found, type) and issubclass(found, BaseModel)


def has(annotation: Any, key: str) -> bool:
    """Whether a value may stand under `key`."""
    found = plain(annotation)
    if get_origin(found) is dict or found is dict:
        return True
    if not is_model(found):
        return False
    fields = cast(type[BaseModel], found).model_fields
    return any(key in (name, info.alias) for name, info in fields.items())


def at(annotation: Any, *steps: str | int) -> Any:
    """The annotation below; None where there is no room."""
    for step in steps:
        annotation = child_of(plain(annotation), step)
    return annotation


def item_of(annotation: Any) -> Any:
    """The annotation of a list's items; None where no list stands."""
    found = plain(annotation)
    return get_args(found)[0] if get_origin(found) is list else None


def values_of(annotation: Any) -> Any:
    """The annotation of the values of a mapping with free keys that hold mappings; else None."""
    found = plain(annotation)
    return get_args(found)[1] if get_origin(found) is dict and is_model(get_args(found)[1]) else None


def takes_mapping(annotation: Any) -> bool:
    """Whether a mapping may stand there."""
    found = plain(annotation)
    return found is Any or found is dict or get_origin(found) is dict or is_model(found)


def missing(annotation: Any, value: dict[str, Any]) -> list[str]:
    """The keys that must be there and are not."""
    fields = cast(type[BaseModel], plain(annotation)).model_fields
    return [info.alias or name for name, info in fields.items() if info.is_required() and name not in value]


def choices(annotation: Any) -> tuple[Any, ...]:
    """The only values that may stand there; empty when it is open."""
    found: list[Any] = []
    for one in _branches(annotation):
        if get_origin(one) is Literal:
            found.extend(get_args(one))
        elif one is not type(None):
            return ()
    return tuple(found)


def wants_text(annotation: Any) -> bool:
    """Whether text may stand there, and no number."""
    branches = _branches(annotation)
    return str in branches and not {int, float, bool, Any} & set(branches)


def _branches(annotation: Any) -> list[Any]:
    found = plain(annotation)
    if get_origin(found) in (list, dict, Literal) or isinstance(found, type):
        return [found]
    return [inner for one in get_args(found) for inner in _branches(one)] or [found]
