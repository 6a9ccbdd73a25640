"""How an operation becomes methods of the sync and the async client."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from specstack_codegen import naming, schemas
from specstack_codegen.emit.client_types import Types
from specstack_codegen.ir import Operation, Variant

_LITERAL_PATTERN = re.compile(r"^\^?([A-Za-z0-9 _/=;,+-]+)\$?$")
_OPTIONS = "**call_options: Unpack[CallOptions]"
_RESERVED = frozenset(
    {"self", "variant", "call_options", "arguments", "fetch"}
    | {"extra_headers", "extra_query", "extra_body", "timeout"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument: its Python and wire names, where it travels, its type, and what it is for."""

    python: str
    wire: str
    place: str
    annotation: str
    required: bool
    description: str

    def declared(self) -> str:
        """The argument in a signature."""
        return f"{self.python}: {self.annotation}" + ("" if self.required else " | NotGiven = NOT_GIVEN")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One signature of a method; a method with several has them as overloads."""

    arguments: tuple[str, ...]
    returns: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A method of one of the two clients, ready to print."""

    name: str
    prefix: str
    docstring: str
    overloads: tuple[Signature, ...]
    signature: Signature
    statements: tuple[str, ...]


def arguments_of(operation: Operation, types: Types) -> list[Argument]:
    """Parameters first, then body fields; a body that is no object is one argument named `body`."""
    found: dict[str, Argument] = {}
    for param in sorted(operation.params, key=lambda one: one.location != "path"):
        name = _free(param.python, found)
        found[name] = Argument(
            python=name,
            wire=param.name,
            place=param.location,
            annotation=types.argument(param.schema),
            required=param.required,
            description=param.description,
        )
    if operation.body is None:
        return list(found.values())
    all_schemas = types.ir.schemas
    fields = schemas.properties(all_schemas[operation.body.model], all_schemas)
    if not fields:
        annotation = types.argument({"$ref": f"{schemas.SCHEMA_PREFIX}{operation.body.model}"})
        text = operation.body.description
        body = Argument(
            python="body",
            wire="",
            place="root",
            annotation=annotation,
            required=operation.body.required,
            description=text,
        )
        return [*found.values(), body]
    needed = schemas.required(all_schemas[operation.body.model], all_schemas)
    for wire, schema in fields.items():
        name = _free(naming.attribute(wire), found)
        found[name] = Argument(
            python=name,
            wire=wire,
            place="body",
            annotation=types.argument(schema),
            required=operation.body.required and wire in needed,
            description=_description(schema, types),
        )
    return list(found.values())


def _free(name: str, taken: Iterable[str]) -> str:
    while name in _RESERVED or name in taken:
        name += "_"
    return name


def _description(schema: schemas.Schema, types: Types) -> str:
    text = schema.get("description")
    name = schemas.ref_name(schema)
    if not text and name is not None:
        text = types.ir.schemas[name].get("description")
    return str(text or "")


def methods_of(operation: Operation, types: Types, *, is_async: bool) -> list[Method]:
    """The operation's method, and its WebSocket's in the async client."""
    builder = _Builder(operation, types, is_async=is_async)
    methods = [builder.method()]
    if is_async and operation.websocket is not None:
        methods.append(builder.websocket())
    return methods


