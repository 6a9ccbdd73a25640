"""What the README shows is what happens: its commands are run against the running server."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.model, pytest.mark.slow, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SHOWN = "http://127.0.0.1:8321"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_curl_line_gets_an_answer(url: str) -> None:
    (command,) = (block for block in blocks("sh") if "curl" in block)
    done = subprocess.run(
        ["bash", "-c", command.replace(SHOWN, url)], capture_output=True, text=True, check=True
    )
    assert "Paris" in json.loads(done.stdout)["choices"][0]["message"]["content"]


@pytest.mark.parametrize("example", blocks("python"), ids=["over-http", "kept", "in-process"])
def test_the_python_examples_print_an_answer(url: str, example: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", example.replace(SHOWN, url)], capture_output=True, text=True, check=True
    )
    assert "Paris" in done.stdout


def test_every_command_of_the_table_has_help_with_examples() -> None:
    table = README.split("## Commands")[1].split("##")[0]
    commands = re.findall(r"^\| `(stack-serve|specstack \w+)", table, re.MULTILINE)
    assert len(commands) >= 5
    for command in commands:
        program, *rest = command.split()
        entry = "stack_serve" if program == "stack-serve" else "main"
        run = f"import sys; sys.argv[0] = {program!r}; from specstack.cli.main import {entry}; {entry}()"
        done = subprocess.run(
            [sys.executable, "-c", run, *rest, "--help"], capture_output=True, text=True, check=True
        )
        assert "xample" in done.stdout, command


def test_every_make_target_shown_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for document in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"make ([a-z-]+)", (ROOT / document).read_text()):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), (document, target)


def test_every_file_linked_exists() -> None:
    for document in ("README.md", "CONTRIBUTING.md"):
        for link in re.findall(r"\]\(([^)#]+)\)", (ROOT / document).read_text()):
            assert (ROOT / link).exists(), (document, link)
