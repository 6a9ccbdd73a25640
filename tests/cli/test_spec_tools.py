"""`specstack spec lint` and `bundle`, on the project's own spec and on broken copies."""

import json
import shutil
from pathlib import Path

from typer.testing import CliRunner, Result

from specstack.cli.main import app

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["spec", *arguments])


def test_lint_says_that_the_spec_is_sound() -> None:
    result = run("lint", str(ROOT / "spec"))
    assert result.exit_code == 0, result.output
    assert "no fault" in result.output


def test_lint_prints_every_fault_and_fails(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "spec", tmp_path / "spec")
    path = tmp_path / "spec/openapi/inspect.yaml"
    text = path.read_text()
    path.write_text(
        text.replace("x-stability: stable", "x-stability: eternal").replace("x-serve:", "x-serf:")
    )
    result = run("lint", str(tmp_path / "spec"))
    assert result.exit_code == 1
    lines = [line for line in result.output.splitlines() if line.startswith("spec/openapi/inspect.yaml:")]
    assert any("eternal" in line for line in lines) and any("x-serf" in line for line in lines)
    assert "faults in" in result.output.splitlines()[-1]


def test_bundle_prints_what_the_server_publishes(tmp_path: Path) -> None:
    generated = ROOT / "generated/specstack_api"
    assert run("bundle", str(ROOT / "spec")).output == (generated / "openapi.json").read_text()
    out = tmp_path / "old.json"
    result = run("bundle", str(ROOT / "spec"), "--version", "3.1", "-o", str(out))
    assert (result.exit_code, result.output) == (0, "")
    assert out.read_text() == (generated / "openapi-3.1.json").read_text()
    assert json.loads(out.read_text())["openapi"].startswith("3.1")


def test_what_cannot_be_read_or_written_is_said_in_a_line(tmp_path: Path) -> None:
    missing = run("lint", str(tmp_path / "none"))
    assert missing.exit_code == 1
    assert missing.output.startswith("error: there is no folder ")
    refused = run("bundle", str(ROOT / "spec"), "-o", str(tmp_path / "no/such/file.json"))
    assert refused.exit_code == 1
    assert "cannot be written" in refused.output
