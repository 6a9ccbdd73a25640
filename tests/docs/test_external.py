"""Follows docs/external.md word for word: its folders and its package are generated, installed and served."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from docs.test_contributing import files_of
from support.process import free_port, running_server

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "external.md").read_text()
ROOTS = ("core", "generated", "providers", "distributions", "codegen")
EXAMPLE = re.compile(
    r"^```sh\n(?P<generate>specstack generate .+)\nstack-serve (?P<config>\S+)\n"
    r"curl -s http://localhost:8321(?P<path>/\S+) -H '(?P<header>[^']+)' -d '(?P<body>[^']+)'\n```\n\n"
    r"```json\n(?P<answer>.+)\n```$",
    re.MULTILINE,
)
EXAMPLES = list(EXAMPLE.finditer(PAGE))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of the page, and a cache of its own beside it."""
    made = tmp_path_factory.mktemp("page") / "srv"
    for path, _, text in files_of(PAGE):
        target = made / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return made


def environment(folder: Path, *more: str) -> dict[str, str]:
    path = os.pathsep.join([*(str(ROOT / root) for root in ROOTS), *more])
    return {**os.environ, "PYTHONPATH": path, "SPECSTACK_CACHE": str(folder.parent / "cache")}


def specstack(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    name, *arguments = shlex.split(command)
    assert name == "specstack"
    program = [sys.executable, "-m", "specstack", *arguments]
    return subprocess.run(
        program, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False
    )


def ask(url: str, example: re.Match[str]) -> httpx.Response:
    return httpx.post(
        url + example["path"], content=example["body"], headers=dict([example["header"].split(": ")])
    )


def test_the_page_has_both_examples() -> None:
    assert [one["config"] for one in EXAMPLES] == ["parrot.yaml", "greetings.yaml"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one["config"])
def test_a_folder_is_generated_and_served_as_documented(folder: Path, example: re.Match[str]) -> None:
    done = specstack(folder, example["generate"])
    assert done.returncode == 0, done.stdout + done.stderr
    port = free_port()
    arguments = [example["config"], "--port", str(port)]
    with running_server(arguments, port, cwd=folder, env=environment(folder)) as url:
        reply = ask(url, example)
    assert (reply.status_code, reply.json()) == (200, json.loads(example["answer"]))


def test_what_is_written_by_hand_is_clean(folder: Path) -> None:
    """ruff, and strict types against the generated code, which is checked along with it."""
    ruff = [sys.executable, "-m", "ruff"]
    # As its author sees it: specstack is an installed package like any other.
    options = ["--isolated", "--config", "line-length = 110"]
    hand = [str(path) for path in folder.glob("*/*.py")]
    assert len(hand) == 2
    for check in (["check", "--select", "E,F,I,UP,B,SIM,RUF"], ["format", "--check"]):
        command = [*ruff, *check, *options, *hand]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    types = folder.parent / "types"
    types.mkdir()
    for name in ("birds", "greetings"):
        out = types / name
        assert specstack(folder, f"specstack generate --external {name} --out {out}").returncode == 0
        (copied,) = (folder / name).glob("*.py")
        (out / copied.name).write_text(copied.read_text())
    roots = [str(ROOT / "core"), str(ROOT / "generated"), str(types / "birds"), str(types / "greetings")]
    settings = {
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "extraPaths": roots,
        "reportMissingTypeStubs": False,
        "reportUnknownMemberType": False,
    }
    (types / "pyrightconfig.json").write_text(json.dumps(settings))
    command = ["basedpyright", "--level", "error", "--pythonpath", sys.executable]
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=types, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_documented_refusal_is_what_the_server_says(folder: Path) -> None:
    errors = folder / "greetings" / "errors.yaml"
    text = errors.read_text()
    errors.write_text(text.replace("400", "404"))
    done = specstack(folder, "specstack config check greetings.yaml")
    errors.write_text(text)
    said = re.search(r"```text\n(.+)\n```", PAGE)
    assert said is not None
    assert done.returncode == 1
    assert done.stderr.strip() == said[1].replace("/srv/", f"{folder}/")


def test_code_beside_the_spec_is_found(folder: Path) -> None:
    (command,) = [line for line in PAGE.splitlines() if line.endswith("--out greetings/generated")]
    assert specstack(folder, command).returncode == 0
    checked = subprocess.run(
        [sys.executable, "-m", "specstack", "config", "check", "greetings.yaml"],
        cwd=folder,
        env={**environment(folder), "SPECSTACK_CACHE": str(folder.parent / "nothing")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def test_a_package_is_built_installed_and_served(folder: Path) -> None:
    """A wheel as documented, installed by pip apart from everything; the server is the same as ever."""
    command = re.search(r"^(specstack generate --external greetings --out src)\npip install \.$", PAGE, re.M)
    assert command is not None
    assert specstack(folder, command[1]).returncode == 0
    target = folder.parent / "site"
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*pip, "--disable-pip-version-check", "--target", str(target), "."],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (target / "acme_greetings-1.0.dist-info").is_dir()
    text = (folder / "greetings.yaml").read_text()
    config = folder / "installed.yaml"
    config.write_text(text.replace("external_apis_dir: greetings\n", ""))
    port = free_port()
    env = {**environment(folder, str(target)), "SPECSTACK_CACHE": str(folder.parent / "nothing")}
    with running_server([str(config), "--port", str(port)], port, cwd=target, env=env) as url:
        reply = ask(url, EXAMPLES[1])
        assert (reply.status_code, reply.json()) == (200, json.loads(EXAMPLES[1]["answer"]))
        refused = httpx.post(url + EXAMPLES[1]["path"], json={"name": "Bob"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "name_unknown")
