"""Follows CONTRIBUTING.md word for word: what it adds to a copy is generated, tested and served."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.process import free_port, running_server

ROOT = Path(__file__).parents[2]
ROOTS = ("core", "generated", "providers", "distributions", "codegen")
BLOCK = re.compile(
    r"^`(?P<path>[^`\n]+)`(?P<append> \(appended\))?\n\n```\w+\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


def files_of(document: str) -> Iterator[tuple[str, bool, str]]:
    for match in BLOCK.finditer(document):
        yield match["path"], bool(match["append"]), match["text"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """A copy of the project with the documented files in it, generated; and the paths written by hand."""
    copy = tmp_path_factory.mktemp("project")
    for name in (*ROOTS, "spec"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    written: set[str] = set()
    for path, append, text in files_of((ROOT / "CONTRIBUTING.md").read_text()):
        target = copy / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(target.read_text() + text if append else text)
        written.add(path)
    subprocess.run([sys.executable, "-m", "specstack_codegen"], cwd=copy, env=environment(copy), check=True)
    return copy, written


def environment(copy: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(copy / root) for root in ROOTS)}


def test_only_spec_one_provider_its_test_and_a_run_config_are_written_by_hand(
    project: tuple[Path, set[str]],
) -> None:
    _, written = project
    assert len(written) == 6
    assert {path for path in written if not path.startswith("spec/")} == {
        "providers/specstack_providers/inline/sentiment/word_list.py",
        "tests/providers/inline/sentiment/test_word_list.py",
        "sentiment.yaml",
    }


def test_the_documented_test_passes(project: tuple[Path, set[str]]) -> None:
    tests = [path for path in project[1] if path.startswith("tests/")]
    done = run(project[0], "pytest", "-p", "no:cacheprovider", *tests)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_what_is_written_by_hand_is_clean(project: tuple[Path, set[str]]) -> None:
    python = [path for path in project[1] if path.endswith(".py")]
    for check in (["check"], ["format", "--check"]):
        done = run(project[0], "ruff", *check, *python)
        assert done.returncode == 0, done.stdout + done.stderr


def run(copy: Path, *module: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *module]
    return subprocess.run(
        command, cwd=copy, env=environment(copy), capture_output=True, text=True, check=False
    )


def test_the_served_example_answers_as_documented(project: tuple[Path, set[str]]) -> None:
    copy, _ = project
    document = (ROOT / "CONTRIBUTING.md").read_text()
    sent = re.search(
        r"curl -s http://[^/]+(?P<path>/\S+) -H '(?P<header>[^']+)' -d '(?P<body>[^']+)'", document
    )
    answer = re.search(r"```json\n(?P<json>.+?)\n```", document)
    assert sent is not None and answer is not None
    port = free_port()
    with running_server(
        ["sentiment.yaml", "--port", str(port)], port, cwd=copy, env=environment(copy)
    ) as url:
        reply = httpx.post(
            url + sent["path"], content=sent["body"], headers=dict([sent["header"].split(": ")])
        )
        assert (reply.status_code, reply.json()) == (200, json.loads(answer["json"]))
        refusal = httpx.post(url + sent["path"], json={"text": "neither"})
        assert (refusal.status_code, refusal.json()["error"]["code"]) == (400, "text_unclear")
