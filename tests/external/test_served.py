"""APIs from outside, served by an unmodified server that has no generator."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from external.conftest import PARCELS, environment, run
from support.process import free_port, running_server

CONFIG = f"""
version: 2
distro_name: parcels
external_apis_dir: {PARCELS}
providers:
  parcels:
    - provider_id: van
      provider_type: inline::van
      config: {{most_grams: 100, token: canary-of-the-van}}
registered_resources:
  depots:
    - {{depot_id: north}}
"""
# A server must do without the generator and all that only it needs: importing any of it ends the process.
BLOCKER = """
import sys

BLOCKED = ("specstack_codegen", "jinja2", "datamodel_code_generator", "jsonschema", "ruff")


class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            sys.stderr.write(f"imported: {name}\\n")
            sys.stderr.flush()
            import os
            os._exit(70)


sys.meta_path.insert(0, Blocker())
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "run.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def env(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    blocker = tmp_path_factory.mktemp("blocker")
    (blocker / "sitecustomize.py").write_text(BLOCKER)
    # The suite's check of replies uses a library that is blocked here, as it would be missing.
    return {**environment(cache, str(blocker)), "SPECSTACK_VALIDATE_REPLIES": "0"}


@pytest.fixture(scope="module")
def url(config: Path, env: dict[str, str]) -> Iterator[str]:
    port = free_port()
    with running_server([str(config), "--port", str(port)], port, env=env) as found:
        yield found


def send(url: str, **body: object) -> httpx.Response:
    return httpx.post(f"{url}/v1/parcels", json=body)


def test_the_blocker_blocks(config: Path, env: dict[str, str]) -> None:
    done = run("generate", "--external", str(PARCELS), env=env)
    assert (done.returncode, done.stderr) == (70, "imported: specstack_codegen\n")


def test_operations_are_routed_by_its_resource(url: str) -> None:
    reply = send(url, depot="north", grams=5)
    assert reply.status_code == 200
    assert (reply.json()["depot"], reply.json()["grams"]) == ("north", 5)
    assert reply.json() in httpx.get(f"{url}/v1/parcels").json()["data"]


def test_its_table_takes_registrations(url: str) -> None:
    made = httpx.post(f"{url}/v1/depots", json={"depot_id": "south", "provider_id": "van"})
    assert (made.status_code, made.json()) == (200, {"id": "south", "provider_id": "van"})
    assert send(url, depot="south", grams=1).status_code == 200
    assert {one["id"] for one in httpx.get(f"{url}/v1/depots").json()["data"]} >= {"north", "south"}
    other = {"depot_id": "south", "provider_id": "van", "provider_depot_id": "another"}
    again = httpx.post(f"{url}/v1/depots", json=other)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "depot_conflict")


def test_its_service_answers(url: str) -> None:
    assert httpx.get(f"{url}/v1/tariff").json() == {"cents_per_gram": 3}


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({"depot": "north", "grams": 500}, 400, "parcel_too_heavy", "grams"),
        ({"depot": "nowhere", "grams": 5}, 404, "depot_not_found", "depot"),
        ({"depot": "north"}, 400, "invalid_request", "grams"),
        ({"depot": "north", "grams": 0}, 400, "invalid_request", "grams"),
    ],
)
def test_errors_have_the_envelope(
    url: str, body: dict[str, object], status: int, code: str, param: str
) -> None:
    reply = send(url, **body)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (status, code, param)
    assert set(error) == {"message", "type", "param", "code"}
    assert reply.headers["x-request-id"]


def test_the_server_still_knows_its_own(url: str) -> None:
    assert httpx.get(f"{url}/v1/version").status_code == 200
    reply = httpx.put(f"{url}/v1/parcels")
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, POST")


def test_its_routes_are_listed(url: str) -> None:
    routes = {
        (one["method"], one["route"]): one["provider_types"]
        for one in httpx.get(f"{url}/v1/inspect/routes").json()["data"]
    }
    assert routes["POST", "/v1/parcels"] == ["inline::van"]
    assert ("GET", "/v1/depots/{depot_id}") in routes
    assert ("GET", "/v1/tariff") in routes


def test_its_provider_is_listed_without_secrets(url: str) -> None:
    reply = httpx.get(f"{url}/v1/providers")
    (one,) = reply.json()["data"]
    assert (one["provider_id"], one["provider_type"], one["api"]) == ("van", "inline::van", "parcels")
    assert one["config"] == {"most_grams": 100, "token": "********"}
    assert "canary" not in reply.text


@pytest.mark.parametrize("name", ["openapi.json", "openapi-3.1.json"])
def test_the_served_document_has_both(url: str, name: str) -> None:
    from openapi_spec_validator import validate

    document = httpx.get(f"{url}/{name}").json()
    assert {"/v1/parcels", "/v1/depots/{depot_id}", "/v1/tariff", "/v1/models"} <= set(document["paths"])
    schemas = document["components"]["schemas"]
    # What was taken from the server's common.yaml is there once.
    assert [one for one in schemas if one.endswith("ErrorResponse")] == ["ErrorResponse"]
    assert "Parcel" in schemas
    if name == "openapi-3.1.json":
        validate(document)


def test_commands_know_it(config: Path, env: dict[str, str]) -> None:
    assert "inline::van" in run("providers", str(config), env=env).stdout
    assert "inline::van" not in run("providers", env=env).stdout
    assert "/v1/tariff" in run("routes", str(config), env=env).stdout
    assert "/v1/tariff" not in run("routes", env=env).stdout
    shown = run("config", "show", str(config), env=env)
    assert "depot_id: north" in shown.stdout
    assert "canary" not in shown.stdout + shown.stderr


def test_the_editors_schema_knows_it(config: Path, env: dict[str, str]) -> None:
    import yaml
    from jsonschema import Draft202012Validator

    whole = json.loads(run("config", "schema", str(config), env=env).stdout)
    document = yaml.safe_load(CONFIG)
    assert list(Draft202012Validator(whole).iter_errors(document)) == []
    document["providers"]["parcels"][0]["config"]["most_gramms"] = 5
    document["registered_resources"]["depots"][0]["depot"] = "x"
    assert len(list(Draft202012Validator(whole).iter_errors(document))) == 2


def test_library_mode(config: Path, env: dict[str, str]) -> None:
    """The ordinary client and, over the same transport, the generated one of the external API."""
    program = f"""
import asyncio, specstack

with specstack.from_config({str(config)!r}) as client:
    assert "/v1/parcels" in [one.route for one in client.inspect.list_routes().data]

from parcels_client import AsyncParcelsClient, ParcelsClient
from parcels_client.errors import ParcelTooHeavy

with specstack.from_config({str(config)!r}, client=ParcelsClient) as client:
    assert client.parcels.send_parcel(depot="north", grams=7).grams == 7
    try:
        client.parcels.send_parcel(depot="north", grams=7000)
    except ParcelTooHeavy as error:
        print(error.code)


async def other():
    async with specstack.from_config({str(config)!r}, client=AsyncParcelsClient, asynchronous=True) as client:
        return (await client.tariffs.retrieve_tariff()).cents_per_gram


print(asyncio.run(other()))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "parcel_too_heavy\n3\n"), done.stderr
