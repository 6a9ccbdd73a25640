"""Base classes and scalar types of every generated model."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import MISSING, AfterValidator, BaseModel, ConfigDict, Field
from pydantic import StrictFloat as _StrictFloat
from pydantic import StrictInt as _PydanticStrictInt

__all__ = ["MISSING", "ApiModel", "ClosedModel", "JsonInt", "StrictInt", "given", "is_given", "tag_of"]

T = TypeVar("T")


def _integral(value: float) -> int:
    if not value.is_integer():
        raise ValueError("Input should be a valid integer")
    return int(value)


JsonInt = Annotated[
    _PydanticStrictInt | Annotated[_StrictFloat, AfterValidator(_integral)],
    Field(union_mode="left_to_right"),
]
"""An integer as JSON Schema defines it: 5 and 5.0 are integers; "5", true and 1.5 are not."""

StrictInt = JsonInt
"""The name under which the model generator imports `JsonInt`."""


class ApiModel(BaseModel):
    """Base of generated models: unknown properties are kept and travel on."""

    model_config = ConfigDict(
        extra="allow",
        allow_inf_nan=False,
        defer_build=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        protected_namespaces=(),
        # What somebody sent may be secret, and the text of an error is logged.
        hide_input_in_errors=True,
    )


class ClosedModel(ApiModel):
    """Base of models whose schema says `additionalProperties: false`: unknown properties are refused."""

    model_config = ConfigDict(extra="forbid")


def is_given(value: object) -> bool:
    """Whether an optional field was present. Never test such a field for truth: `bool(MISSING)` is true."""
    return value is not MISSING


def given(value: Any, default: Any = None) -> Any:
    """The value of an optional field, or `default` when the field was absent or null."""
    return default if value is MISSING or value is None else value


def tag_of(prop: str, default: str) -> Callable[[Any], Any]:
    """A discriminator for unions of which several branches share a tag.

    The returned function reads `prop` from a dict or a model and falls back to `default`.
    """

    def read(value: Any) -> Any:
        if isinstance(value, dict):
            return value.get(prop, default)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return getattr(value, prop, None) or default

    # Errors about the tag call the function by its name.
    read.__name__ = prop
    return read
