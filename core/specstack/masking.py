"""Showing settings without their secrets."""

from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel, SecretStr

from specstack.secret_shapes import names_secret, without_userinfo

MASK = "********"


def masked(value: Any) -> Any:
    """`value` as plain JSON data: secrets, and passwords inside URLs, are shown as `********`.

    In free mappings the key's name tells a secret.
    """
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, BaseModel):
        return {key: masked(one) for key, one in value.model_dump().items()}
    if isinstance(value, Mapping):
        items = cast(Mapping[Any, Any], value).items()
        return {str(key): MASK if is_secret(key, one) else masked(one) for key, one in items}
    if isinstance(value, list | tuple | set | frozenset):
        return [masked(one) for one in cast(list[Any], value)]
    if isinstance(value, str):
        return without_userinfo(value, MASK)
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def is_secret(key: Any, value: Any) -> bool:
    """Whether the name of a key in a free mapping says that its text is a secret."""
    return isinstance(value, str) and value != "" and names_secret(str(key))
