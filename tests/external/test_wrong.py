"""What is wrong with things from outside: a gallery with the exact messages, and where each is said."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from external.conftest import VAN, environment, generate, run
from specstack.cli.main import app
from specstack.config import read_config
from specstack.startup import ConfigError
from specstack_server import SERVER

HEAD = "version: 2\ndistro_name: t\nproviders: {}\n"


def faults(folder: Path, text: str, **env: str) -> list[str]:
    """What a server says of a run config in `folder`, whose path is written as `~` here."""
    with pytest.raises(ConfigError) as caught:
        read_config(HEAD + text, str(folder / "run.yaml"), SERVER, env)
    return [line.replace(f"{folder}/", "~/") for line in caught.value.lines]


# -- run configs ---------------------------------------------------------------------------


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    assert faults(
        tmp_path, "external_providers_dir: birds\nexternal_apis_dir: ${env.WHERE}", WHERE="gone"
    ) == [
        "~/run.yaml:4: external_providers_dir: there is no directory ~/birds",
        "~/run.yaml:5: external_apis_dir: there is no directory ~/gone; the value comes from the variable "
        "WHERE",
    ]


def test_a_variable_that_is_not_set(tmp_path: Path) -> None:
    (line,) = faults(tmp_path, "external_apis_dir: ${env.WHERE}")
    assert line.startswith("~/run.yaml:4: external_apis_dir: environment variable WHERE is not set")


def test_a_variable_that_is_empty_means_nothing_from_outside(tmp_path: Path) -> None:
    read = read_config(HEAD + "external_apis_dir: ${env.WHERE:=}", str(tmp_path / "r"), SERVER, {})
    assert read.server.external == ()
    assert read.stack.external_apis_dir is None


@pytest.mark.parametrize(
    ("value", "message"),
    [("5", "must be a string; put it in quotes"), ("''", "must not be empty"), ("[a]", "must be a string")],
)
def test_what_is_no_path(tmp_path: Path, value: str, message: str) -> None:
    assert faults(tmp_path, f"external_apis_dir: {value}") == [f"~/run.yaml:4: external_apis_dir: {message}"]


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "birds").write_text("")
    assert faults(tmp_path, "external_providers_dir: birds") == [
        "~/run.yaml:4: external_providers_dir: there is no directory ~/birds"
    ]


def test_an_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    assert faults(tmp_path, "external_providers_dir: none\nexternal_apis_dir: none") == [
        "~/run.yaml:4: external_providers_dir: ~/none has no <api>/<name>.yaml of a provider",
        "~/run.yaml:5: external_apis_dir: ~/none has no openapi/<api>.yaml",
    ]


def test_the_other_key(tmp_path: Path, parcels: Path) -> None:
    (tmp_path / "birds" / "inference").mkdir(parents=True)
    (tmp_path / "birds" / "inference" / "inline_bird.yaml").write_text("{}")
    assert faults(tmp_path, "external_providers_dir: parcels\nexternal_apis_dir: birds") == [
        "~/run.yaml:4: external_providers_dir: ~/parcels holds APIs; name it under external_apis_dir",
        "~/run.yaml:5: external_apis_dir: ~/birds has no openapi/<api>.yaml; name it under "
        "external_providers_dir",
    ]


def test_images_have_no_folders_of_this_machine(tmp_path: Path, parcels: Path, own_cache: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(VAN)
    done = CliRunner().invoke(app, ["distro", "build", str(config)])
    assert (done.exit_code, done.output) == (
        1,
        f"error: {config}:3: external_apis_dir: images hold what comes with specstack; build one of "
        "your own on top of such an image, with the folder in it\n",
    )


# -- code that is not current --------------------------------------------------------------


def _edit(folder: Path, cache: Path) -> str:
    (folder / "errors.yaml").write_text((folder / "errors.yaml").read_text().replace("409", "400"))
    return "~/parcels/errors.yaml has changed since the code for it was generated"


def _add(folder: Path, cache: Path) -> str:
    (folder / "openapi" / "more.yaml").write_text("{}")
    return "~/parcels/openapi/more.yaml has changed since the code for it was generated"


def _remove(folder: Path, cache: Path) -> str:
    (folder / "services.yaml").unlink()
    (folder / "openapi" / "tariffs.yaml").unlink()
    return "~/parcels/openapi/tariffs.yaml and 1 more have changed since the code for it was generated"


def _other_generator(folder: Path, cache: Path) -> str:
    (made,) = (cache / "external").glob("parcels-*/manifest.json")
    said = json.loads(made.read_text())
    made.write_text(json.dumps({**said, "generator": "of another release", "inputs": "others"}))
    return "the code for ~/parcels was generated for another specstack"


def _by_hand(folder: Path, cache: Path) -> str:
    (made,) = (cache / "external").glob("parcels-*/parcels_api/errors.py")
    made.write_text(made.read_text() + "# mended by hand\n")
    return f"the code in {made.parents[1]} is not as it was generated".replace(f"{folder.parent}/", "~/")


def _lost(folder: Path, cache: Path) -> str:
    (made,) = (cache / "external").glob("parcels-*/manifest.json")
    made.write_text("{")
    return "the code for ~/parcels has not been generated"


@pytest.mark.parametrize("spoil", [_edit, _add, _remove, _other_generator, _by_hand, _lost])
def test_stale_code_stops_the_start_and_names_the_command(
    tmp_path: Path, parcels: Path, own_cache: Path, spoil: Callable[[Path, Path], str]
) -> None:
    never = "the code for ~/parcels has not been generated"
    for spoiled in (None, spoil):
        if spoiled:
            assert generate(parcels)[0] == 0
        why = spoiled(parcels, own_cache) if spoiled else never
        assert faults(tmp_path, "external_apis_dir: parcels") == [
            f"~/run.yaml:4: external_apis_dir: {why}; run: specstack generate --external ~/parcels"
        ]


def test_the_named_command_mends_it(tmp_path: Path, parcels: Path, own_cache: Path) -> None:
    """Also beside the spec, under another name, and twice: the command needs no more than the folder."""
    assert generate(parcels, "--out", str(parcels / "generated"), "--package", "post")[0] == 0
    _edit(parcels, own_cache)
    (line,) = faults(tmp_path, "external_apis_dir: parcels")
    command = line.partition("; run: ")[2].replace("~", str(tmp_path))
    assert command == f"specstack generate --external {parcels}"
    code, lines = generate(Path(command.rpartition(" ")[2]))
    assert (code, [line.split(":")[0] for line in lines]) == (0, [str(parcels / "generated")])
    assert "post_api" in lines[0]
    assert generate(parcels) == (0, [f"{parcels / 'generated'} is current"])
    assert not own_cache.exists()


def test_times_do_not_matter(tmp_path: Path, parcels: Path, own_cache: Path) -> None:
    """A copy of the spec with the code beside it, as an image has it: only what is written counts."""
    assert generate(parcels, "--out", str(parcels / "generated"))[0] == 0
    copy = shutil.copytree(parcels, tmp_path / "elsewhere")
    for path in copy.rglob("*.yaml"):
        os.utime(path)
    config = tmp_path / "copy.yaml"
    config.write_text(VAN.replace("external_apis_dir: parcels", "external_apis_dir: elsewhere"))
    done = run("config", "check", str(config), env=environment(own_cache))
    assert (done.returncode, done.stderr) == (0, "")
