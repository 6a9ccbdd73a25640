"""Showing settings without their secrets."""

import re
from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel, SecretStr

MASK = "********"

_USERINFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")


def masked(value: Any) -> Any:
    """`value` as plain JSON data: secrets, and passwords inside URLs, are shown as `********`."""
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, BaseModel):
        return {key: masked(one) for key, one in value.model_dump().items()}
    if isinstance(value, Mapping):
        return {str(key): masked(one) for key, one in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [masked(one) for one in cast(list[Any], value)]
    if isinstance(value, str):
        return _USERINFO.sub(MASK, value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)
