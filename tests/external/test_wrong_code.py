"""Packages and code from outside that do not fit, as a server says it when it starts."""

import shutil
from pathlib import Path

import pytest

from external.conftest import PARCELS, VAN, VAN_FILE, environment, generate, run
from specstack import __version__

HEAD = "version: 2\ndistro_name: t\nproviders: {}\n"


def test_two_that_claim_the_same(tmp_path: Path, parcels: Path, own_cache: Path) -> None:
    """Both are right alone. Each claim is one line, with both places."""
    post = tmp_path / "post"
    shutil.copytree(parcels, post)
    for name in ("openapi/tariffs.yaml", "services.yaml"):
        (post / name).unlink()
    site = tmp_path / "site"
    assert generate(parcels)[0] == 0
    assert generate(post, "--out", str(site))[0] == 0
    info = site / "post-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: post\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text("[specstack.external]\npost = post_server:SERVER\n")
    config = tmp_path / "run.yaml"
    config.write_text(VAN)
    done = run("config", "check", str(config), env=environment(own_cache, str(site)))
    assert done.returncode == 1
    lines = done.stderr.replace(f"{tmp_path}/", "~/").splitlines()
    assert (
        "error: ~/parcels/openapi/parcels.yaml:11: the path POST /v1/parcels is taken by "
        "the package post 2.0: openapi/parcels.yaml:11; choose another"
    ) in lines
    assert (
        f"error: ~/{VAN_FILE}:1: the provider 'parcels inline::van' is taken by "
        "the package post 2.0: providers/parcels/inline_van.yaml:1; choose another"
    ) in lines
    kinds = {line.split(": the ")[1].split(" '")[0].split(" G")[0].split(" P")[0] for line in lines}
    assert kinds == {"API", "operation", "path", "provider", "resource", "list of resources"}


def test_a_module_that_another_one_hides(tmp_path: Path, parcels: Path, own_cache: Path) -> None:
    """Otherwise the wrong code would be taken, and the message would be about that."""
    for name in (VAN_FILE, "parcels/services.yaml"):
        path = tmp_path / name
        path.write_text(path.read_text().replace("parcels_van", "json").replace("parcels_tariffs", "httpx"))
    (parcels / "parcels_van.py").rename(parcels / "json.py")
    (parcels / "parcels_tariffs.py").rename(parcels / "httpx.py")
    config = tmp_path / "run.yaml"
    config.write_text(VAN)
    env = environment(own_cache)
    assert run("generate", "--external", str(parcels), env=env).returncode == 0
    lines = run("config", "check", str(config), env=env).stderr.replace(f"{tmp_path}/", "~/").splitlines()
    begin = "error: ~/run.yaml:3: external_apis_dir: ~/parcels/"
    assert [line.partition(",")[0] for line in lines] == [
        f"{begin}httpx.py is hidden by another module",
        f"{begin}json.py is hidden by another module",
    ]
    assert all(line.endswith("__init__.py; give it another name") for line in lines)


PACKAGES = {
    "another version": (
        f'made_for="{__version__}"',
        'made_for="0.0.3"',
        f"it was generated for specstack 0.0.3, and this is {__version__}",
    ),
    "no such name": ("SERVER =", "OTHER =", "post_server:SERVER cannot be loaded: AttributeError: "),
    "broken": ("SERVER =", "SERVER = 1 / 0 #", "post_server:SERVER cannot be loaded: "),
    "not for joining": (
        f'made_for="{__version__}"',
        'made_for=""',
        "its entry point is no SERVER that `specstack generate",
    ),
}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_that_does_not_fit(cache: Path, tmp_path: Path, name: str) -> None:
    old, new, expected = PACKAGES[name]
    (made,) = (cache / "external").glob("parcels-*")
    site = shutil.copytree(made, tmp_path / "site")
    module = site / "parcels_server" / "__init__.py"
    (site / "post_server").mkdir()
    (site / "post_server" / "__init__.py").write_text(module.read_text().replace(old, new))
    info = site / "post-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: post\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text("[specstack.external]\npost = post_server:SERVER\n")
    config = tmp_path / "run.yaml"
    config.write_text(HEAD)
    done = run("config", "check", str(config), env=environment(cache, str(site)))
    (line,) = done.stderr.splitlines()
    assert (done.returncode, line.startswith(f"error: the package post 2.0: {expected}")) == (1, True), line
    assert line.endswith("; install one that fits, or remove it")


