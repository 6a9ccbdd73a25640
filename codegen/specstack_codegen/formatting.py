"""Formats generated Python with the pinned ruff, all files in one go."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from specstack_codegen import naming

RUFF_VERSION = "0.17.6"
_CORE = ("specstack", "specstack_wire", "specstack_api", "specstack_server", "specstack_client")


class FormatError(Exception):
    """ruff is missing, is another version, or could not read what was generated."""


def format_python(files: Mapping[str, str], package: str) -> dict[str, str]:
    """The same files, every `.py` among them formatted, its imports sorted and unused ones removed.

    `package` is the prefix of the generated packages, so that their imports count as
    first-party. Raises FormatError.
    """
    ruff = _ruff()
    own = [*_CORE, *(f"{package}_{part}" for part in ("api", "server", "client"))]
    options = ["--isolated", "--quiet", "--config", f"line-length = {naming.WIDTH}"]
    options += ["--config", f"lint.isort.known-first-party = {json.dumps(sorted(set(own)))}"]
    options += ["--config", 'target-version = "py311"', "--no-cache"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = [path for path in files if path.endswith(".py")]
        for path in python:
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(files[path], encoding="utf-8")
        _run([ruff, "check", *options, "--fix", "--select", "I,F401", "."], folder)
        _run([ruff, "format", *options, "."], folder)
        formatted = {path: (folder / path).read_text(encoding="utf-8") for path in python}
    return {path: formatted.get(path, text) for path, text in files.items()}


def _ruff() -> str:
    try:
        found = metadata.version("ruff")
    except metadata.PackageNotFoundError:
        found = ""
    if found != RUFF_VERSION:
        state = f"is {found}" if found else "is not installed"
        hint = 'install the generator\'s packages: pip install -e ".[codegen]"'
        raise FormatError(f"ruff {state}, and {RUFF_VERSION} is needed; {hint}")
    from ruff import find_ruff_bin

    return str(find_ruff_bin())


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603  ruff, by its path
    if done.returncode:
        raise FormatError(f"ruff refused the generated code:\n{done.stdout}{done.stderr}")
