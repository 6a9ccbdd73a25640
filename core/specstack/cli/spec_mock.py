"""`specstack spec mock`: a server whose replies are examples."""

import socket
import sys
import tempfile
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from specstack.cli.output import fail
from specstack.cli.spec_common import checked, codegen_needed

if TYPE_CHECKING:
    from specstack.descriptors import GeneratedServer
    from specstack.http import SpecApp

_PACKAGE = "specstack_mock"


def mock(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[SPEC_DIR]", help="A spec folder; else the installed spec."),
    ] = None,
    host: Annotated[str, typer.Option(help="Listen on this address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="And port; 0 takes a free one.")] = 8322,
) -> None:
    """Serve a spec with example replies: no models, no providers, no storage.

    Requests are checked as the server checks them. Replies and stream events are the spec's examples, or made
    of its schemas. A request may ask for another answer with the header `prefer`: `code=429` (a status) or
    `code=model_not_found` (an error's code) for an error, `code=502, after=1` for one within a stream,
    `example=2` for another of the examples.

    Examples:

    \b
      specstack spec mock
      specstack spec mock my-api/spec --port 9000
      curl -s -H 'prefer: code=404' http://127.0.0.1:8322/v1/models
    """
    with codegen_needed("mock"), ExitStack() as stack:
        from specstack.cli.mock_server import mock_app
        from specstack_codegen.examples import NoExample

        server = _installed() if folder is None else _generated(folder, stack)
        try:
            app = mock_app(server)
        except NoExample as error:
            fail(str(error))
        _serve(app, host, port)


def _installed() -> "GeneratedServer":
    from specstack_server import SERVER

    return SERVER


def _generated(folder: Path, stack: ExitStack) -> "GeneratedServer":
    """The server of a spec folder, generated where it lives as long as `stack`."""
    from specstack_codegen.cli import generate
    from specstack_codegen.writer import Changes, apply

    checked(folder)
    files = generate(folder, _PACKAGE)
    if files is None:
        raise typer.Exit(1)
    out = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="specstack-mock-")))
    apply(out, Changes(files, []))
    sys.path.insert(0, str(out))
    stack.callback(sys.path.remove, str(out))
    return import_module(f"{_PACKAGE}_server").SERVER


def _serve(app: "SpecApp", host: str, port: int) -> None:
    import uvicorn

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        fail(f"cannot listen on {host}:{port} ({error.strerror}); choose another with --host and --port")
    name, taken = listener.getsockname()[:2]
    typer.echo(f"mock server at http://{f'[{name}]' if ':' in name else name}:{taken} (stop with Ctrl+C)")
    config = uvicorn.Config(app, log_level="warning", server_header=False)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run([listener])