CODE = {
    "a missing module": (
        lambda folder: (folder / "parcels_van.py").unlink(),
        "provider 'van' (inline::van) cannot be imported: No module named 'parcels_van'",
    ),
    "a module that needs a package": (
        lambda folder: (folder / "parcels_van.py").write_text("import vans_of_others\n"),
        "provider inline::van needs the package vans_of_others: pip install vans_of_others",
    ),
    "no create": (
        lambda folder: (folder / "parcels_van.py").write_text(""),
        "parcels_van has no `async def create(config, deps)`; add it",
    ),
    "a class that lacks an operation": (
        lambda folder: (folder / "parcels_van.py").write_text(
            (folder / "parcels_van.py").read_text().replace("async def list_parcels", "async def list_boxes")
        ),
        "provider 'van' (inline::van): it does not implement list_parcels, which its spec lists as a "
        "capability [parcels_van]",
    ),
}


@pytest.mark.parametrize("name", CODE)
def test_code_that_does_not_fit(cache: Path, tmp_path: Path, parcels: Path, name: str) -> None:
    """The spec is the same, so its generated code is; the start says one line."""
    spoil, expected = CODE[name]
    spoil(parcels)
    config = tmp_path / "run.yaml"
    config.write_text(VAN)
    done = run("serve", str(config), "--port", "0", env=environment(cache))
    assert (done.returncode, done.stderr) == (1, f"error: {config}:6: providers.parcels[0]: {expected}\n")


SERVICES = {
    "a missing module": (
        None,
        ": parcels_tariffs cannot be imported: ModuleNotFoundError: No module named 'parcels_tariffs'",
    ),
    "no create": ("", ": parcels_tariffs has no `def create(runtime)`; add it"),
    "a create that fails": (
        "def create(runtime):\n    raise OSError('no  paper')\n",
        " [parcels_tariffs] was not created: OSError: no paper",
    ),
    "a class that lacks an operation": (
        "class Tariffs: ...\n\n\ndef create(runtime):\n    return Tariffs()\n",
        ": it does not implement retrieve_tariff [parcels_tariffs]",
    ),
    "a method that is not asynchronous": (
        "class Tariffs:\n    def retrieve_tariff(self, ctx, request): ...\n\n\n"
        "def create(runtime):\n    return Tariffs()\n",
        ": retrieve_tariff is not declared with `async def` [parcels_tariffs]",
    ),
}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_does_not_fit(cache: Path, tmp_path: Path, parcels: Path, name: str) -> None:
    text, expected = SERVICES[name]
    module = parcels / "parcels_tariffs.py"
    module.unlink() if text is None else module.write_text(text)
    config = tmp_path / "run.yaml"
    config.write_text(VAN)
    done = run("serve", str(config), "--port", "0", env=environment(cache))
    assert (done.returncode, done.stderr) == (1, f"error: the service tariffs{expected}\n")


def test_settings_are_checked_like_any(cache: Path, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    text = VAN.replace("external_apis_dir: parcels", f"external_apis_dir: {PARCELS}")
    config.write_text(text.replace("most_grams: 5", "most_gram: 0") + "registered_resources: {depot: []}\n")
    done = run("config", "check", str(config), env=environment(cache))
    assert done.returncode == 1
    assert done.stderr.replace(f"{config}:", "").splitlines() == [
        "error: 6: providers.parcels[0].config.most_gram: unknown key; did you mean 'most_grams'?",
        "error: 6: providers.parcels[0].config.most_grams: is missing; add it",
        "error: 7: registered_resources.depot: unknown key; did you mean 'depots'?",
    ]


def test_calls_that_nobody_keeps(tmp_path: Path, parcels: Path, own_cache: Path) -> None:
    """The service that `x-record` names is none that could keep them, or answers nothing itself."""
    path = parcels / "openapi" / "parcels.yaml"
    sound = path.read_text()
    services = parcels / "services.yaml"
    services.write_text(f"{services.read_text()}  book:\n    module: parcels_van\n    description: Keeps.\n")
    config = tmp_path / "run.yaml"
    config.write_text(VAN)
    for name, why in (
        ("tariffs", "which keeps no calls: no counts, recorder, settled, admission"),
        ("book", "which answers no operation"),
    ):
        line = "      operationId: sendParcel\n"
        assert line in sound
        path.write_text(sound.replace(line, f"{line}      x-record: {{service: {name}}}\n"))
        assert generate(parcels)[0] == 0
        done = run("serve", "--port", "0", str(config), env=environment(own_cache))
        assert done.stderr.splitlines() == [f"error: sendParcel: x-record names the service {name}, {why}"]
