"""The conformance kit, run as a third party would: over the default distribution, and over a bad provider."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ROOTS = ("core", "generated", "providers", "distributions", "tests")
RECORDINGS = ROOT / "tests" / "integration" / "recordings"
CONFIG = """\
version: 2
distro_name: kit
providers:
  inference:
    - provider_id: far
      provider_type: remote::openai-compatible
      config: {base_url: "%s", allowed_models: [echo]}
"""


def run(*options: str, cwd: Path) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if "INFERENCE_MODE" not in name}
    environment["PYTHONPATH"] = os.pathsep.join(str(ROOT / root) for root in ROOTS)
    command = ["pytest", "-p", "specstack.testing.plugin", "-p", "no:cacheprovider", "-rs"]
    kit = ["--pyargs", "specstack.testing.conformance"]
    found = subprocess.run(
        [sys.executable, "-m", *command, *kit, *options],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
    )
    return found.returncode, found.stdout + found.stderr


def test_the_embedded_providers_conform_by_their_recordings(tmp_path: Path) -> None:
    status, said = run(
        "--specstack-provider",
        "starter",
        "--inference-mode",
        "replay",
        "--recordings",
        str(RECORDINGS),
        cwd=tmp_path,
    )
    assert status == 0, said
    passed = re.search(r"(\d+) passed", said)
    assert passed is not None and int(passed[1]) >= 15, said


@contextmanager
def far(reply: dict[str, Any]) -> Iterator[str]:
    """A server that has one model, and answers for any."""

    class Far(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self._say(reply)

        def do_GET(self) -> None:
            self._say({"object": "list", "data": [{"id": "echo"}]})

        def _say(self, said: dict[str, Any]) -> None:
            body = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Far)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


CHAT = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "echo",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "logprobs": None,
            "message": {"role": "assistant", "content": "Hello!", "refusal": None},
        }
    ],
}


def test_a_provider_that_breaks_the_spec_fails(tmp_path: Path) -> None:
    """It answers every chat with an object of another kind."""
    with far({"object": "nonsense", "model": "echo"}) as address:
        (tmp_path / "run.yaml").write_text(CONFIG % address)
        status, said = run("--specstack-provider", "run.yaml", "-k", "answers and chat", cwd=tmp_path)
    assert status == 1, said
    assert "2 failed" in said and "does not fit the spec" in said, said


def test_a_provider_that_lists_its_models_may_answer_for_no_other(tmp_path: Path) -> None:
    with far(CHAT) as address:
        (tmp_path / "run.yaml").write_text(CONFIG.replace(", allowed_models: [echo]", "") % address)
        status, said = run("--specstack-provider", "run.yaml", "-k", "chat and unknown", cwd=tmp_path)
        assert status == 1, said
        assert "1 failed, 1 passed" in said, said
        assert "far has the capability `list_models`, so it knows its own ids, and yet it answers" in said
        # With its models named in the config the provider itself refuses others.
        (tmp_path / "run.yaml").write_text(CONFIG % address)
        status, said = run("--specstack-provider", "run.yaml", "-k", "chat and unknown", cwd=tmp_path)
        assert status == 0 and "2 passed" in said, said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "name a run config with the provider"),
        (("--specstack-provider", "nowhere.yaml"), "nowhere.yaml"),
        (("--specstack-provider", "starter", "--specstack-id", "x"), "no such provider"),
    ],
)
def test_what_it_is_given_must_be_there(options: tuple[str, ...], message: str, tmp_path: Path) -> None:
    status, said = run(*options, cwd=tmp_path)
    assert status != 0
    assert message in said
