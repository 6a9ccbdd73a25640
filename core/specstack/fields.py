"""Reading values out of models by dotted path, for generated code that follows the spec's field mappings."""

from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel

from specstack_wire import MISSING


def field_at(value: Any, path: str) -> Any:
    """What stands at `path` (attribute names, dotted) below a model or mapping; models come as plain data.

    None where any step is absent, not given or null.
    """
    for name in path.split("."):
        if isinstance(value, Mapping):
            value = cast(Mapping[str, Any], value).get(name)
        else:
            value = getattr(value, name, None)
        if value is None or value is MISSING:
            return None
    return value.model_dump() if isinstance(value, BaseModel) else value


def fields_at(value: Any, paths: Mapping[str, str]) -> dict[str, Any]:
    """`field_at` for several names; those that are absent are left out."""
    found = {name: field_at(value, path) for name, path in paths.items()}
    return {name: one for name, one in found.items() if one is not None}
