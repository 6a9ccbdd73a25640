"""The commands, by typer's runner; those that need a server get a real one."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from specstack.cli.main import app
from specstack.config import read_config
from specstack.distributions import find_distribution, shipped
from specstack.positions import load
from specstack.startup import StartupError
from support.loopback_upstream import LoopbackUpstream
from support.serving import serving

CONFIG = """
version: 2
distro_name: cli
providers:
  inference:
    - provider_id: up
      provider_type: remote::openai-compatible
      config: {base_url: "${env.UP}"}
server: {port: 0}
"""


def run(*arguments: str, input: str | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=input)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running server in front of a loopback model server."""
    from specstack.assembly import build
    from specstack_server import SERVER

    with LoopbackUpstream.running() as upstream:
        config = read_config(CONFIG, "run.yaml", SERVER, {"UP": upstream.base_url})
        with serving(build(config), log_config=None) as running:
            yield running


COMMANDS = [
    [],
    ["serve"],
    ["chat"],
    ["models"],
    ["models", "pull"],
    ["models", "store"],
    ["keys"],
    ["keys", "new"],
    ["keys", "hash"],
    ["providers"],
    ["distros"],
    ["distro"],
    ["distro", "list"],
    ["distro", "show"],
    ["distro", "validate"],
    ["distro", "deps"],
    ["distro", "readme"],
    ["distro", "build"],
    ["config"],
    ["config", "check"],
    ["config", "show"],
    ["config", "schema"],
    ["config", "upgrade"],
    ["db"],
    ["db", "status"],
    ["db", "upgrade"],
    ["routes"],
    ["spec"],
    ["spec", "lint"],
    ["spec", "bundle"],
    ["spec", "score"],
    ["spec", "docs"],
    ["spec", "mock"],
    ["generate"],
    ["spec"],
    ["spec", "diff"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_teaches_with_examples(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "xample" in result.output
    assert "specstack " in result.output or "stack-serve" in result.output


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nsys.argv = ['specstack', '--help']\n"
        "from specstack.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'pydantic', 'fastapi', 'aiohttp', 'httpx', 'uvicorn', 'yaml'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_models(url: str) -> None:
    result = run("models", "--url", url)
    lines = [line.split() for line in result.output.splitlines()]
    assert lines[0] == ["MODEL", "TYPE", "PROVIDER"]
    assert ["up/echo", "llm", "up"] in lines
    assert ["up/echo-embed", "embedding", "up"] in lines


def test_chat_answers_one_message(url: str) -> None:
    result = run("chat", "hello there", "--url", url, "--model", "up/echo")
    assert (result.exit_code, result.output) == (0, "You said: hello there\n")


def test_chat_keeps_the_conversation(url: str) -> None:
    result = run("chat", "--url", url, input="one\n\n/new\ntwo\n/quit\n")
    assert result.output.startswith(f"up/echo at {url}.")
    assert result.output.count("You said: ") == 2
    assert "You said: two" in result.output


def test_chat_goes_on_after_an_error(url: str) -> None:
    result = run("chat", "--url", url, input="@@status=400@@\nagain\n")
    assert "error: " in result.output
    assert "You said: again" in result.output
    assert result.exit_code == 0


def test_chat_with_an_unknown_model(url: str) -> None:
    result = run("chat", "hi", "--url", url, "--model", "up_echo")
    assert result.exit_code == 1
    assert "error: The model 'up_echo' does not exist. Did you mean 'up/echo'" in result.output


def test_a_url_may_end_in_v1(url: str) -> None:
    assert run("models", "--url", url + "/v1").exit_code == 0


@pytest.mark.parametrize("command", [["models"], ["chat", "hi"], ["providers", "-r"], ["routes", "-r"]])
def test_no_server(command: list[str]) -> None:
    result = run(*command, "--url", "http://127.0.0.1:1")
    assert result.exit_code == 1
    assert "error: no answer from http://127.0.0.1:1" in result.output
    assert "start a server with `specstack serve`" in result.output


def test_providers_lists_types() -> None:
    output = run("providers").output
    assert "inline::llama-cpp" in output
    assert "remote::ollama" in output


def test_providers_of_the_running_server(url: str) -> None:
    (_, line) = run("providers", "--running", "--url", url).output.splitlines()
    assert line.split() == ["up", "remote::openai-compatible", "inference", "OK"]


def test_routes(url: str) -> None:
    every = run("routes").output
    assert "POST    /v1/chat/completions" in every
    assert "/v1/openai/v1/chat/completions" not in every
    assert "/v1/openai/v1/chat/completions" in run("routes", "--aliases").output
    running = run("routes", "--running", "--url", url).output
    assert any(line.split()[:2] == ["GET", "/v1/health"] for line in running.splitlines())
    assert "/v1/openai/v1/chat/completions" in run("routes", "-r", "--aliases", "--url", url).output


def test_distros() -> None:
    assert "starter" in run("distros").output
    shown = run("distros", "show", "starter").output
    assert shown == find_distribution("starter").path.read_text()
    result = run("distros", "show", "startr")
    assert result.exit_code == 1
    assert "error: no distribution 'startr' and no such file; did you mean 'starter'?" in result.output


def test_finding_a_run_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "mine"
    own.mkdir()
    with pytest.raises(StartupError, match=r"has no config.yaml"):
        find_distribution(str(own))
    (own / "config.yaml").write_text("version: 2")
    (own / "notice.txt").write_text("Read this.\n")
    found = find_distribution(str(own))
    assert (found.path, found.notice) == (own / "config.yaml", "Read this.")
    assert find_distribution(str(own / "config.yaml")).path == own / "config.yaml"
    monkeypatch.chdir(tmp_path)
    assert find_distribution("mine").name == "mine"
    with pytest.raises(StartupError, match=r"there is no such file"):
        find_distribution("nothing.yaml")


@pytest.mark.parametrize("name", [one.name for one in shipped()])
@pytest.mark.parametrize("full", [False, True])
def test_every_distribution_reads_with_and_without_its_variables(name: str, full: bool) -> None:
    import re

    from specstack_server import SERVER

    path = find_distribution(name).path
    text = path.read_text()
    switches = set(re.findall(r"\$\{env\.(\w+)", text)) - {"SPECSTACK_PORT"}
    env = dict.fromkeys(switches, "http://upstream.example/v1")
    if "POSTGRES_URL" in env:
        env["POSTGRES_URL"] = "postgresql://db.example/d"
    env |= dict.fromkeys(re.findall(r"\$\{env\.(\w+):=false\}", text), "true")
    config = read_config(text, str(path), SERVER, env if full else {})
    assert config.stack.distro_name == name
    if name == "starter":
        ids = [one.provider_id for one in config.providers]
        remote = ["ollama", "vllm", "openai", "openai-compatible"]
        assert ids == ["llama-cpp", "embeddings", *(remote if full else [])]
        models = config.providers[0].config.model_dump()["models"]
        assert [one["model_id"] for one in models] == [*(["gguf"] if full else []), "smollm2-135m-instruct"]


def test_default_models_are_those_of_the_starter(monkeypatch: pytest.MonkeyPatch) -> None:
    from specstack_providers.model_store import ModelStore, WeightsUnavailable

    pulled: list[str] = []

    def pull(self: ModelStore, name: str, progress: object = None) -> Path:
        if name == "broken":
            raise WeightsUnavailable("cannot fetch broken: no network; then run `x`")
        pulled.append(name)
        return Path("/cache") / name

    monkeypatch.setattr(ModelStore, "pull", pull)
    assert run("models", "pull").exit_code == 0
    assert run("models", "pull", "--default").exit_code == 0
    assert pulled == ["smollm2-135m-instruct", "all-minilm-l6-v2"] * 2
    assert run("models", "pull", "other").output == "other: /cache/other\n"
    result = run("models", "pull", "broken")
    assert (result.exit_code, result.output) == (1, "error: cannot fetch broken: no network; then run `x`\n")


def test_the_store_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECSTACK_CACHE", str(tmp_path))
    output = run("models", "store").output
    assert "smollm2-135m-instruct" in output
    assert "pull 93 MB" in output


def test_generate_hands_its_options_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from specstack_codegen import cli

    seen: list[list[str]] = []

    def main(arguments: list[str]) -> int:
        seen.append(arguments)
        return 3

    monkeypatch.setattr(cli, "main", main)
    assert run("generate", "--check", "--spec", "s").exit_code == 3
    assert seen == [["--check", "--spec", "s"]]


def test_generate_without_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "specstack_codegen.cli", None)
    result = run("generate")
    assert result.exit_code == 1
    assert 'error: generate needs the extra "codegen"' in result.output
    assert "pip install 'specstack[codegen]'" in result.output


def test_serve_names_every_fault_of_a_config(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("version: 3\ndistro_name: t\nproviders: {}\nserver: {prot: 1}\n")
    result = run("serve", str(path))
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f"error: {path}:1: version: must be 2",
        f"error: {path}:4: server.prot: unknown key; did you mean 'port'?",
    ]


def test_the_packages_carry_what_the_commands_need() -> None:
    assert (resources.files("specstack_distributions") / "starter" / "config.yaml").is_file()
    spec = json.loads((resources.files("specstack_api") / "openapi.json").read_bytes())
    assert "/v1/chat/completions" in spec["paths"]
    assert os.environ.get("SPECSTACK_URL") is None


def test_config_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("version: 2\ndistro_name: t\nproviders: {}\nserver: {prot: 1, port: '${env.CHECKED}'}\n")
    monkeypatch.setenv("CHECKED", "x")
    result = run("config", "check", str(path))
    assert (result.exit_code, result.output.splitlines()) == (
        1,
        [
            f"error: {path}:4: server.port: must be an integer; the value comes from the variable CHECKED",
            f"error: {path}:4: server.prot: unknown key; did you mean 'port'?",
        ],
    )
    path.write_text(CONFIG.replace("${env.UP}", "http://h/v1"))
    result = run("config", "check", str(path))
    assert (result.exit_code, result.output) == (0, f"{path}: nothing wrong; providers that are on: up\n")
    path.write_text("version: 2\ndistro_name: t\nproviders: {}\n")
    assert run("config", "check", str(path)).output.endswith("are on: none\n")


def test_config_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary-5f3a")
    result = run("config", "show", "starter")
    assert result.exit_code == 0
    assert "environment OPENAI_API_KEY (config.yaml:" in result.output
    assert "canary" not in result.output
    assert run("config", "show", str(tmp_path)).output == f"error: {tmp_path}: has no config.yaml\n"


def test_config_schema_describes_what_is_shipped() -> None:
    import jsonschema

    schema = json.loads(run("config", "schema").output)
    validator = jsonschema.Draft202012Validator(schema)
    for one in shipped():
        assert list(validator.iter_errors(json.loads(json.dumps(load(one.path.read_text()))))) == []
    assert list(validator.iter_errors({"version": 2, "distro_name": "t", "providers": [], "x": 1}))


REFUSED = """
version: 2
distro_name: t
providers:
  inference:
    - {provider_id: up, provider_type: remote::openai-compatible, config: {base_url: %s}}
registered_resources:
  models:
%s
"""


@pytest.mark.parametrize(
    ("base_url", "models", "faults"),
    [
        ("http://h/v1", ["{model_id: a, provider_id: gone}"], [("models[0]", "gone")]),
        (
            "http://h/v1",
            ["{model_id: a, provider_model_id: x, provider_id: up}", "{model_id: a, provider_id: up}"],
            [("models[1]", "'a'")],
        ),
        (
            "no-url-at-all",
            ["{model_id: a, provider_id: gone}"],
            [("inference[0]", "base_url must be"), ("models[0]", "gone")],
        ),
        ("'http://u:canary/x@h/v1'", ["{model_id: a}"], [("inference[0]", "percent-encode")]),
    ],
)
def test_check_refuses_what_the_server_refuses(
    tmp_path: Path, base_url: str, models: list[str], faults: list[tuple[str, str]]
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(REFUSED % (base_url, "\n".join(f"    - {one}" for one in models)))
    result = run("config", "check", str(path))
    lines = result.stderr.splitlines()
    assert result.exit_code == 1 and len(lines) == len(faults)
    assert all(where in line and why in line for line, (where, why) in zip(lines, faults, strict=True))
    assert all(line.startswith(f"error: {path}:") for line in lines) and "canary" not in result.output
    from specstack.assembly import build
    from specstack.cli.loading import load_distribution

    with pytest.raises(StartupError) as caught:
        asyncio.run(build(load_distribution(str(path))).start())
    assert {f"error: {line}" for line in caught.value.lines} <= set(lines), "the server says the same"


def test_check_reads_the_files_of_tls(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("version: 2\ndistro_name: t\nproviders: {}\nserver: {tls: {certfile: /none.pem}}\n")
    result = run("config", "check", str(path))
    assert result.exit_code == 1 and "/none.pem: cannot be read" in result.stderr
