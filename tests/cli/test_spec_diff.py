"""`specstack spec diff` as a person runs it: output, exit codes, and what is said when it cannot."""

import datetime
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from specstack.cli.main import app

SPEC = Path(__file__).resolve().parents[2] / "spec"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["spec", "diff", *arguments])


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """The spec with a smaller range of ports."""
    shutil.copytree(SPEC, tmp_path / "spec")
    file = tmp_path / "spec/config.yaml"
    file.write_text(file.read_text().replace("maximum: 65535", "maximum: 1024"))
    return tmp_path / "spec"


def test_a_break_gives_1_and_its_place(changed: Path) -> None:
    result = run(str(SPEC), str(changed))
    assert result.exit_code == 1
    assert "breaking  config-bound-tightened  config.server.port" in result.output
    assert "spec/config.yaml:" in result.output


def test_no_break_gives_0(changed: Path) -> None:
    assert run(str(changed), str(SPEC)).exit_code == 0
    assert run(str(changed), str(SPEC), "--fail-on", "compatible").exit_code == 1
    assert run(str(SPEC), str(changed), "--fail-on", "never").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument"),
        (["one"], "give two sides"),
        (["nothing-here", "spec"], "'nothing-here' is neither a file, a folder nor a git ref"),
        (["a", "b", "--format", "pdf"], "'pdf' is not one of"),
        (["a", "b", "--fail-on", "nothing"], "'nothing' is not one of"),
    ],
)
def test_misuse_gives_2(arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(SPEC.parent)
    if subprocess.run(["git", "rev-parse"], capture_output=True).returncode != 0:
        message = message.replace("is neither a file, a folder nor a git ref", "")
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_sides_without_anything_in_common_give_2() -> None:
    result = run(str(SPEC / "config.yaml"), str(SPEC / "errors.yaml"))
    assert result.exit_code == 2
    assert "have nothing in common: the one holds config, the other errors" in " ".join(result.output.split())
    assert "hint: give two states of one spec" in result.output


def test_a_review_is_written_to_a_file(changed: Path, tmp_path: Path) -> None:
    page = tmp_path / "review.html"
    result = run(str(SPEC), str(changed), "--format", "html", "--output", str(page))
    assert result.exit_code == 1 and f"wrote {page}" in result.output
    assert page.read_text().startswith("<!doctype html>")
    nowhere = run(str(SPEC), str(changed), "--output", str(tmp_path / "no/review.txt"))
    assert nowhere.exit_code == 2 and "cannot be written" in nowhere.output


def test_approvals_may_stand_elsewhere(changed: Path, tmp_path: Path) -> None:
    file = tmp_path / "approvals.yaml"
    soon = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(30)
    entry = f"{{rule: config-bound-tightened, where: config, reason: Ports are few., expires: {soon}}}"
    file.write_text(f"approvals:\n  - {entry}\n")
    assert run(str(SPEC), str(changed), "--approvals", str(file)).exit_code == 0
    file.write_text(file.read_text().replace(str(soon), "2999-01-01"))
    late = run(str(SPEC), str(changed), "--approvals", str(file))
    assert late.exit_code == 2 and "approvals.yaml:2:" in late.output and "a year away" in late.output
    missing = run(str(SPEC), str(changed), "--approvals", str(tmp_path / "none.yaml"))
    assert missing.exit_code == 2 and "none.yaml does not load" in missing.output


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def compared(folder: Path, *variables: str) -> str:
    """What `make spec-diff` calls the command with."""
    (folder / "bin").mkdir(exist_ok=True)
    command = folder / "bin/specstack"
    command.write_text('#!/bin/sh\necho "$@"\n')
    command.chmod(0o755)
    made = ["make", "-s", "-f", str(SPEC.parent / "Makefile"), "-o", ".venv/.dev", "BIN=bin", *variables]
    environment = {key: value for key, value in os.environ.items() if key not in ("BASE", "MAKEFLAGS")}
    environment["GIT_CEILING_DIRECTORIES"] = str(folder.parent)
    done = subprocess.run(
        [*made, "spec-diff"], cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_make_compares_with_where_the_branch_left_main_or_with_the_commit_before(tmp_path: Path) -> None:
    upstream, folder = tmp_path / "upstream", tmp_path / "clone"
    upstream.mkdir()
    assert "no git history" in compared(upstream)
    git(upstream, "init", "-q", "-b", "main")
    git(upstream, "commit", "-qm", "one", "--allow-empty")
    assert "no git history" in compared(upstream)
    one = git(upstream, "rev-parse", "HEAD")
    git(upstream, "commit", "-qm", "two", "--allow-empty")
    two = git(upstream, "rev-parse", "HEAD")
    assert compared(upstream) == f"spec diff {one} spec"
    git(tmp_path, "clone", "-q", str(upstream), str(folder))
    assert compared(folder) == f"spec diff {one} spec"
    git(folder, "commit", "-qm", "three", "--allow-empty")
    git(folder, "commit", "-qm", "four", "--allow-empty")
    assert compared(folder) == f"spec diff {two} spec", "on main, all that is not pushed"
    git(folder, "checkout", "-qb", "branch")
    git(folder, "commit", "-qm", "five", "--allow-empty")
    assert compared(folder) == f"spec diff {two} spec"
    assert compared(folder, "BASE=HEAD") == "spec diff HEAD spec"


def test_without_the_extra_it_says_which(changed: Path, tmp_path: Path) -> None:
    """An installation without the extra has no jinja2."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/jinja2.py").write_text("raise ModuleNotFoundError(\"No module named 'jinja2'\")")
    code = "import sys; from specstack.cli.main import main; sys.argv[0] = 'specstack'; main()"
    path = os.pathsep.join([str(tmp_path / "site"), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code, "spec", "diff", str(SPEC), str(changed)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "pip install 'specstack[codegen]'" in done.stderr and "Traceback" not in done.stderr
