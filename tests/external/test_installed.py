"""specstack as a wheel has what the generator needs of the server's own spec, and loads what that makes."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from external.conftest import PARCELS, ROOT

CONFIG = f"version: 2\ndistro_name: t\nproviders: {{}}\nexternal_apis_dir: {PARCELS}\n"


def done(*command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, *command]
    return subprocess.run(
        program, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_the_wheel_generates_and_serves(tmp_path: Path) -> None:
    built = done("-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path), cwd=ROOT)
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    spec = {path.relative_to(ROOT).as_posix() for path in (ROOT / "spec").rglob("*") if path.is_file()}
    assert {f"specstack_codegen/{path}" for path in spec} <= names
    site = tmp_path / "site"
    pip = ["-m", "pip", "install", "--no-index", "--no-deps", "--disable-pip-version-check", "--target"]
    installed = done(*pip, str(site), str(wheel), cwd=tmp_path)
    assert installed.returncode == 0, installed.stderr
    (tmp_path / "run.yaml").write_text(CONFIG)
    env = {"PYTHONPATH": str(site), "SPECSTACK_CACHE": str(tmp_path / "cache")}
    where = done(
        "-c",
        "import specstack, specstack_codegen as c; print(specstack.__file__, c.__file__)",
        cwd=tmp_path,
        **env,
    )
    assert where.stdout.count(str(site)) == 2
    refused = done("-m", "specstack", "config", "check", "run.yaml", cwd=tmp_path, **env)
    assert (refused.returncode, "has not been generated" in refused.stderr) == (1, True)
    made = done("-m", "specstack", "generate", "--external", str(PARCELS), cwd=tmp_path, **env)
    assert made.returncode == 0, made.stderr
    checked = done("-m", "specstack", "config", "check", "run.yaml", cwd=tmp_path, **env)
    assert (checked.returncode, checked.stderr) == (0, "")
