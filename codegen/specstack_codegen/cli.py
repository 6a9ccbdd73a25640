"""`python -m specstack_codegen`: generated code from the spec."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from specstack_codegen.cache import APPROVALS, digest, digest_files, generator_digest
from specstack_codegen.writer import MANIFEST, Changes, apply, compare, diff, is_current, with_manifest

if TYPE_CHECKING:
    from specstack_codegen.bundle import Spec
    from specstack_codegen.ir import Ir

_EPILOG = """\
Without options, generated/ is written from spec/. When the spec has faults, all are printed and nothing is
written. A run that changes nothing takes a fraction of a second: inputs and outputs are known by hash.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0 done, 1 faults in the spec or a difference found."""
    options = _parser().parse_args(arguments)
    started = time.perf_counter()
    inputs = input_digest(options.spec, options.package)
    if options.is_current or not options.check:
        current = is_current(options.out, inputs)
        if options.is_current:
            return 0 if current else 1
        if current:
            print(f"{options.out} is current ({_seconds(started)})")
            return 0
    files = generate(options.spec, options.package)
    if files is None:
        return 1
    changes = compare(options.out, with_manifest(files, inputs))
    if options.check:
        return _report(options.out, changes)
    apply(options.out, changes)
    written, removed = len([path for path in changes.written if "/" in path]), len(changes.removed)
    print(f"{options.out}: {written} of {len(files)} files written, {removed} removed ({_seconds(started)})")
    return 0


def generate(root: Path, package: str, external: str = "") -> dict[str, str] | None:
    """All generated files by path; None when the spec has faults, which are then on standard error.

    `external` is the version of the server that an external spec adds to.
    """
    from specstack_codegen.formatting import FormatError, format_python
    from specstack_codegen.lint import checked_spec
    from specstack_codegen.models import GeneratorError
    from specstack_codegen.source import SpecErrors

    try:
        return format_python(_emit(checked_spec(root, external=bool(external)), package, external), package)
    except SpecErrors as error:
        count = len(error)
        print(
            f"{error}\n{count} {'fault' if count == 1 else 'faults'} in {root}; nothing was written",
            file=sys.stderr,
        )
    except (GeneratorError, FormatError) as error:
        print(f"{error}\nnothing was written", file=sys.stderr)
    return None


def _emit(spec: Spec, package: str, external: str) -> dict[str, str]:
    from specstack_codegen.build import build_ir
    from specstack_codegen.emit import emitters

    ir: Ir = build_ir(spec, package, external)
    files: dict[str, str] = {}
    for name, emit in emitters(ir).items():
        made = emit(ir)
        twice = files.keys() & made.keys()
        if twice:
            raise RuntimeError(f"the emitter {name!r} writes files that another writes too: {sorted(twice)}")
        files.update(made)
    return files


def input_digest(root: Path, package: str) -> str:
    """The hash of everything that the output depends on: spec, generator source, package name.

    The review of changes (`specstack spec diff`) and its approvals change no output.
    """
    files = (path for path in _files(root) if path.suffix in (".yaml", ".json") and path.name != APPROVALS)
    return digest(generator_digest(), digest_files(root, files), package)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def _report(out: Path, changes: Changes) -> int:
    sys.stdout.writelines(diff(out, changes))
    if not changes:
        print(f"{out} is what the spec says")
        return 0
    names = [path for path in (*changes.written, *changes.removed) if path != MANIFEST]
    what = f"{len(names)} files in {out} are" if names else f"{out / MANIFEST} is"
    print(f"{what} not what the spec says; run `make generate`", file=sys.stderr)
    return 1


def _seconds(started: float) -> str:
    return f"{time.perf_counter() - started:.2f} s"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m specstack_codegen",
        description="Writes models, protocols, routers, tables, registry, client and docs from the spec.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--spec", type=Path, default=Path("spec"), metavar="DIR", help="the spec folder (spec)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("generated"), metavar="DIR", help="where to write (generated)"
    )
    parser.add_argument(
        "--package", default="specstack", metavar="NAME", help="prefix of the generated packages (specstack)"
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--check", action="store_true", help="write nothing; print the difference and exit 1 if any"
    )
    mode.add_argument(
        "--is-current", action="store_true", help="write nothing; exit 0 if the output is current, else 1"
    )
    return parser
