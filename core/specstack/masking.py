"""Showing settings without their secrets."""

from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel, SecretStr

from specstack.secret_shapes import blotted, names_secret

MASK = "********"


def masked(value: Any) -> Any:
    """`value` as plain JSON data: secrets, and what looks like one, such as a key in a URL, are `********`.

    In free mappings the key's name tells a secret too.
    """
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, BaseModel):
        return {key: masked(one) for key, one in value.model_dump().items()}
    if isinstance(value, Mapping):
        items = cast(Mapping[Any, Any], value).items()
        return {str(key): hidden(one) if names_secret(str(key)) else masked(one) for key, one in items}
    if isinstance(value, list | tuple | set | frozenset):
        return [masked(one) for one in cast(list[Any], value)]
    if isinstance(value, str):
        return blotted(value, MASK, prose=True)
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def hidden(value: Any) -> Any:
    """What stands under the name of a secret: every text and number in it is masked."""
    if isinstance(value, SecretStr):
        return masked(value)
    if isinstance(value, Mapping):
        return {str(key): hidden(one) for key, one in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [hidden(one) for one in cast(list[Any], value)]
    return value if value is None or value == "" or isinstance(value, bool) else MASK


def is_secret(key: Any, value: Any) -> bool:
    """Whether the name of a key in a free mapping says that its text is a secret."""
    return isinstance(value, str) and value != "" and names_secret(str(key))
