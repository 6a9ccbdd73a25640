"""`specstack spec score`: how much of another OpenAPI document the spec is."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from specstack.cli.output import fail
from specstack.cli.spec_common import DEFAULT_SPEC, checked, codegen_needed

if TYPE_CHECKING:
    from specstack_codegen.score.score import Score

REFERENCE_DIR = "SPECSTACK_REFERENCE_DIR"


def score(
    reference: Annotated[
        str, typer.Argument(help=f"An OpenAPI document, or the name of one in {REFERENCE_DIR}.")
    ],
    folder: Annotated[Path, typer.Option("--spec", help="The spec folder.")] = DEFAULT_SPEC,
    category: Annotated[
        list[str] | None, typer.Option("--category", "-c", help="Only these of the reference's groups.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
    ratchet: Annotated[
        Path | None, typer.Option(help="A file of what was reached; exit 1 when the score is worse.")
    ] = None,
    update: Annotated[bool, typer.Option("--update", help="Write the ratchet file anew.")] = False,
    name: Annotated[
        str | None,
        typer.Option(help="What deviations.yaml calls the reference; its file's name if not given."),
    ] = None,
) -> None:
    """Compare the spec with another OpenAPI document, fact by fact, for the operations that both have.

    Categories are the reference's tags, or the first words of its paths. The score is the share of facts
    that are the same; what spec/deviations.yaml excuses is left out of it and listed with its reason.
    STRICT counts deviations as differences.

    Examples:

    \b
      specstack spec score references/openai.yaml
      specstack spec score references/openai.yaml --category chat --json
      SPECSTACK_REFERENCE_DIR=references specstack spec score openai --ratchet tests/conformance/ratchet.json
    """
    if update and (ratchet is None or category):
        fail("--update writes the file that --ratchet names, and needs all categories")
    with codegen_needed("score"):
        from specstack_codegen.score import report

        result = _scored(_document(reference), folder, category or [], name)
        if as_json:
            typer.echo(json.dumps(report.as_json(result), indent=2, ensure_ascii=False))
        else:
            for line in report.as_text(result):
                typer.echo(line)
        if ratchet is not None:
            _hold(result, ratchet, update=update, partial=bool(category))


def _document(reference: str) -> Path:
    folder = os.environ.get(REFERENCE_DIR)
    found = [Path(reference)]
    if folder:
        found += [Path(folder) / f"{reference}{end}" for end in ("", ".yaml", ".yml", ".json")]
    path = next((one for one in found if one.is_file()), None)
    if path is None:
        hint = f"or of one in {folder}" if folder else f"or set {REFERENCE_DIR} and give a name in it"
        fail(f"there is no file {reference}; give the path of an OpenAPI document, {hint}")
    return path


def _scored(path: Path, folder: Path, categories: list[str], name: str | None) -> "Score":
    from specstack_codegen.score.deviations import of_reference
    from specstack_codegen.score.document import of_spec, read_document
    from specstack_codegen.score.score import score as compare
    from specstack_codegen.source import SpecErrors

    own = checked(folder)
    try:
        document = read_document(path)
        document.name = name or document.name
        return compare(of_spec(own), document, of_reference(own.deviations, document.name), categories)
    except SpecErrors as error:
        fail(*str(error).splitlines())
    except ValueError as error:
        fail(str(error))


def _hold(result: "Score", path: Path, *, update: bool, partial: bool) -> None:
    """Compares with the ratchet file, or writes it."""
    from specstack_codegen.score import held, ratchet

    try:
        if update:
            ratchet.write(path, result)
            held.write(held.beside(path), result)
            typer.echo(f"wrote {path} and {held.beside(path)}", err=True)
            return
        kept = ratchet.read(path)
    except ratchet.RatchetError as error:
        fail(str(error))
    if lines := list(ratchet.worse(kept, result)):
        fail(*lines, f"mend the spec; or, if it is meant, write {path} anew with --update")
    if not partial and ratchet.is_better(kept, result):
        typer.echo(
            f"{path} can be written anew with --update: the numbers are other ones and no worse", err=True
        )
