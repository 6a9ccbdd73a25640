"""Parcels: three APIs with a resource, a service, errors and a provider of their own, outside the tree."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from specstack.cli.main import app

ROOT = Path(__file__).parents[2]
PARCELS = Path(__file__).parent / "parcels"
ROOTS = ("core", "generated", "providers", "distributions", "codegen")

Run = Callable[..., subprocess.CompletedProcess[str]]


def environment(cache: Path, *path: str) -> dict[str, str]:
    """For a process whose code from outside is in `cache`."""
    roots = [*(str(ROOT / root) for root in ROOTS), *path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(roots), "SPECSTACK_CACHE": str(cache)}


def run(*arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """`specstack ARGUMENTS` in a process of its own."""
    command = [sys.executable, "-m", "specstack", *arguments]
    return subprocess.run(command, env=dict(env), capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with the code of `parcels`."""
    folder = tmp_path_factory.mktemp("cache")
    done = run("generate", "--external", str(PARCELS), env=environment(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, for this process too."""
    folder = tmp_path / "own-cache"
    monkeypatch.setenv("SPECSTACK_CACHE", str(folder))
    return folder


@pytest.fixture
def parcels(tmp_path: Path) -> Path:
    """A copy of the folder, to spoil."""
    return Path(shutil.copytree(PARCELS, tmp_path / "parcels", ignore=shutil.ignore_patterns("__pycache__")))


VAN = """\
version: 2
distro_name: t
external_apis_dir: parcels
providers:
  parcels:
    - {provider_id: van, provider_type: inline::van, config: {most_grams: 5}}
"""
"""A run config beside a copy of the folder."""
VAN_FILE = "parcels/providers/parcels/inline_van.yaml"


def generate(folder: Path, *more: str) -> tuple[int, list[str]]:
    """Exit code and lines of `specstack generate --external`, in this process."""
    done = CliRunner().invoke(app, ["generate", "--external", str(folder), *more])
    return done.exit_code, done.output.splitlines()