class _Builder:
    def __init__(self, operation: Operation, types: Types, *, is_async: bool) -> None:
        self.operation = operation
        self.types = types
        self.is_async = is_async
        self.arguments = arguments_of(operation, types)
        self.call = f"_{operation.constant}"
        self.prefix = "Async" if is_async else ""
        self.wait = "await " if is_async else ""

    def method(self) -> Method:
        paged = self.operation.pagination is not None and self.operation.pagination.style == "cursor"
        overloads = () if paged else tuple(self._overloads())
        kinds = [part for one in overloads for part in one.returns.split(" | ")]
        returns = self._page_type() if paged else " | ".join(dict.fromkeys(kinds))
        return Method(
            name=self.operation.name,
            prefix="" if paged or not self.is_async else "async ",
            docstring=naming.docstring(self._text(), indent=8),
            overloads=overloads if len(overloads) > 1 else (),
            signature=Signature(arguments=self._declared(variant=self._variant_argument()), returns=returns),
            statements=tuple([*self._prepared(), *(self._page() if paged else self._sent())]),
        )

    def websocket(self) -> Method:
        spec = self.operation.websocket
        assert spec is not None
        sent, received = self.types.component(spec.receive), self.types.component(spec.send)
        own = [one for one in self.arguments if one.place not in ("body", "root")]
        lead = f"Opens a WebSocket on the path of `{self.operation.name}`."
        usage = "Use it with `async with`: `send` messages, `async for` over what comes."
        return Method(
            name=f"{self.operation.name}_websocket",
            prefix="",
            docstring=naming.docstring(naming.sentence(lead, self.operation.description, usage), indent=8),
            overloads=(),
            signature=Signature(
                arguments=self._declared(own=own),
                returns=f"AbstractAsyncContextManager[Connection[{sent}, {received}]]",
            ),
            statements=(
                *self._prepared(own),
                f"received = {self.types.reference(spec.send)!r}",
                f"return connect(self._core, {self._called(own)[1:-1]}, received=received)",
            ),
        )

    def _declared(
        self, narrowed: Mapping[str, str] | None = None, variant: str = "", own: list[Argument] | None = None
    ) -> tuple[str, ...]:
        """The signature: path parameters by position, all else by keyword; `narrowed` replaces some."""
        arguments = self.arguments if own is None else own
        positional = [one.declared() for one in arguments if one.place in ("path", "root")]
        keyword = [one for one in arguments if one.place not in ("path", "root")]
        declared = [(narrowed or {}).get(one.python) or one.declared() for one in keyword]
        if variant:
            declared.append(variant)
        return ("self", *positional, *(["*", *declared] if declared else []), _OPTIONS)

    def _variants(self) -> list[Variant]:
        """The reply forms that the client can ask for: those whose header value is a plain text."""
        return [one for one in self.operation.variants if _header_value(one) is not None]

    def _variant_argument(self) -> str:
        names = ", ".join(repr(one.name) for one in self._variants())
        return f"variant: Literal[{names}] | NotGiven = NOT_GIVEN" if names else ""

    def _reply_type(self) -> str:
        operation = self.operation
        if operation.always_streams and operation.stream is not None:
            return f"{self.prefix}Stream[{self.types.component(operation.stream.item)}]"
        if operation.is_binary:
            return f"{self.prefix}BinaryReply"
        return "None" if operation.reply.model is None else self.types.component(operation.reply.model)

    def _overloads(self) -> list[Signature]:
        switch = self._switch()
        plain: dict[str, str] = {}
        if switch is not None:
            kinds = "Literal[False] | None" if "None" in switch.annotation.split(" | ") else "Literal[False]"
            plain = {switch.python: f"{switch.python}: {kinds} | NotGiven = NOT_GIVEN"}
        found = [Signature(arguments=self._declared(plain), returns=self._reply_type())]
        for variant in self._variants():
            arguments = self._declared(plain, f"variant: Literal[{variant.name!r}]")
            found.append(Signature(arguments=arguments, returns=self.types.component(variant.model)))
        if switch is not None and self.operation.stream is not None:
            returns = f"{self.prefix}Stream[{self.types.component(self.operation.stream.item)}]"
            streaming = self._declared({switch.python: f"{switch.python}: Literal[True]"})
            either = self._declared({switch.python: f"{switch.python}: bool"})
            found.append(Signature(arguments=streaming, returns=returns))
            found.append(Signature(arguments=either, returns=f"{self._reply_type()} | {returns}"))
        return found

    def _switch(self) -> Argument | None:
        """The argument that asks for a stream."""
        stream = self.operation.stream
        if stream is None or stream.when is None:
            return None
        place, _, name = stream.when.rpartition(".")
        return next(one for one in self.arguments if one.wire == name and one.place == (place or "body"))

    def _text(self) -> str:
        lines = [f"- `{one.python}`: {' '.join(one.description.split())}" for one in self.arguments]
        refusals = ", ".join(f"`{code}`" for code in self.operation.refusals)
        return naming.sentence(
            self.operation.summary.rstrip(".") + ".",
            self.operation.description,
            "\n".join(["Arguments:", *lines]) if lines else "",
            f"May be refused for its meaning: {refusals}." if refusals else "",
            "Deprecated: do not use it in new code." if self.operation.deprecated else "",
        )

    def _prepared(self, own: list[Argument] | None = None) -> list[str]:
        """The statements that gather the arguments by where they travel."""
        arguments = self.arguments if own is None else own
        entries: list[str] = []
        for place, key in (("path", "path"), ("query", "query"), ("header", "headers"), ("body", "body")):
            group = ", ".join(f"{one.wire!r}: {one.python}" for one in arguments if one.place == place)
            if group:
                entries.append(f"{key!r}: {{{group}}}")
        if own is None and any(one.place == "root" for one in arguments):
            entries.append("'body': body")
        return [f"arguments: dict[str, Any] = {{{', '.join(entries)}}}"] if entries else []

    def _called(self, own: list[Argument] | None = None) -> str:
        """The arguments of a call of the core."""
        given = self.arguments if own is None else own
        return f"({self.call}, call_options, **arguments)" if given else f"({self.call}, call_options)"

    def _sent(self) -> list[str]:
        operation = self.operation
        call = self._called()
        if operation.always_streams:
            return [f"return {self.wait}self._core.stream{call}"]
        if operation.is_binary:
            return [f"return {self.wait}self._core.binary{call}"]
        if operation.reply.media is None:
            return [f"{self.wait}self._core.call{call}"]
        lines: list[str] = []
        switch = self._switch()
        if switch is not None:
            lines += [f"if {switch.python}:", f"    return {self.wait}self._core.stream{call}"]
        for variant in self._variants():
            header = f"{{**arguments.get('headers', {{}}), {variant.header!r}: {_header_value(variant)!r}}}"
            lines += [f"if variant == {variant.name!r}:", f"    arguments['headers'] = {header}"]
            reference = self.types.reference(variant.model)
            lines.append(f"    return {self.wait}self._core.read_as({reference!r}, {call[1:]}")
        return [*lines, f"return {self.wait}self._core.call{call}"]

    def _page_type(self) -> str:
        item, reply = self._item_type(), self._reply_type()
        return f"AsyncPaginator[{item}, {reply}]" if self.is_async else f"Page[{item}, {reply}]"

    def _item_type(self) -> str:
        all_schemas = self.types.ir.schemas
        pagination, model = self.operation.pagination, self.operation.reply.model
        assert pagination is not None and model is not None
        fields = schemas.properties(all_schemas[model], all_schemas)
        items = schemas.resolved(fields.get(pagination.items or "", {}), all_schemas).get("items", {})
        name = schemas.ref_name(items)
        return "Any" if name is None else self.types.component(name)

    def _page(self) -> list[str]:
        pagination = self.operation.pagination
        assert pagination is not None
        after = next(one for one in self.arguments if one.wire == pagination.after and one.place == "query")
        more = None if pagination.more is None else naming.attribute(pagination.more)
        names = (naming.attribute(pagination.items or ""), naming.attribute(pagination.next or ""), more)
        paging = f"Paging({', '.join(repr(name) for name in names)})"
        query = f"{{**arguments['query'], {after.wire!r}: cursor}}"
        define = "async def" if self.is_async else "def"
        return [
            "",
            f"{define} fetch(cursor: Any) -> {self._reply_type()}:",
            f"    changed = {{**arguments, 'query': {query}}}",
            f"    return {self.wait}self._core.call({self.call}, call_options, **changed)",
            "",
            f"return AsyncPaginator({after.python}, {paging}, fetch)"
            if self.is_async
            else f"return Page(fetch({after.python}), {paging}, fetch)",
        ]


def _header_value(variant: Variant) -> str | None:
    """A header value that asks for this form; None when its pattern admits no plain text."""
    if variant.value is None:
        return variant.name
    found = _LITERAL_PATTERN.match(variant.value)
    return found[1] if found else None
