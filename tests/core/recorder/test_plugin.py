"""The pytest plugin as a third party's tests use it, and the commands, in processes of their own."""

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import specstack_api.errors
from specstack.cli.main import app
from specstack.recorder.recorder import Recorder

ROOT = Path(__file__).parents[3]
KEY = "sk-of-nobody-0123456789"
CONFIG = """\
version: 2
distro_name: mine
providers:
  inference:
    - provider_id: mine
      provider_type: remote::openai-compatible
      config: {base_url: "${env.FAR}/v1", api_key: %s, allowed_models: [some-model]}
"""


class Far(BaseHTTPRequestHandler):
    """A model server that counts."""

    asked = 0

    def do_POST(self) -> None:
        type(self).asked += 1
        self.rfile.read(int(self.headers["content-length"]))
        body = {
            "id": f"chatcmpl-{self.asked}",
            "object": "chat.completion",
            "created": 1,
            "model": "some-model",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "logprobs": None,
                    "message": {"role": "assistant", "content": "Hello!", "refusal": None},
                }
            ],
        }
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def far() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Far)
    Far.asked = 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A provider's project with the test that the documentation shows."""
    shown = re.search(
        r"```python\n# test_my_provider.py\n(.*?)```", (ROOT / "docs/recordings.md").read_text(), re.S
    )
    assert shown is not None
    (tmp_path / "test_my_provider.py").write_text(shown[1])
    (tmp_path / "my-config.yaml").write_text(CONFIG % KEY)
    (tmp_path / "pytest.ini").write_text("[pytest]\nspecstack_recordings = kept\n")
    return tmp_path


def run_tests(project: Path, far: str, *options: str, **variables: str) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if "INFERENCE_MODE" not in name}
    roots = os.pathsep.join(str(ROOT / root) for root in ("core", "generated", "providers", "distributions"))
    found = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "specstack.testing.plugin",
            "-p",
            "no:cacheprovider",
            *options,
        ],
        cwd=project,
        env={**environment, "PYTHONPATH": roots, "FAR": far, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return found.returncode, found.stdout + found.stderr


def test_recorded_once_replayed_ever_after_and_missed(project: Path, far: str) -> None:
    status, said = run_tests(project, far)
    assert (status, Far.asked) == (1, 0)
    assert "nothing is recorded of mine" in said and "record-if-missing" in said
    status, said = run_tests(project, far, "--inference-mode", "record-if-missing")
    assert (status, Far.asked) == (0, 1), said
    assert run_tests(project, "http://127.0.0.1:9")[0] == 0
    (project / "test_my_provider.py").write_text(
        (project / "test_my_provider.py").read_text().replace('"Hello!"', '"Hullo!"')
    )
    status, said = run_tests(project, far)
    assert status == 1
    assert 'messages[0].content: "Hullo!" is asked, "Hello!" is recorded' in said
    assert run_tests(project, far, LLAMA_STACK_TEST_INFERENCE_MODE="record")[0] == 0
    assert Far.asked == 2
    files = [path for path in (project / "kept").rglob("*.json") if path.parent.parent.name == "mine"]
    texts = [path.read_text() for path in files]
    assert sum('"Hullo!"' in text for text in texts) == 1 and not any('"Hello!"}' in text for text in texts)
    assert KEY not in "".join(texts)


WITH_FIXTURES = """
import asyncio

import pytest


def ask(recorder, what):
    async def live():
        return what

    return asyncio.run(recorder.calls("mine").call("model", what, live))


@pytest.fixture
def before(recorder):
    return ask(recorder, "before"), recorder.ids.new("id-")


def test_first(recorder, before):
    assert ask(recorder, "first") == "first" and before[1] != recorder.ids.new("id-")


def test_second(recorder, before):
    assert ask(recorder, "second") == "second"
"""


def test_what_a_tests_fixtures_ask_is_the_tests(project: Path, far: str) -> None:
    (project / "test_my_provider.py").write_text(WITH_FIXTURES)
    status, said = run_tests(project, far, "--inference-mode", "record")
    assert status == 0, said
    kept = [json.loads(path.read_text()) for path in (project / "kept").rglob("*.json")]
    name = "test_my_provider.test_"
    assert {(one["test"].removeprefix(name), one["request"]) for one in kept} == {
        ("first", "before"),
        ("first", "first"),
        ("second", "before"),
        ("second", "second"),
    }
    assert run_tests(project, far)[0] == 0


def test_what_is_marked_live_is_not_answered_by_recordings(project: Path, far: str) -> None:
    path = project / "test_my_provider.py"
    path.write_text(f"{path.read_text()}\n\n@pytest.mark.live\ndef test_engine():\n    pass\n")
    status, said = run_tests(project, far, "--strict-markers", "-m", "live")
    assert status == 0 and "1 passed" in said, said
    path.write_text(path.read_text().replace("def test_engine():", "def test_engine(client):"))
    status, said = run_tests(project, far)
    assert status == 4
    assert "marked `live`, and yet it uses the fixture `recorder`" in said
    assert "test_my_provider.py::test_engine" in said


def test_a_mode_that_there_is_not(project: Path, far: str) -> None:
    status, said = run_tests(project, far, SPECSTACK_TEST_INFERENCE_MODE="often")
    assert status != 0
    assert "SPECSTACK_TEST_INFERENCE_MODE: 'often' is no mode" in said


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kept = recorded(tmp_path / "kept")
    status, said = command("list", "--dir", "kept")
    assert status == 0 and "whole" in said and "file.test_a" in said and kept.name in said
    status, said = command("show", kept.stem, "--dir", "kept")
    assert status == 0 and "Hello!" in said and "near" in said
    assert command("verify", "--dir", "kept")[0] == 0
    status, said = command("prune", "--unused", "0", "--dry-run", "--dir", "kept")
    assert kept.name in said and "1 would be removed" in said and kept.exists()
    kept.write_text(kept.read_text().replace("Hello!", KEY))
    status, said = command("verify", "--dir", "kept")
    assert status == 1 and "looks like a secret" in said and kept.name in said
    kept.write_text("{")
    status, said = command("list", "--dir", "kept")
    assert status == 0 and "damaged" in said
    assert "1 would be removed" not in command("prune", "--unused", "1", "--dry-run", "--dir", "kept")[1]
    assert command("prune", "--unused", "0", "--dir", "kept")[0] == 0
    assert not kept.exists()
    status, said = command("list", "--dir", "nowhere")
    assert status == 1 and "there is no directory nowhere" in said


def command(*words: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["recordings", *words])
    return found.exit_code, found.output


def recorded(folder: Path) -> Path:
    """A directory with one recording."""
    found = Recorder("record", folder, specstack_api.errors)
    found.begin("file.test_a")

    async def live() -> Any:
        return {"text": "Hello!"}

    asyncio.run(found.calls("near").call("model", {"q": 1}, live))
    found.close()
    return found.library.files()[0]
