"""The commands of docs/spec-tools.md, run as they are written, and its table of facts."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from specstack.cli.main import app
from specstack_codegen.score.comparison import KINDS

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/spec-tools.md").read_text()


def commands() -> Iterator[tuple[dict[str, str], list[str]]]:
    """Every `specstack` command of the document, with the environment that stands before it."""
    for block in re.findall(r"^```sh\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line)
            settings = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
            rest = [word for word in words if word.split("=")[0] not in settings]
            if rest[0] == "specstack":
                yield settings, rest[1:]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the spec, with the published document in the place of a reference."""
    shutil.copytree(ROOT / "spec", tmp_path / "spec")
    (tmp_path / "references").mkdir()
    (tmp_path / "tests/conformance").mkdir(parents=True)
    published = (ROOT / "generated/specstack_api/openapi.json").read_text()
    (tmp_path / "references/openai.yaml").write_text(published.replace('"models"', '"Models"'))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    for settings, words in commands():
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        if words[1] == "mock":
            assert "mock server at http://127.0.0.1:" in first_line([*words[:2], "--port", "0"])
        else:
            result = CliRunner().invoke(app, words)
            assert result.exit_code == 0, f"{words}: {result.output}"
        ran.append(words[1])
    assert set(ran) == {"lint", "bundle", "docs", "score", "mock"}
    assert (project / "build/reference/index.html").exists()
    assert (project / "tests/conformance/ratchet.json").exists()


def first_line(words: list[str]) -> str:
    command = [sys.executable, "-c", "from specstack.cli.main import main; main()", *words]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.terminate()
    return line


def test_every_kind_of_fact_is_described() -> None:
    table = DOCUMENT.split("| Fact | What it says |")[1].split("\n\n")[0]
    described = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert described == set(KINDS)
