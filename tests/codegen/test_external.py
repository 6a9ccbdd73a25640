"""Specs that add to a server: what they may use of its own, and what is generated for them alone."""

import json
import shutil
from pathlib import Path

from specstack_codegen.bundle import Spec, read_spec
from specstack_codegen.cli import generate
from specstack_codegen.lint import lint
from specstack_codegen.lint_rules import home

PARCELS = Path(__file__).parents[1] / "external" / "parcels"


def read(folder: Path) -> Spec:
    return read_spec(folder, home.main_root(), external=True)


def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PARCELS, tmp_path / "parcels"))


def said(spec: Spec, rule: str) -> list[str]:
    return [str(error).split("\n")[0] for error in lint(spec) if error.rule == rule]


def test_a_sound_one() -> None:
    assert [str(error) for error in lint(read(PARCELS))] == []


def test_only_what_is_used_is_taken_of_the_servers_common_yaml() -> None:
    spec = read(PARCELS)
    shared = [name for name, owner in spec.component_api.items() if owner == "common"]
    assert sorted(shared) == ["Error", "ErrorResponse"]
    assert sorted(spec.openapi.map("components").map("responses")) == [
        "Conflict",
        "Error",
        "NotFound",
        "RateLimited",
    ]
    assert spec.openapi.map("info").text("title") == "Depots"


def test_a_common_yaml_of_its_own_is_the_only_one(tmp_path: Path) -> None:
    root = copy(tmp_path)
    (root / "openapi" / "common.yaml").write_text("openapi: 3.2.0\npaths: {}\ncomponents: {}\n")
    (first, *_) = said(read(root), "unresolved-ref")
    assert first.endswith("the reference 'common.yaml#/components/responses/Error' leads nowhere")


def test_files_that_are_for_the_whole_server(tmp_path: Path) -> None:
    root = copy(tmp_path)
    for name in ("config", "deviations"):
        (root / f"{name}.yaml").write_text("a: b\n")
    errors = root / "errors.yaml"
    errors.write_text(errors.read_text() + "upstream: {4xx: DepotNotFound}\n")
    assert said(read(root), "external-files") == [
        "parcels/config.yaml:1:1: external-files: config.yaml is for the server's own spec",
        "parcels/deviations.yaml:1:1: external-files: deviations.yaml is for the server's own spec",
        "parcels/errors.yaml:17:1: external-files: upstream are for the server's own errors.yaml",
    ]


def test_resources_and_services_are_its_own(tmp_path: Path) -> None:
    root = copy(tmp_path)
    tariffs, resources = root / "openapi" / "tariffs.yaml", root / "resources.yaml"
    tariffs.write_text(tariffs.read_text().replace("service: tariffs", "service: inspect"))
    resources.write_text(resources.read_text().replace("routes: parcels", "routes: inference"))
    found = said(read(root), "external-serve")
    assert (
        "parcels/openapi/tariffs.yaml:17:32: external-serve: the service 'inspect' is not of this spec"
        in found
    )
    assert "parcels/resources.yaml:6:5: external-serve: the resource 'depot' routes another's API" in found


def test_a_folder_of_providers_alone(tmp_path: Path) -> None:
    folder = tmp_path / "birds" / "inference"
    folder.mkdir(parents=True)
    (folder / "inline_parrot.yaml").write_text(
        "provider_type: inline::parrot\napi: inference\nsummary: Says what it hears.\nmodule: parrot\n"
        "requires: {apis: [], optional_apis: []}\nextra: ''\ncapabilities: [create_embedding]\n"
        "settings: [upstream]\nconfig: {type: object}\nstability: stable\n"
    )
    files = generate(tmp_path / "birds", "birds", "0.1.0")
    assert files is not None
    tops = {path.split("/")[0] for path in files}
    assert tops == {"birds_api", "birds_server", "docs"}
    config = files["birds_api/provider_config/inference/inline_parrot.py"]
    # The server's groups of settings are there for everybody.
    assert "connect_timeout_seconds" in config
    assert "from birds/inference/inline_parrot.yaml" in config.replace("\n# ", " ")
    assert json.loads(files["birds_server/places.json"]) == {
        "provider": {"inference inline::parrot": "inference/inline_parrot.yaml:1"}
    }
    assert "specstack generate --external" in files["birds_server/__init__.py"].replace("\n# ", " ")


def test_the_same_spec_gives_the_same_code() -> None:
    first, second = (generate(PARCELS, "parcels", "0.1.0") for _ in range(2))
    assert first is not None
    assert first == second
    assert 'made_for="0.1.0"' in first["parcels_server/__init__.py"]


def test_the_client_is_not_called_as_an_api_of_it() -> None:
    files = generate(PARCELS, "parcels", "0.1.0")
    assert files is not None
    client = files["parcels_client/client.py"]
    assert "class ParcelsClient:" in client
    assert "class AsyncParcelsClient:" in client
    assert "ParcelsClient" in files["docs/python-client.md"]
    other = generate(PARCELS, "post", "0.1.0")
    assert other is not None
    assert "class Post:" in other["post_client/client.py"]


def test_other_specs_say_nothing_of_it() -> None:
    """What a satellite that stands alone gets (tests/fixture) has no places and joins nothing."""
    fixture = Path(__file__).parents[1] / "fixture" / "generated" / "fixture_server"
    assert not (fixture / "places.json").exists()
    assert "made_for" not in (fixture / "__init__.py").read_text()
