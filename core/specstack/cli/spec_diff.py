"""`specstack spec diff`: what a change of the spec means, and whether it breaks anybody."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """The forms of a review."""

    TERMINAL = "terminal"
    MARKDOWN = "markdown"
    HTML = "html"
    JSON = "json"


class FailOn(StrEnum):
    """From which class on a finding makes the exit code 1, worst first."""

    BREAKING = "breaking"
    SOURCE = "source-breaking"
    RISKY = "risky"
    COMPATIBLE = "compatible"
    DOCUMENTATION = "documentation"
    NEVER = "never"


def misuse(message: str, *hints: str) -> typer.Exit:
    """Print an error and what helps; raise the result to leave with status 2: nothing could be looked at."""
    typer.echo(f"error: {message}", err=True)
    for hint in hints:
        typer.echo(f"hint: {hint}", err=True)
    return typer.Exit(2)


def diff(
    sides: Annotated[
        list[str],
        typer.Argument(
            metavar="BASE..HEAD | OLD NEW",
            help="Git refs, spec folders, files of a spec, or bundles (openapi.json), in any mixture.",
        ),
    ],
    format: Annotated[Format, typer.Option(help="The form of the review.")] = Format.TERMINAL,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write here instead of to standard output.")
    ] = None,
    fail_on: Annotated[
        FailOn,
        typer.Option(help="Exit with 1 when something stable has a finding of this class or a worse one."),
    ] = FailOn.BREAKING,
    path: Annotated[str, typer.Option(help="Where the spec stands in the git repository.")] = "spec",
    approvals: Annotated[
        Path | None,
        typer.Option(help="Approved exceptions. Without it, approvals.yaml of the new side is read."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="List changes of documentation too.")] = False,
) -> None:
    """Compare two states of the spec, and say what the change means for callers, operators and providers.

    Exit code: 0 nothing stable breaks, 1 something does, 2 the two sides could not be compared or have
    nothing in common.

    Examples:

    \b
      specstack spec diff main..HEAD
      specstack spec diff v0.1.0 spec --format html --output review.html
      specstack spec diff old/openapi.json new/openapi.json --format json
      specstack spec diff main..HEAD --fail-on risky
    """
    try:
        from specstack_codegen.review.command import Request, ReviewError, run
    except ImportError as error:
        raise misuse(
            f"spec diff needs the extra \"codegen\" ({error}): pip install 'specstack[codegen]'"
        ) from error
    request = Request(
        sides=tuple(sides),
        format=format.value,
        fail_on=fail_on.value,
        path=path,
        approvals=approvals,
        everything=everything,
        color=output is None and sys.stdout.isatty() and "NO_COLOR" not in os.environ,
    )
    try:
        outcome = run(request)
    except ReviewError as error:
        raise misuse(*error.lines) from error
    if output is None:
        typer.echo(outcome.text, nl=False)
    else:
        try:
            output.write_text(outcome.text, encoding="utf-8")
        except OSError as error:
            raise misuse(f"{output}: cannot be written: {error.strerror}") from error
        typer.echo(f"wrote {output}", err=True)
    raise typer.Exit(outcome.status)
