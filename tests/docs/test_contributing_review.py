"""The commands and the approval that CONTRIBUTING.md shows under "Change an API", run in a repository."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "CONTRIBUTING.md").read_text().split("## Change an API")[1].split("\n## ")[0]
BLOCKS = dict(re.findall(r"```(\w+)\n(.*?)```", SECTION, re.DOTALL))
END = "          description: What to order."
BREAK = (f"          minItems: 1\n{END}", f"          minItems: 2\n{END}")


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def specstack(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    program, *arguments = shlex.split(command, comments=True)
    assert program == "specstack"
    code = "import sys; from specstack.cli.main import main; sys.argv[0] = 'specstack'; main()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_the_commands_say_what_a_branch_breaks_and_the_approval_lets_it_pass(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    shutil.copytree(ROOT / "spec", tmp_path / "spec")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "main")
    git(tmp_path, "checkout", "-qb", "branch")
    file = tmp_path / "spec/openapi/inference.yaml"
    assert BREAK[0] in file.read_text()
    file.write_text(file.read_text().replace(*BREAK))
    git(tmp_path, "commit", "-qam", "branch")
    commands = [line for line in BLOCKS["sh"].splitlines() if line]
    assert len(commands) == 4
    for command in commands:
        done = specstack(tmp_path, command)
        assert done.returncode == 1, f"{command}: {done.stderr}"
    assert "request-bound-tightened" in (tmp_path / "review.md").read_text()
    assert "request-bound-tightened" in (tmp_path / "review.html").read_text()

    assert set(yaml.safe_load(BLOCKS["yaml"])) == {"approvals"}
    (tmp_path / "spec/approvals.yaml").write_text(
        re.sub(r"expires: .*", f"expires: {date.today() + timedelta(days=300)}", BLOCKS["yaml"])
    )
    done = specstack(tmp_path, commands[0])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "approved until" in done.stdout
