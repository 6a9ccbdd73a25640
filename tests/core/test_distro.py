"""Distributions: build configs with a gallery of wrong ones, what they need, images, READMEs."""

import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import specstack
from specstack.cli.main import app
from specstack.distributions import Distribution, find_distribution, shipped
from specstack.distro.build_config import load_build, read_build
from specstack.distro.image import write_image
from specstack.distro.lock import Locked, find_lock, needed, read_lock, requirements_of
from specstack.distro.needs import possible_providers, provider_types, stored_weights, variables
from specstack.distro.readme import readme
from specstack.startup import ConfigError, StartupError
from specstack_server import SERVER
from support.loopback_upstream import LoopbackUpstream

NAMES = [one.name for one in shipped()]
HEAD = "version: 1\ndistro_name: t\nsummary: A test.\n"
RUN = """
version: 2
distro_name: t
providers:
  inference:
    - {provider_id: '${env.UP:+a}', provider_type: remote::vllm, config: {base_url: '${env.UP}'}}
    - {provider_id: b, provider_type: remote::ollama, config: {base_url: '${env.B:=${env.C:=http://h/v1}}'}}
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["distro", *arguments])


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(RUN)
    return tmp_path


# -- the shipped ones ----------------------------------------------------------------------


def test_which_there_are() -> None:
    assert NAMES == ["ci", "dell", "nvidia", "openai-gateway", "postgres", "starter"]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "ci"])
def test_each_takes_the_variables_that_servers_are_run_with(name: str) -> None:
    known = {one.name for one in variables(find_distribution(name).path)}
    telemetry = {"SPECSTACK_PROMETHEUS", "SPECSTACK_TRACES", "SPECSTACK_METRICS"}
    assert known >= {"SPECSTACK_HOST", "SPECSTACK_PORT", "SPECSTACK_API_KEYS", *telemetry}


@pytest.mark.parametrize("name", NAMES)
def test_each_is_right_and_has_its_readme(name: str) -> None:
    assert run("validate", name).output == f"{name}: run config and build config are right\n"
    found = find_distribution(name)
    build = load_build(found, SERVER)
    assert build.config.distro_name == name
    assert readme(build, SERVER) == found.path.with_name("README.md").read_text(), "run `make distro-readmes`"


@pytest.mark.parametrize("name", NAMES)
def test_each_installs_what_it_can_switch_on_and_nothing_else(name: str) -> None:
    found = find_distribution(name)
    assert load_build(found, SERVER).config.providers == provider_types(found.path, SERVER)


def test_the_gateway_needs_no_extra() -> None:
    assert load_build(find_distribution("openai-gateway"), SERVER).extras == ()


def test_ci_serves_what_is_behind_it() -> None:
    with LoopbackUpstream.running() as upstream:
        with specstack.from_config("ci", env={"CI_UPSTREAM_URL": upstream.base_url}) as client:
            assert client.models.list_models().data
            assert client.inference.create_embedding(model="upstream/embed", input="x").data


# -- what a run config needs ---------------------------------------------------------------


def test_what_can_be_switched_on(own: Path) -> None:
    found = possible_providers(own / "config.yaml", SERVER)
    assert [(one.provider_id, one.switch) for one in found] == [("a", "UP"), ("b", "")]
    assert provider_types(own / "config.yaml", SERVER) == {"inference": ["remote::vllm", "remote::ollama"]}


def test_the_variables_of_a_config(own: Path) -> None:
    found = {one.name: (one.default, len(one.places)) for one in variables(own / "config.yaml")}
    assert found == {"UP": ("", 2), "B": ("${env.C:=http://h/v1}", 1), "C": ("http://h/v1", 1)}


def test_weights_of_the_store() -> None:
    assert stored_weights(find_distribution("starter").path) == ["smollm2-135m-instruct", "all-minilm-l6-v2"]


def test_a_type_that_there_is_not(own: Path) -> None:
    text = RUN.replace("remote::ollama", "remote::olama")
    (own / "config.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        possible_providers(own / "config.yaml", SERVER)
    assert caught.value.lines == (
        f"{own}/config.yaml:7: providers.inference[1].provider_type: no provider type 'remote::olama' for "
        "the API inference",
    )


# -- build configs -------------------------------------------------------------------------

BOTH = "providers: {inference: [remote::vllm, remote::ollama]}\n"
GALLERY: dict[str, tuple[str, list[str]]] = {
    "empty": ("", ["1: must be a mapping with version, distro_name, summary and providers"]),
    "broken": ("a: [", ["1: did not find expected node content; mend the YAML there"]),
    "nothing required": (
        "packages: []\n",
        [f"1: {key}: is missing; add it" for key in ("distro_name", "providers", "summary", "version")],
    ),
    "the run config's version": (HEAD.replace("1", "2", 1) + BOTH, ["1: version: must be 1"]),
    "unknown key": (HEAD + BOTH + "package: []\n", ["5: package: unknown key; did you mean 'packages'?"]),
    "a name that no image can have": (
        "version: 1\ndistro_name: My Own\nsummary: s\n" + BOTH,
        ["2: distro_name: must match the pattern ^[a-z0-9][a-z0-9._-]*$"],
    ),
    "packages that are no list": (HEAD + BOTH + "packages: numpy\n", ["5: packages: must be a list"]),
    "a type that there is not": (
        HEAD + "providers: {inference: [remote::vllm, remote::ollama, remote::olama]}\n",
        [
            "4: providers.inference[2]: no provider type 'remote::olama' for the API inference; "
            "did you mean 'remote::ollama'?"
        ],
    ),
    "less than the run config uses": (
        HEAD + "providers: {inference: [remote::vllm]}\n",
        ["4: providers.inference: config.yaml can switch on remote::ollama; add it to providers.inference"],
    ),
    "no providers at all": (
        HEAD + "providers: {}\n",
        [
            "4: providers.inference: config.yaml can switch on remote::vllm; add it to providers.inference",
            "4: providers.inference: config.yaml can switch on remote::ollama; add it to providers.inference",
        ],
    ),
}


@pytest.mark.parametrize("name", GALLERY)
def test_gallery(name: str, own: Path) -> None:
    text, expected = GALLERY[name]
    with pytest.raises(ConfigError) as caught:
        read_build(text, "build.yaml", own / "config.yaml", SERVER)
    assert [line.removeprefix("build.yaml:") for line in caught.value.lines] == expected


def test_without_a_build_config_the_run_config_tells(own: Path) -> None:
    alone = own / "My Own.yaml"
    alone.write_text(RUN)
    build = load_build(Distribution("My Own", alone), SERVER)
    assert (build.config.distro_name, build.config.providers) == (
        "my-own",
        {"inference": ["remote::vllm", "remote::ollama"]},
    )


def test_validate_tells_of_both(own: Path) -> None:
    (own / "config.yaml").write_text(RUN + "sever: {}\n")
    (own / "build.yaml").write_text(HEAD + "providers: {inference: [remote::vllm]}\n")
    result = run("validate", str(own))
    assert result.exit_code == 1
    assert [line.split(": ")[2] for line in result.output.splitlines()] == ["sever", "providers.inference"]


# -- locked requirements -------------------------------------------------------------------


def test_the_lock_of_the_project() -> None:
    packages = read_lock(find_lock())
    least = [one.name for one in needed(packages, requirements_of())]
    assert {"pydantic", "pydantic-core", "httpx", "httpcore", "typer"} <= set(least)
    assert not {"numpy", "onnxruntime", "xllamacpp"} & set(least)
    whole = [line for one in needed(packages, requirements_of(["image"])) for line in one.lines]
    assert whole == [line for line in find_lock().splitlines() if not line.lstrip().startswith("#")]
    assert all(any("--hash=sha256:" in line for line in one.lines) for one in packages.values())


def test_reading_a_lock() -> None:
    text = (
        "# a comment\nA.b==1 ; sys_platform == 'win32' \\\n    --hash=sha256:00\n"
        "    # via specstack (pyproject.toml)\nc==2 \\\n    --hash=sha256:01\n"
        "    # via\n    #   a-b\n    #   d\n"
    )
    packages = read_lock(text)
    first = ("A.b==1 ; sys_platform == 'win32' \\", "    --hash=sha256:00")
    assert packages["a-b"] == Locked("a-b", first, frozenset())
    assert packages["c"].wanted_by == {"a-b", "d"}
    assert [one.name for one in needed(packages, ["a_B[x]>=1"])] == ["a-b", "c"]
    with pytest.raises(StartupError, match="the lock file has no zz; renew it with `make lock`"):
        needed(packages, ["zz"])


def test_an_extra_that_there_is_not() -> None:
    with pytest.raises(StartupError, match="specstack has no extra 'nothing'"):
        requirements_of(["nothing"])


def test_extras_and_packages_of_its_own(own: Path) -> None:
    (own / "build.yaml").write_text(HEAD + BOTH + "extras: [embeddings]\npackages: [jinja2]\n")
    assert run("deps", str(own)).output.splitlines()[-2:] == ["specstack[embeddings]", "jinja2"]
    assert "pip install 'specstack[embeddings]'" in run("readme", str(own)).output
    result = run("build", str(own), "-o", str(own / "image"))
    assert result.output == "error: the lock file has no jinja2; renew it with `make lock`\n"
    (own / "build.yaml").write_text(HEAD + BOTH + "extras: [embeddings]\npackages: [protobuf]\n")
    run("build", str(own), "-o", str(own / "image"))
    locked = (own / "image" / "requirements.txt").read_text()
    assert all(f"\n{name}==" in locked for name in ("onnxruntime", "protobuf", "pydantic"))
    (own / "build.yaml").write_text(HEAD + BOTH + "extras: [nothing]\n")
    assert run("build", str(own), "-o", str(own / "other")).output.startswith(
        "error: specstack has no extra 'nothing'"
    )


def test_deps() -> None:
    assert run("deps", "openai-gateway").output.splitlines()[-1] == "specstack"
    lines = run("deps", "starter").output.splitlines()
    assert lines[-1] == "specstack[embeddings,llama-cpp]"
    assert any(line.startswith("# inline::llama-cpp (inference): xllamacpp==") for line in lines)
    assert "# remote::ollama (inference): nothing more" in lines


# -- images --------------------------------------------------------------------------------


def test_an_image_holds_what_the_server_needs(tmp_path: Path) -> None:
    folder = tmp_path / "image"
    written = write_image(load_build(find_distribution("openai-gateway"), SERVER), folder)
    assert written.tag == "specstack-openai-gateway"
    text = (folder / "Containerfile").read_text()
    for part in ("USER 10001", "HEALTHCHECK", "--require-hashes", 'ENTRYPOINT ["python", "-m", "specstack"'):
        assert part in text
    assert "models pull" not in text
    assert (folder / "config.yaml").read_text() == find_distribution("openai-gateway").path.read_text()
    assert "numpy" not in (folder / "requirements.txt").read_text()
    assert not list(folder.rglob("__pycache__"))
    assert not (folder / "app" / "specstack_codegen").exists()
    # It may be written again, and what is not ours is left alone.
    (folder / "app" / "old.py").write_text("")
    write_image(load_build(find_distribution("openai-gateway"), SERVER), folder)
    assert not (folder / "app" / "old.py").exists()
    (folder / "Containerfile").write_text("FROM mine\n")
    with pytest.raises(StartupError, match="was not written by this command"):
        write_image(load_build(find_distribution("openai-gateway"), SERVER), folder)


def test_the_code_of_an_image_is_a_server(tmp_path: Path) -> None:
    import json
    import subprocess
    import sys

    folder = tmp_path / "image"
    write_image(load_build(find_distribution("ci"), SERVER), folder)
    done = subprocess.run(
        [sys.executable, "-m", "specstack", "config", "check", str(folder / "config.yaml")],
        env={"PYTHONPATH": str(folder / "app")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.endswith("nothing wrong; providers that are on: upstream\n"), done.stderr
    probe = next(line for line in (folder / "Containerfile").read_text().splitlines() if "CMD [" in line)
    command = json.loads(probe.strip().removeprefix("CMD "))
    assert command == ["python", "-m", "specstack.probe", "/etc/specstack/config.yaml", "8321"]
    asked = subprocess.run(
        [sys.executable, *command[1:3], str(folder / "config.yaml"), "1"],
        env={"PYTHONPATH": str(folder / "app")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (asked.returncode, asked.stderr) == (
        1,
        "port 1: ConnectionRefusedError: [Errno 111] Connection refused\n",
    )


def test_weights_are_part_of_the_image(tmp_path: Path) -> None:
    run("build", "starter", "-o", str(tmp_path / "image"))
    text = (tmp_path / "image" / "Containerfile").read_text()
    assert "RUN python -m specstack models pull smollm2-135m-instruct all-minilm-l6-v2\n" in text
    assert "xllamacpp==" in (tmp_path / "image" / "requirements.txt").read_text()


def engine(folder: Path, status: int) -> None:
    folder.mkdir()
    program = folder / "podman"
    program.write_text(f'#!/bin/sh\necho called "$@"\nexit {status}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("status", [0, 3])
def test_an_engine_builds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any, status: int
) -> None:
    engine(tmp_path / "bin", status)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    out = tmp_path / "image"
    result = run("build", "ci", "-o", str(out), "--engine", "podman")
    assert capfd.readouterr().out == f"called build -f {out}/Containerfile -t specstack-ci {out}\n"
    assert result.exit_code == (1 if status else 0)
    last = "error: podman build ended with status 3" if status else "built specstack-ci"
    assert result.output.splitlines()[-1] == last


def test_an_engine_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("docker") is None
    result = run("build", "ci", "-o", str(tmp_path / "image"), "--engine", "docker")
    assert (result.exit_code, (tmp_path / "image").exists()) == (1, False)
    assert result.output == (
        "error: there is no docker on this machine; install it, or leave out --engine and build elsewhere\n"
    )


def test_an_image_has_the_drivers_of_the_storage_that_its_run_config_names(tmp_path: Path) -> None:
    config = tmp_path / "own.yaml"
    config.write_text(
        "version: 2\ndistro_name: own\nproviders: {}\n"
        "storage: {backends: {r: {type: kv_redis, url: 'redis://h'}, s: {type: kv_sqlite}}}\n"
    )
    build = load_build(Distribution("own", config), SERVER)
    assert build.extras == ("redis",)
    locked = needed(read_lock(find_lock()), requirements_of(build.extras))
    assert {"redis", "pydantic"} <= {one.name for one in locked}


@pytest.mark.parametrize(
    ("telemetry", "extras"),
    [
        ("{traces: true}", ("telemetry",)),
        ("{metrics: '${env.SEND:=true}'}", ("telemetry",)),
        ("{metrics: '${env.SEND}'}", ("telemetry",)),
        ("{traces: '${env.SEND:=false}', metrics: '${env.COLLECTOR:+true}'}", ()),
        ("{prometheus: true}", ()),
    ],
)
def test_an_image_can_send_what_its_run_config_sends(
    tmp_path: Path, telemetry: str, extras: tuple[str, ...]
) -> None:
    config = tmp_path / "own.yaml"
    config.write_text(f"version: 2\ndistro_name: own\nproviders: {{}}\ntelemetry: {telemetry}\n")
    build = load_build(Distribution("own", config), SERVER)
    assert build.extras == extras
    locked = {one.name for one in needed(read_lock(find_lock()), requirements_of(build.extras))}
    packages = {"opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"}
    assert (packages & locked) == (packages if extras else set())
