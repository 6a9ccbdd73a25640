"""The conformance kit, run as a third party would: over the default distribution, and over a bad provider."""

import os
import re
import subprocess
import sys
from pathlib import Path

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


def test_a_provider_that_breaks_the_spec_fails(tmp_path: Path) -> None:
    """A server behind the provider that answers every chat with an object of another kind."""
    (tmp_path / "bad.py").write_text(
        "import http.server, json, sys, threading\n"
        "class Far(http.server.BaseHTTPRequestHandler):\n"
        "    def do_POST(self):\n"
        "        self.rfile.read(int(self.headers['content-length']))\n"
        "        body = json.dumps({'object': 'nonsense', 'model': 'echo'}).encode()\n"
        "        self.send_response(200)\n"
        "        self.send_header('content-type', 'application/json')\n"
        "        self.send_header('content-length', str(len(body)))\n"
        "        self.end_headers()\n"
        "        self.wfile.write(body)\n"
        "    def do_GET(self):\n"
        "        self.send_error(404)\n"
        "    def log_message(self, *args):\n"
        "        pass\n"
        "server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Far)\n"
        "print(server.server_port, flush=True)\n"
        "server.serve_forever()\n"
    )
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "bad.py")], stdout=subprocess.PIPE, text=True
    ) as far:
        assert far.stdout is not None
        port = far.stdout.readline().strip()
        (tmp_path / "run.yaml").write_text(CONFIG % f"http://127.0.0.1:{port}/v1")
        status, said = run("--specstack-provider", "run.yaml", "-k", "answers and chat", cwd=tmp_path)
        far.kill()
    assert status == 1, said
    assert "2 failed" in said and "does not fit the spec" in said, said


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
