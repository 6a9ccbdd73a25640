"""What the commands say when something is wrong around them: one line each, never a traceback."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner, Result

from specstack.cli.main import app
from support.loopback_upstream import LoopbackUpstream


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize(
    "wrong", ["nonsense", "", "ftp://h", "http://", "http://127.0.0.1:abc", "http://[::1"]
)
def test_a_url_that_is_none(wrong: str) -> None:
    result = run("models", "--url", wrong)
    assert (result.exit_code, result.exception.__class__) == (1, SystemExit)
    assert result.output == f"error: '{wrong}' is no URL of a server; write it like http://127.0.0.1:8321\n"


@pytest.mark.parametrize("command", [["models"], ["chat", "hi"], ["providers", "-r"], ["routes", "-r"]])
def test_a_web_server_is_no_specstack(command: list[str], tmp_path: Path) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as web:
        Thread(target=web.serve_forever, daemon=True).start()
        result = run(*command, "--url", f"http://127.0.0.1:{web.server_port}")
        web.shutdown()
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert "sends a web page, so it is no specstack" in line


def test_an_answer_that_breaks_off_keeps_its_line() -> None:
    with LoopbackUpstream.running() as upstream:
        result = run("chat", "a b c @@drop=3@@", "--url", upstream.base_url)
    assert result.exit_code == 1
    answer, error, *_ = result.output.splitlines()
    assert answer.startswith("You")
    assert error.startswith("error: ")


def test_an_empty_host_is_not_every_address(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("version: 2\ndistro_name: t\nproviders: {}\n")
    result = run("serve", str(path), "--host", "")
    assert result.exit_code == 1
    assert "error: --host is empty" in result.output


def test_a_config_nested_too_deeply(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("version: 2\nproviders: " + "[" * 5000 + "]" * 5000)
    result = run("serve", str(path))
    assert result.exit_code == 1
    assert result.output == f"error: {path}:2: it is nested too deeply; mend the YAML there\n"
