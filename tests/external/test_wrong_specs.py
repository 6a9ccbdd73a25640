"""Specs from outside that are wrong, as `specstack generate --external` says it: nothing is written then."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from external.conftest import VAN_FILE, environment, generate, run


def _van(folder: Path) -> Path:
    return folder / "providers" / "parcels" / "inline_van.yaml"


SPECS: dict[str, tuple[Callable[[Path], Path], str, str, list[str]]] = {
    "broken YAML": (
        _van,
        "requires: {apis: []",
        "requires: {apis: [",
        [
            f"{VAN_FILE}:5:19: yaml-syntax: while parsing a flow node did not find expected node content",
            "  hint: check indentation, quotes and colons on this line and the one above",
        ],
    ),
    "a provider of an unknown API": (
        _van,
        "api: parcels",
        "api: parcel",
        [
            f"{VAN_FILE}:2:1: provider-capability: there is no API 'parcel'",
            "  hint: did you mean parcels?",
            f"{VAN_FILE}:2:1: provider-module: the file is not in the folder of its API 'parcel'",
            "  hint: move the file",
        ],
    ),
    "an operation that the API does not have": (
        _van,
        "capabilities: [send_parcel,",
        "capabilities: [sent_parcel,",
        [
            f"{VAN_FILE}:7:16: provider-capability: parcels has no operation or hook "
            "'sent_parcel' for providers",
            "  hint: did you mean send_parcel or list_parcels?",
        ],
    ),
    "a key that is none": (
        _van,
        "extra:",
        "extras:",
        [
            f"{VAN_FILE}:1:1: provider-schema: provider: the key 'extra' is missing",
            "  hint: add it: One provider type: where its code is, what it can do and how it is configured.",
            f"{VAN_FILE}:6:1: provider-schema: provider has no key 'extras'",
            "  hint: did you mean extra?",
        ],
    ),
    "roles of the whole server": (
        lambda folder: folder / "errors.yaml",
        "errors:\n",
        "roles: {not_found: DepotNotFound}\nerrors:\n",
        [
            "parcels/errors.yaml:1:1: external-files: roles are for the server's own errors.yaml",
            "  hint: remove roles; the server's apply here too",
        ],
    ),
    "a resource of the server": (
        lambda folder: folder / "openapi" / "parcels.yaml",
        "resource: depot, key",
        "resource: model, key",
        [
            "parcels/openapi/parcels.yaml:17:31: external-serve: the resource 'model' is not of this spec",
            "  hint: declare a resource in resources.yaml",
            "parcels/openapi/parcels.yaml:63:11: resource-known: 'body.depot' carries the id of a model, "
            "not of a depot",
            "  hint: add x-resource: model, so that access checks and id rewriting see it",
        ],
    ),
    "a part of the server's other files": (
        lambda folder: folder / "openapi" / "depots.yaml",
        'items:\n            $ref: "#/components/schemas/Depot"',
        'items:\n            $ref: "models.yaml#/components/schemas/Model"',
        [
            "parcels/openapi/depots.yaml:112:13: unresolved-ref: the reference "
            "'models.yaml#/components/schemas/Model' names the file 'models.yaml', which does not exist",
            "  hint: every file stands in openapi/<name>.yaml",
        ],
    ),
}


@pytest.mark.parametrize("name", SPECS)
def test_a_wrong_spec(parcels: Path, own_cache: Path, name: str) -> None:
    file, old, new, expected = SPECS[name]
    path = file(parcels)
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    code, lines = generate(parcels)
    assert code == 1
    assert lines[:-1] == expected
    assert lines[-1].endswith("nothing was written")
    assert not own_cache.exists()


CLAIMS = [
    (
        "openapi/tariffs.yaml",
        "/v1/tariff:",
        "/v1/version:",
        "openapi/tariffs.yaml:11: the path GET /v1/version",
    ),
    (
        "openapi/tariffs.yaml",
        "retrieveTariff",
        "listModels",
        "openapi/tariffs.yaml:11: the operation 'list_models'",
    ),
    ("services.yaml", "  tariffs:", "  inspect:", "services.yaml:2: the service 'inspect'"),
    (
        "resources.yaml",
        "plural: depots",
        "plural: models",
        "resources.yaml:2: the list of resources 'models'",
    ),
]


@pytest.mark.parametrize(("file", "old", "new", "expected"), CLAIMS)
def test_what_the_server_has_already(
    parcels: Path, own_cache: Path, file: str, old: str, new: str, expected: str
) -> None:
    path = parcels / file
    path.write_text(path.read_text().replace(old, new))
    if file == "services.yaml":
        tariffs = parcels / "openapi" / "tariffs.yaml"
        tariffs.write_text(tariffs.read_text().replace("service: tariffs", "service: inspect"))
    code, lines = generate(parcels)
    assert code == 1
    assert lines == [
        f"error: {parcels}/{expected} is taken by this server itself; choose another",
        "error: nothing was written",
    ]
    assert not own_cache.exists()


def test_a_provider_type_that_the_server_has(tmp_path: Path, own_cache: Path) -> None:
    folder = tmp_path / "birds" / "inference"
    folder.mkdir(parents=True)
    (folder / "remote_vllm.yaml").write_text(
        "provider_type: remote::vllm\napi: inference\nsummary: Mine.\nmodule: mine\n"
        "requires: {apis: [], optional_apis: []}\nextra: ''\ncapabilities: []\nconfig: {type: object}\n"
        "stability: stable\n"
    )
    assert generate(tmp_path / "birds") == (
        1,
        [
            f"error: {folder}/remote_vllm.yaml:1: the provider 'inference remote::vllm' is taken by this "
            "server itself; choose another",
            "error: nothing was written",
        ],
    )


@pytest.mark.parametrize("name", ["Post", "1st", "my-post", "post office"])
def test_a_name_that_no_package_can_have(parcels: Path, own_cache: Path, name: str) -> None:
    code, (line,) = generate(parcels, "--package", name)
    assert code == 1
    assert line.endswith("is no name for packages; use lower-case letters, digits and '_'")


def test_a_place_that_is_somebody_elses(tmp_path: Path, parcels: Path, own_cache: Path) -> None:
    """Nothing there is touched: neither a web page's manifest.json nor another spec's code."""
    web, file = tmp_path / "web", tmp_path / "file"
    web.mkdir()
    file.write_text("")
    (web / "page.html").write_text("kept")
    (web / "manifest.json").write_text(json.dumps({"comment": "a page", "files": {"page.html": ""}}))
    refusal = f"error: {web} has a manifest.json that is not of parcels; choose another --out"
    assert generate(parcels, "--out", str(web)) == (1, [refusal])
    assert (web / "page.html").read_text() == "kept"
    assert generate(parcels, "--out", str(tmp_path / "src"))[0] == 0
    code, (line,) = generate(parcels, "--out", str(tmp_path / "src"), "--package", "post")
    assert (code, line.endswith("src has a manifest.json that is not of post; choose another --out")) == (
        1,
        True,
    )
    code, (line,) = generate(parcels, "--out", str(file))
    assert (code, line.startswith(f"error: {file}: cannot be written: ")) == (1, True)


def test_without_the_generators_packages(tmp_path: Path, parcels: Path, own_cache: Path) -> None:
    """The extra is named; there is no traceback."""
    (tmp_path / "jinja2.py").write_text("raise ImportError('No module named jinja2')\n")
    done = run("generate", "--external", str(parcels), env=environment(own_cache, str(tmp_path)))
    assert done.returncode == 1
    assert done.stderr == (
        'error: generate needs the extra "codegen" (No module named jinja2): '
        "pip install 'specstack[codegen]'\n"
    )


def test_a_folder_without_a_spec(tmp_path: Path) -> None:
    code, (line,) = generate(tmp_path)
    assert (code, line.split(" has ")[1][:8]) == (1, "no spec;")
