"""The README's line for logs and metrics does what is said below it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx

from support.loopback_upstream import LoopbackUpstream
from support.process import free_port

ROOT = Path(__file__).parents[2]
RUN = f"{sys.executable} -c 'from specstack.cli.main import stack_serve; stack_serve()'"


def test_the_line_of_the_readme_logs_calls_as_json_and_serves_metrics() -> None:
    shown = (ROOT / "README.md").read_text().split("## What it tells")[1]
    command = re.findall(r"^```sh\n(.*?)^```$", shown, re.MULTILINE | re.DOTALL)[0]
    assert command.count("stack-serve") == 1
    url = f"http://127.0.0.1:{(port := free_port())}"
    with LoopbackUpstream.running() as upstream:
        env = {**os.environ, "OPENAI_BASE_URL": upstream.base_url, "SPECSTACK_PORT": str(port)}
        process = subprocess.Popen(
            ["bash", "-c", "exec env " + command.replace("stack-serve", RUN)],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            assert any("  try " in line for line in process.stdout), "it did not start"
            httpx.get(f"{url}/v1/models", headers={"x-request-id": "mine"}, timeout=20)
            metrics = httpx.get(f"{url}/metrics", timeout=20)
        finally:
            process.terminate()
            _, err = process.communicate(timeout=30)
    assert 'http_route="/v1/models"' in metrics.text
    (line,) = [one for one in map(json.loads, err.splitlines()) if one.get("request_id") == "mine"]
    assert (line["category"], line["path"], line["status"]) == ("access", "/v1/models", 200)
