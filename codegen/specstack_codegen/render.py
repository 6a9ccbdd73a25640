"""What emitters share: templates, file headers, import lists, and how an operation's types are written."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specstack_codegen import naming
from specstack_codegen.cache import digest
from specstack_codegen.ir import Ir, Operation

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
WIRE = "specstack_wire"


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  the output is Python and Markdown, never HTML
    )
    environment.filters.update(doc=naming.docstring, repr=repr, comment=naming.comment)
    return environment


def render(template: str, **values: Any) -> str:
    """The text of a template under `templates/`."""
    return _environment().get_template(template).render(**values)


def header(ir: Ir, *patterns: str) -> str:
    """What every generated file says first: its source files, their hash, and how to change it.

    `patterns` are paths relative to the spec folder, `*` allowed; those that match nothing are left out.
    """
    matched = sorted({name for name in ir.sources for pattern in patterns if fnmatch(name, pattern)})
    named = [pattern for pattern in patterns if any(fnmatch(name, pattern) for name in ir.sources)]
    if not named:
        matched, named = sorted(ir.sources), ["*"]
    total = digest(*(f"{name}={ir.sources[name]}" for name in matched))
    shown = [name.removeprefix("providers/") if ir.is_flat else name for name in named]
    files = ", ".join(f"{ir.spec}/{name}" for name in shown)
    command = naming.EXTERNAL_COMMAND if ir.external else naming.COMMAND
    return (
        f"{naming.MARKER} from {files} (sha256:{total[:16]}).\n"
        f"Do not edit: change the spec and run `{command}`."
    )


class Imports:
    """The imports of one generated module; ruff puts them in order."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}
        self._modules: set[str] = set()

    def add(self, module: str, *names: str) -> None:
        self._names.setdefault(module, set()).update(names)

    def module(self, statement: str) -> None:
        self._modules.add(statement)

    @property
    def lines(self) -> list[str]:
        froms = [
            f"from {module} import {', '.join(sorted(names))}"
            for module, names in sorted(self._names.items())
        ]
        return [*sorted(self._modules), *froms]


def client_class(ir: Ir) -> str:
    """The name of the synchronous client: the package's, unless an API has that already."""
    name = naming.pascal(ir.package)
    return f"{name}Client" if any(api.class_name == name for api in ir.apis) else name


def model_module(ir: Ir, component: str) -> str:
    """The generated module that holds a component's model."""
    return f"{ir.api_package}.models.{ir.component_api[component]}"


def add_models(ir: Ir, imports: Imports, components: Iterable[str | None]) -> None:
    """Imports the models of components; None is skipped."""
    for component in components:
        if component:
            imports.add(model_module(ir, component), component)


def error_module(ir: Ir, name: str) -> str:
    """The generated module that holds an error class: the spec's own, else the core's."""
    own = ir.errors is not None and any(kind.name == name for kind in ir.errors.kinds)
    return f"{ir.api_package}.errors" if own else "specstack_api.errors"


def request_type(operation: Operation) -> str:
    """`Request[Body, Params]` of an operation, in source form."""
    body = "None" if operation.body is None else operation.body.model
    if operation.body is not None and not operation.body.required:
        body = f"{body} | None"
    return f"Request[{body}, {operation.params_model or 'NoParams'}]"


def reply_types(operation: Operation) -> list[str]:
    """The types that a method may return, in source form."""
    models = [operation.reply.model, *(variant.model for variant in operation.variants)]
    found = [f"Payload[{model}]" for model in dict.fromkeys(models) if model]
    if operation.stream:
        found.append(f"Stream[{operation.stream.item}]")
    if operation.is_binary:
        found.append("Binary")
    if operation.reply.media is None:
        found.append("None")
    return found


def operation_components(operation: Operation) -> list[str | None]:
    """The components that an operation's signature names."""
    socket = operation.websocket
    return [
        operation.body.model if operation.body else None,
        operation.params_model,
        operation.reply.model,
        *(variant.model for variant in operation.variants),
        operation.stream.item if operation.stream else None,
        *((socket.receive, socket.send) if socket else ()),
    ]


def add_signature(ir: Ir, imports: Imports, operation: Operation) -> None:
    """Imports everything that an operation's method signature needs."""
    add_models(ir, imports, operation_components(operation))
    imports.add(WIRE, "RequestContext", "Request")
    if operation.params_model is None:
        imports.add(WIRE, "NoParams")
    for text in reply_types(operation):
        if text != "None":
            imports.add(WIRE, text.split("[")[0])
    if operation.websocket:
        imports.add(WIRE, "Stream")


def method_doc(ir: Ir, operation: Operation) -> str:
    """A method's docstring: what it does, when it streams, which errors belong to it."""
    summary = operation.summary.strip().rstrip(".") + "."
    notes: list[str] = []
    stream = operation.stream
    if stream and stream.when:
        notes.append(f"Answers with a stream of `{stream.item}` when the request's `{stream.when}` is true.")
    elif stream:
        notes.append(f"Always answers with a stream of `{stream.item}`.")
    notes += [
        f"A request of the variant {variant.name!r} (`request.variant`) is answered with `{variant.model}`."
        for variant in operation.variants
    ]
    raised = [f"`{_error_of(ir, code)}`" for code in operation.refusals]
    if raised:
        notes.append(
            f"Raises {', '.join(raised)} for requests that the schema allows and their meaning does not."
        )
    return naming.sentence(summary, operation.description, " ".join(notes))


def _error_of(ir: Ir, code: str) -> str:
    kinds = ir.all_errors.kinds if ir.all_errors else ()
    return next((kind.name for kind in kinds if kind.code == code), code)
