"""`specstack recordings`: what tests have recorded of models and other servers."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from specstack.cli.output import fail, table
from specstack.recorder.modes import DEFAULT_FOLDER

if TYPE_CHECKING:
    from specstack.recorder.library import Library

recordings = typer.Typer(
    help="Look at recordings of models and other servers, check them, and remove what nobody uses.",
    no_args_is_help=True,
)

Folder = Annotated[
    Path,
    typer.Option("--dir", envvar="SPECSTACK_TEST_RECORDING_DIR", help="The directory of the recordings."),
]


@recordings.command("list")
def list_(folder: Folder = DEFAULT_FOLDER) -> None:
    """List the recordings, one a line.

    Examples:

    \b
      specstack recordings list
      specstack recordings list --dir my-tests/recordings
    """
    from specstack.recorder.exchange import RecordingDamaged, read

    rows = [["PROVIDER", "TEST", "ASKED", "ANSWER", "FILE"]]
    library = _library(folder)
    for path in library.files():
        try:
            found = read(path)
        except RecordingDamaged as error:
            rows.append(["-", "-", "-", "damaged", str(path)])
            typer.echo(f"warning: {error}", err=True)
            continue
        rows.append([found.provider, found.test, found.target, _told(found.answer), str(path)])
    for path in library.strays():
        rows.append(["-", "-", "-", "astray", str(path)])
        typer.echo(f"warning: {path}: no test looks for a recording here; see `verify`", err=True)
    table(rows)


@recordings.command()
def show(
    which: Annotated[str, typer.Argument(help="A file, or the digest that `list` shows as its name.")],
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Show a recording: what was asked, and what came back and when.

    Examples:

    \b
      specstack recordings show 1f0c3a9d5b7e2468
    """
    from specstack.recorder.exchange import RecordingDamaged, read

    given = Path(which)
    paths = (
        [given]
        if given.is_file()
        else [one for one in _library(folder).files() if one.stem.startswith(which)]
    )
    if not paths:
        fail(f"there is no recording {which} in {folder}; `specstack recordings list` shows what there is")
    for path in paths:
        try:
            found = read(path)
        except RecordingDamaged as error:
            fail(str(error))
        typer.echo(f"{path}\n  test: {found.test}\n  provider: {found.provider}\n  asked: {found.target}")
        typer.echo(f"  request: {_json(found.request)}")
        if found.answer.head is not None:
            typer.echo(f"  head: {_json(found.answer.head)}")
        for piece in found.answer.pieces or ():
            typer.echo(f"  {piece.at:8.4f} s  {_json(piece.data)}")
        if found.answer.body is not None:
            typer.echo(f"  answer: {_json(found.answer.body)}")
        if found.answer.failure is not None:
            typer.echo(f"  failed: {_json(found.answer.failure)}")


@recordings.command()
def prune(
    hours: Annotated[
        float, typer.Option("--unused", min=0, help="Not used for so many hours; 0 for all.")
    ] = 1.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Remove the recordings that no test has used for some time. Run all tests before.

    Examples:

    \b
      specstack recordings prune --dry-run
      specstack recordings prune --unused 24
    """
    library = _library(folder)
    since = time.time() - hours * 3600
    gone = library.unused(since)
    if gone and hours and not library.in_use(since):
        fail(
            f"no test has used any recording of {folder} in the last {hours:g} hours, so all would go; "
            "run the tests first, or name more hours with --unused"
        )
    for path in gone:
        typer.echo(str(path))
        if dry_run:
            continue
        try:
            library.remove(path)
        except OSError as error:
            fail(f"{path}: cannot be removed ({error.strerror})")
    library.close()
    typer.echo(f"{len(gone)} {'would be ' if dry_run else ''}removed")


@recordings.command()
def verify(folder: Folder = DEFAULT_FOLDER) -> None:
    """Check every recording: readable, in its place, under its own digest, without secrets.

    Leaves with 1 if one is not.

    Examples:

    \b
      specstack recordings verify
    """
    from specstack.recorder.verify import all_faults

    library = _library(folder)
    found = list(all_faults(library))
    if found:
        fail(*found)
    typer.echo(f"{len(library.files())} recordings are sound")


def _library(folder: Path) -> "Library":
    from specstack.recorder.library import Library

    if not folder.is_dir():
        fail(f"there is no directory {folder}; name the one of the recordings with --dir")
    return Library(folder)


def _told(answer: object) -> str:
    from specstack.recorder.exchange import Answer

    assert isinstance(answer, Answer)
    status = "" if answer.head is None else f"{answer.head.get('status')} "
    failed = "" if answer.failure is None else f", {answer.failure['error']}"
    if answer.pieces is not None:
        return f"{status}{len(answer.pieces)} pieces{failed}"
    return f"{status}{'failed' if answer.body is None and failed else 'whole'}{failed}"


def _json(value: object) -> str:
    from specstack.recorder.exchange import text_of

    return text_of(value)
