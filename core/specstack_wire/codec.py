"""How a declared type becomes bytes and comes back: one cached codec per type."""

from functools import cache
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter

T = TypeVar("T")


class Codec(Generic[T]):
    """Reads and writes one type as JSON. Get it from `codec_of`."""

    __slots__ = ("decode", "encode", "from_strings")

    def __init__(self, type_: Any) -> None:
        model = _as_model(type_)
        if model is None:
            adapter = _adapter(type_)
            validator, serializer = adapter.validator, adapter.serializer
        else:
            model.model_rebuild()
            validator, serializer = model.__pydantic_validator__, model.__pydantic_serializer__
        self.decode = validator.validate_json
        self.encode = serializer.to_json
        self.from_strings = validator.validate_strings


def _adapter(type_: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(type_, config=ConfigDict(hide_input_in_errors=True))
    except PydanticUserError:
        return TypeAdapter(type_)  # of a type that brings its own config


def _as_model(type_: Any) -> type[BaseModel] | None:
    known: object = type_
    return known if isinstance(known, type) and issubclass(known, BaseModel) else None


@cache
def _codec(type_: Any) -> Codec[Any]:
    return Codec(type_)


def codec_of(type_: Any) -> Codec[Any]:
    """The codec of a model class, type alias or any type pydantic knows. Built on first use, then cached."""
    return _codec(type_)


def encode(body: Any, type_: Any = None) -> bytes:
    """`body` as JSON bytes, written by its own class, or by `type_` where the body is no model.

    Only what was set is written: a default that the sender left out is the receiver's to fill in.
    """
    if isinstance(body, BaseModel):
        return body.__pydantic_serializer__.to_json(body, exclude_unset=True)
    return codec_of(Any if type_ is None else type_).encode(body, exclude_unset=True)
