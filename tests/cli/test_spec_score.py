"""`specstack spec score`: exit codes, the ratchet, and what it says when something is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from specstack.cli.main import app

ROOT = Path(__file__).parents[2]
SPEC = str(ROOT / "spec")
BUNDLE = ROOT / "generated/specstack_api/openapi.json"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["spec", "score", *arguments, "--spec", SPEC])


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """The project's own document, one field of which has another type."""
    document: dict[str, Any] = json.loads(BUNDLE.read_text())
    document["components"]["schemas"]["Model"]["properties"]["created"]["type"] = "string"
    path = tmp_path / "other.json"
    path.write_text(json.dumps(document))
    return path


def test_the_own_document_scores_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECSTACK_REFERENCE_DIR", str(BUNDLE.parent))
    result = run("openapi", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["reference"]["title"] == "specstack"
    assert {one["percent"] for one in found["categories"].values()} == {100}
    assert found["stale_deviations"] == []


def test_the_ratchet_fails_when_the_score_falls(changed: Path, tmp_path: Path) -> None:
    ratchet = tmp_path / "ratchet.json"
    same = tmp_path / "other.json"
    whole = json.dumps(json.loads(BUNDLE.read_text()))
    broken = changed.read_text()
    same.write_text(whole)
    assert run(str(same), "--ratchet", str(ratchet), "--update").exit_code == 0
    assert run(str(same), "--ratchet", str(ratchet)).exit_code == 0
    same.write_text(broken)
    kept = json.loads(ratchet.read_text())
    result = run(str(same), "--ratchet", str(ratchet))
    assert result.exit_code == 1
    assert "error: the ratchet file is of another other" in result.output
    score = json.loads(run(str(same), "--json").stdout)
    kept["other"]["sha256"] = score["reference"]["sha256"]
    ratchet.write_text(json.dumps(kept))
    result = run(str(same), "--ratchet", str(ratchet))
    assert result.exit_code == 1
    assert "  Model.created: type: ours integer; reference string" in result.output
    assert "error: models: 1 facts differ, 0 did" in result.output
    assert run(str(same), "--ratchet", str(ratchet), "-c", "inference").exit_code == 0


def test_deviations_go_by_the_name_of_the_reference() -> None:
    result = run(str(BUNDLE), "--name", "openai")
    assert result.exit_code == 0
    assert "Stale deviations" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.yaml"], "error: there is no file none.yaml; give the path of an OpenAPI document"),
        ([str(BUNDLE), "-c", "ships"], "error: the reference has no category ships; it has "),
        ([str(BUNDLE), "--update"], "error: --update writes the file that --ratchet names"),
        ([str(ROOT / "pyproject.toml")], "error: "),
        ([SPEC + "/errors.yaml"], "this is no OpenAPI 3 document"),
    ],
)
def test_what_is_wrong_is_said(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_ratchet_that_cannot_be_used(tmp_path: Path) -> None:
    broken = tmp_path / "ratchet.json"
    broken.write_text("{")
    assert "cannot be read" in run(str(BUNDLE), "--ratchet", str(broken)).output
    result = run(str(BUNDLE), "--ratchet", str(tmp_path / "no/file.json"), "--update")
    assert (result.exit_code, "cannot be written" in result.output) == (1, True)
