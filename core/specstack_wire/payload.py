"""Payloads: a request or reply that is bytes and model at once."""

from functools import cache
from typing import Any, Generic, Self, cast

from pydantic import BaseModel
from pydantic_core import from_json
from typing_extensions import TypeVar

from specstack_wire.base import ApiModel
from specstack_wire.codec import codec_of, encode
from specstack_wire.errors import UpstreamBroken
from specstack_wire.splice import splice_every, splice_string

T = TypeVar("T")
P = TypeVar("P", default=Any)


class NoParams(ApiModel):
    """Parameters of an operation that has none."""


NO_PARAMS = NoParams()


class Payload(Generic[T]):
    """A JSON value that holds its bytes, its model, or both, and makes the other on first use.

    What passes through untouched is never parsed; what was built here is never parsed again.
    Treat the body as frozen: use `replacing` to change it.
    """

    __slots__ = ("_body", "_raw", "_type")

    _body: Any
    _raw: bytes | None
    _type: Any

    def __init__(self, body: Any, raw: bytes | None, type_: Any) -> None:
        self._body = body
        self._raw = raw
        self._type = type_

    @classmethod
    def of(cls, body: T, type_: Any = None) -> Self:
        """A payload of a model. `type_` is needed only where the body is not a model instance."""
        return cls(body, None, type_)

    @classmethod
    def from_raw(cls, raw: bytes, type_: Any) -> Self:
        """A payload of JSON bytes, read as `type_` (a model class or type alias) on first use."""
        return cls(UNREAD, raw, type_)

    @property
    def body(self) -> T:
        """The model. Raises `pydantic.ValidationError` on first use when the bytes do not fit the type."""
        if self._body is UNREAD:
            self._body = codec_of(self._type).decode(cast(bytes, self._raw))
        return self._body

    @property
    def raw(self) -> bytes:
        """The JSON bytes: as received, or serialised on first use."""
        if self._raw is None:
            self._raw = encode(self._body, self._type)
        return self._raw

    @property
    def has_raw(self) -> bool:
        """Whether the bytes exist already."""
        return self._raw is not None

    def replacing(self, field: str, value: str) -> Self:
        """The same payload with one top-level string field changed, named as on the wire.

        In bytes, only the field's value is changed. Where the field is given more than once, every one of
        them is, so that all readers see the same value; a model that was read has the last one.
        A payload that lacks the field is returned as it is. Bytes that nobody has read need not fit
        the type; raises UpstreamBroken when they are no JSON.
        """
        raw = None if self._raw is None else splice_string(self._raw, field, value)
        if self._body is UNREAD:
            changed = _spliced(cast(bytes, self._raw), field, value) if raw is None else raw
            return self if changed is None else self._copy(UNREAD, changed)
        body = _with_field(self.body, field, value)
        if body is None:
            return self
        if raw is None and self._raw is not None:
            raw = splice_every(self._raw, field, value)
        return self._copy(body, raw)

    def _copy(self, body: Any, raw: bytes | None) -> Self:
        return type(self)(body, raw, self._type)

    def __repr__(self) -> str:
        state = "unread" if self._body is UNREAD else type(cast(object, self._body)).__name__
        return f"{type(self).__name__}({state}, raw={'no' if self._raw is None else len(self._raw)})"


class Request(Payload[T], Generic[T, P]):
    """What every Protocol method receives: the body payload, the parameters and the reply variant asked for.

    `body` is None for operations without one. `params` is the operation's generated parameter
    model. `variant` is "" for the ordinary reply form, else a name from the spec's `x-variant`.
    """

    __slots__ = ("params", "variant")

    params: P
    variant: str

    def __init__(
        self, body: Any, raw: bytes | None, type_: Any, params: Any = NO_PARAMS, variant: str = ""
    ) -> None:
        super().__init__(body, raw, type_)
        self.params = params
        self.variant = variant

    @classmethod
    def of(cls, body: T, type_: Any = None, *, params: Any = NO_PARAMS, variant: str = "") -> Self:
        """A request built in the process, for example by one API that calls another."""
        return cls(body, None, type_, params, variant)

    @classmethod
    def from_raw(cls, raw: bytes, type_: Any, *, params: Any = NO_PARAMS, variant: str = "") -> Self:
        """A request of JSON bytes that are read as `type_` on first use."""
        return cls(UNREAD, raw, type_, params, variant)

    @classmethod
    def received(cls, raw: bytes, body: T, type_: Any, params: Any = NO_PARAMS, variant: str = "") -> Self:
        """A request whose bytes were validated already: keeps both."""
        return cls(body, raw, type_, params, variant)

    def replacing_param(self, name: str, value: Any) -> Self:
        """The same request with one parameter changed, named as in the parameter model."""
        params = cast(BaseModel, self.params).model_copy(update={name: value})
        return type(self)(self._body, self._raw, self._type, params, self.variant)

    def replacing_body(self, body: T) -> Self:
        """The same request with another body."""
        return type(self)(body, None, self._type, self.params, self.variant)

    def _copy(self, body: Any, raw: bytes | None) -> Self:
        return type(self)(body, raw, self._type, self.params, self.variant)


class _Unread:
    __slots__ = ()


UNREAD: Any = _Unread()


def _spliced(raw: bytes, field: str, value: str) -> bytes | None:
    """JSON with a field changed that is there more than once or is no string; None when it is not there."""
    try:
        found = from_json(raw, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        raise UpstreamBroken("it sent broken JSON") from None
    return splice_every(raw, field, value) if isinstance(found, dict) and field in found else None


def _with_field(body: Any, field: str, value: str) -> Any:
    """A copy of `body` with a field changed, or None when it has no such field."""
    if isinstance(body, dict):
        known = cast(dict[str, Any], body)
        return {**known, field: value} if field in known else None
    if not isinstance(body, BaseModel):
        return None
    name = _attribute_of(type(body), field)
    if name is not None:
        return _copied(body, name, value)
    if field in (body.model_extra or {}):
        return body.model_copy(update={field: value})
    return None


def _copied(body: BaseModel, name: str, value: str) -> BaseModel:
    """`model_copy` with one attribute changed, without its walk over the update."""
    if body.__pydantic_private__ is not None:
        return body.model_copy(update={name: value})
    model = type(body)
    copied = model.__new__(model)
    extra = body.__pydantic_extra__
    _set(copied, "__dict__", {**body.__dict__, name: value})
    _set(copied, "__pydantic_extra__", None if extra is None else extra.copy())
    _set(copied, "__pydantic_fields_set__", {*body.__pydantic_fields_set__, name})
    _set(copied, "__pydantic_private__", None)
    return copied


_set = object.__setattr__


@cache
def _attribute_of(model: type[BaseModel], field: str) -> str | None:
    """The attribute that holds a field, which may have another name on the wire."""
    return next((name for name, info in model.model_fields.items() if (info.alias or name) == field), None)
