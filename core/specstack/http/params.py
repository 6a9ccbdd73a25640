"""Path, query and header parameters: strings from the request, values of the declared types in the model."""

from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError

from specstack.descriptors import Operation, Param
from specstack.http.errors import ErrorTable
from specstack.http.faults import describe
from specstack.http.shapes import bracket_keys, kinds_at, put_nested, scalar


def pairs_of(query: bytes) -> list[tuple[str, str]]:
    """Name and value of each field of a query string or form, percent-decoded, in order."""
    return parse_qsl(query.decode("latin-1"), keep_blank_values=True)


class ParamReader:
    """Reads an operation's parameters into its parameter model."""

    __slots__ = ("_errors", "_headers", "_kinds", "_model", "_path", "_query", "_validate")

    def __init__(self, op: Operation, errors: ErrorTable) -> None:
        model = cast("type[BaseModel]", op.params_model)
        model.model_rebuild()
        self._model = model
        self._validate: Callable[[Any], Any] = model.__pydantic_validator__.validate_python
        self._kinds = {param.name: kinds_at(model, [param.name]) for param in op.params}
        self._path = [param for param in op.params if param.location == "path"]
        self._headers = [param for param in op.params if param.location == "header"]
        self._query: dict[str, Param] = {}
        for param in op.params:
            if param.location != "query":
                continue
            self._query[param.name] = param
            if param.style == "list":
                # Clients write a repeated parameter with and without brackets.
                stem = param.name.removesuffix("[]")
                self._query.setdefault(stem, param)
                self._query.setdefault(stem + "[]", param)
        self._errors = errors

    def read(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> Any:
        """The parameters of a request. Raises the `invalid` error that names the parameter at fault."""
        values: dict[str, Any] = {}
        given: Mapping[str, str] = scope["path_params"] if self._path else {}
        for param in self._path:
            values[param.name] = scalar(given[param.name], self._kinds[param.name])
        if self._query and (query := scope["query_string"]):
            self._read_query(query, values)
        for param in self._headers:
            raw = headers.get(param.name.lower().encode())
            if raw is not None:
                self._put(values, param, raw.decode("latin-1"))
        try:
            return self._validate(values)
        except ValidationError as exc:
            message, path = describe(exc, values)
            raise self._errors.error("invalid", message, param=path) from None

    def _read_query(self, query: bytes, values: dict[str, Any]) -> None:
        deep: dict[str, list[Any]] = {}
        for name, text in pairs_of(query):
            param = self._query.get(name)
            if param is not None:
                self._put(values, param, text)
                continue
            keys = bracket_keys(name)
            param = self._query.get(keys[0])
            if param is not None and param.style == "deep" and len(keys) > 1:
                found = deep.setdefault(name, [])
                found.append(scalar(text, kinds_at(self._model, keys)))
                # Which of several was meant is not to be guessed: they are a list, for the model to refuse.
                put_nested(values, keys, found if len(found) > 1 else found[0])

    def _put(self, values: dict[str, Any], param: Param, text: str) -> None:
        value = scalar(text, self._kinds[param.name])
        if param.style == "list":
            values.setdefault(param.name, []).append(value)
        else:
            values[param.name] = value
