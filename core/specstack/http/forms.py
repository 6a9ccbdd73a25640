"""Form bodies: the fields of an urlencoded or multipart form become the operation's model."""

import json
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from specstack.descriptors import Body
from specstack.http.errors import ErrorTable
from specstack.http.faults import describe
from specstack.http.shapes import (
    admits_list,
    bracket_keys,
    field_names,
    kinds_at,
    put_nested,
    scalar,
    settled,
)
from specstack_wire import Upload


class FormReader:
    """What is known of an operation's form before any request."""

    __slots__ = ("body", "errors", "text_fields", "validate")

    def __init__(self, body: Body, errors: ErrorTable) -> None:
        self.text_fields = frozenset(field_names(body.model)) - body.file_fields
        self.body = body
        self.errors = errors
        adapter: TypeAdapter[Any] = TypeAdapter(body.model)
        self.validate = adapter.validator.validate_python

    def begin(self) -> "FormBuilder":
        """An empty form to fill for one request."""
        return FormBuilder(self)


class FormBuilder:
    """Collects one request's fields. Only a list may come in several pieces."""

    __slots__ = ("_bracketed", "_gathered", "_reader", "_values")

    def __init__(self, reader: FormReader) -> None:
        self._reader = reader
        self._values: dict[str, Any] = {}
        self._bracketed = False
        self._gathered: set[str] = set()

    def field_of(self, name: str) -> str:
        """The field that a form name means: clients write lists with and without brackets."""
        stem = name.removesuffix("[]")
        lists = self._reader.body.list_fields
        return stem if stem in lists and name not in lists else name

    def is_text(self, name: str) -> bool:
        """Whether the spec knows this field and says that it is no file."""
        return self.field_of(name) in self._reader.text_fields

    def is_file(self, name: str) -> bool:
        """Whether the spec says that this field is a file."""
        return self.field_of(name) in self._reader.body.file_fields

    def add(self, name: str, text: str) -> None:
        """Adds a text field. Raises the `invalid` error for a JSON field that holds no JSON."""
        body = self._reader.body
        field = self.field_of(name)
        keys = bracket_keys(field)
        if len(keys) > 1 and field not in body.list_fields:
            put_nested(self._values, keys, scalar(text, kinds_at(body.model, keys)))
            self._bracketed = True
            return
        self._put(field, self._decoded(field, text))

    def add_file(self, name: str, upload: Upload) -> None:
        """Adds a received file."""
        self._put(self.field_of(name), upload)

    def build(self) -> Any:
        """The validated model. Raises the `invalid` error that names the field at fault."""
        if self._bracketed:
            self._values = settled(self._values, self._reader.body.model)
        try:
            return self._reader.validate(self._values)
        except ValidationError as exc:
            message, path = describe(exc, self._values)
            raise self._reader.errors.error("invalid", message, param=path) from None

    def _is_known(self, field: str) -> bool:
        return field in self._reader.text_fields or field in self._reader.body.file_fields

    def _gather(self, field: str, value: Any) -> list[Any]:
        """The pieces so far of a field that may be a list or a single value, with one more."""
        if not admits_list(self._reader.body.model, field):
            message = f"Invalid value for '{field}': it was sent more than once and is no list."
            raise self._reader.errors.error("invalid", message, param=field)
        before = self._values[field]
        if field not in self._gathered:
            self._gathered.add(field)
            before = [self._piece(field, before)]
        return [*before, self._piece(field, value)]

    def _piece(self, field: str, value: Any) -> Any:
        """One piece of a list: JSON where the list holds no text."""
        if not isinstance(value, str) or str in kinds_at(self._reader.body.model, [field, "0"]):
            return value
        try:
            return json.loads(value, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return value

    def _decoded(self, field: str, text: str) -> Any:
        body = self._reader.body
        if field not in body.json_fields:
            return text
        kinds = kinds_at(body.model, [field])
        value = scalar(text, kinds)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError):
            if str in kinds:
                return text
            message = f"Invalid value for '{field}': this form field must hold JSON."
            raise self._reader.errors.error("invalid", message, param=field) from None

    def _put(self, field: str, value: Any) -> None:
        if field not in self._reader.body.list_fields:
            again = field in self._values and self._is_known(field)
            self._values[field] = self._gather(field, value) if again else value
            return
        values = cast("list[Any]", self._values.setdefault(field, []))
        if isinstance(value, list):
            values.extend(cast("list[Any]", value))
        else:
            values.append(value)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON number")
