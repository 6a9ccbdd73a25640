"""`specstack generate --external DIR`: code for the providers and APIs of somebody else."""

import json
from pathlib import Path
from shlex import quote

import typer

from specstack.cli.output import fail


def generate_external(root: Path, out: Path | None, package: str | None) -> None:
    """Generate the code for a folder with a spec, into `out`, or where servers look for it."""
    from specstack import __version__
    from specstack.external import folders
    from specstack_codegen.cli import generate
    from specstack_codegen.writer import apply, compare, is_current, with_manifest
    from specstack_server import SERVER

    root = root.expanduser().resolve()
    if not folders.spec_files(root):
        fail(f"{root} has no spec; it needs openapi/<api>.yaml, or providers as <api>/<kind>_<name>.yaml")
    old = folders.latest(root)
    name = package or (old.package if old else folders.package_name(root))
    if not folders.is_package(name):
        fail(f"--package {quote(name)} is no name for packages; use lower-case letters, digits and '_'")
    inputs = folders.fingerprint(folders.spec_files(root), SERVER.generator)
    beside, cached = root / folders.BESIDE, folders.cached(root, inputs)
    if out is None:
        out = beside if old and old.out == beside else cached
    known = folders.read_manifest(out)
    if known and known.package == name and is_current(out, inputs):
        typer.echo(f"{out} is current")
        return
    taken = (out / folders.MANIFEST).exists() and (known is None or known.package != name)
    if taken and out.resolve() not in (beside, cached):
        fail(f"{out} has a {folders.MANIFEST} that is not of {name}; choose another --out")
    files = generate(root, name, __version__)
    if files is None:
        raise typer.Exit(1)
    _check(files, name, root)
    more = folders.manifest_of(root, name, SERVER.generator, in_cache=out == cached)
    try:
        apply(out, compare(out, with_manifest(files, inputs, more)))
    except OSError as error:
        fail(f"{out}: cannot be written: {error.strerror}; choose a place with --out")
    typer.echo(f"{out}: {', '.join(sorted({path.split('/')[0] for path in files}))}")


def _check(files: dict[str, str], package: str, root: Path) -> None:
    """What is the server's already cannot be brought again: say so before anything is written."""
    from specstack.external.parts import claims_of, conflicts
    from specstack_server import SERVER

    places = json.loads(files[f"{package}_server/places.json"])
    lines = conflicts(SERVER, claims_of(places, package, str(root)))
    if lines:
        fail(*lines, "nothing was written")
