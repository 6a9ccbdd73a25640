"""Upgrading run configs of Llama Stack and OGX: golden files, and nothing left out in silence."""

import json
import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner

from specstack.cli.main import app
from specstack.config import load_reference, read_config
from specstack.config_values import shown_path
from specstack.distributions import find_distribution
from specstack.positions import load
from specstack.startup import ConfigError
from specstack.upgrade import upgrade
from specstack.upgrade.dialect import translated
from specstack.upgrade.legacy import as_version_2
from specstack.upgrade.mapping import FILE, tables
from specstack_server import SERVER

FOLDER = Path(__file__).parent / "upgrade"
SOURCES = ["architecture.yaml", "ogx.yaml", "postgres.yaml", "version1.yaml"]
ON = {"OLLAMA_URL": "http://o", "ENABLE_VLLM": "vllm", "VLLM_URL": "http://v/v1"}
HEAD = "version: 2\ndistro_name: t\nserver: {host: h}\n"


def made(name: str) -> Any:
    return upgrade((FOLDER / name).read_text(), name, SERVER)


def report(text: str) -> list[str]:
    return [line.removeprefix("r.yaml:") for line in upgrade(text, "r.yaml", SERVER).report]


@pytest.mark.parametrize("name", SOURCES)
def test_golden(name: str) -> None:
    """SPECSTACK_WRITE_GOLDEN=1 writes the files anew, to be read before they are committed."""
    golden = FOLDER / "upgraded" / name
    if os.environ.get("SPECSTACK_WRITE_GOLDEN"):
        golden.write_text(made(name).text)
    assert made(name).text == golden.read_text()


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("env", [{}, ON], ids=["off", "on"])
def test_what_comes_out_is_right(name: str, env: dict[str, str]) -> None:
    read_config(made(name).text, "out.yaml", SERVER, {"SQLITE_STORE_DIR": "/tmp/stores", **env})


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_is_left_out_in_silence(name: str) -> None:
    """Each scalar of the old file is in the new one, or the report names it or something above it."""
    root = as_version_2(load((FOLDER / name).read_text()))
    result = made(name)
    body = "\n".join(line for line in result.text.splitlines() if not line.startswith("#"))
    said = {line.split(": ")[1] for line in result.report}
    for path, value in leaves(root):
        above = {shown_path(path[:depth]) for depth in range(1, len(path) + 1)}
        text = translated(str(value)).text.rstrip("/")
        # An id that may not hold colons here has dashes, which the report says where the provider stands.
        known = text in body or text.replace("::", "-") in body
        assert above & said or known or json.dumps(value) in body or path == ("version",), path


def leaves(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from leaves(value, (*path, key))
    elif node is not None:
        yield path, node


@pytest.mark.parametrize("models", ["5", "x"])
def test_resources_of_another_form_are_left_to_the_check(models: str) -> None:
    made = upgrade(f"version: 1\nproviders: {{}}\nmodels: {models}\n", "old.yaml", SERVER)
    with pytest.raises(ConfigError, match=r"registered_resources\.models: must be a list"):
        read_config(made.text, "new.yaml", SERVER, {})


@pytest.mark.parametrize("models", ["[5]", "{a: 1}"])
def test_resources_that_are_none_are_told(models: str) -> None:
    made = upgrade(f"version: 1\nproviders: {{}}\nmodels: {models}\n", "old.yaml", SERVER)
    assert any("models" in line for line in made.report)


def test_ours_stays_as_it_is() -> None:
    text = find_distribution("starter").path.read_text()
    result = upgrade(text, "r.yaml", SERVER)
    assert result.report == ()
    assert load(result.text) == load(text)


def test_storage_in_short_becomes_backends_and_stores() -> None:
    assert as_version_2(load((FOLDER / "architecture.yaml").read_text()))["storage"] == {
        "backends": {
            "kvstore": {"type": "kv_sqlite", "db_path": "${env.SQLITE_STORE_DIR}/kvstore.db"},
            "inference": {"type": "sql_sqlite", "db_path": "${env.SQLITE_STORE_DIR}/inference_store.db"},
            "kv_default": {"type": "kv_sqlite", "db_path": "${env.SQLITE_STORE_DIR}/registry.db"},
        },
        "stores": {
            "kvstore": {"backend": "kvstore"},
            "inference": {"backend": "inference", "enabled": True},
            "metadata": {"backend": "kv_default"},
        },
    }


# -- the tables ----------------------------------------------------------------------------


def test_the_tables_fit_their_schema() -> None:
    folder = resources.files("specstack.upgrade")
    schema = json.loads((folder / "mapping.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    raw = load((folder / FILE).read_text())
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(raw)) == []
    raw["keys"]["x"] = {"ending": "y", "reason": "z"}
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(raw))


def test_the_tables_name_types_and_settings_that_there_are() -> None:
    registry = load_reference(SERVER.providers)
    settings = {name for spec in registry.values() for name in load_reference(spec.config).model_fields}
    assert {one.to for one in tables().settings.values() if one.to} <= settings
    for api, types in tables().providers.items():
        for rule in types.values():
            if rule.type is not None:
                own = set(load_reference(registry[api, rule.type].config).model_fields)
                assert {*rule.defaults, *(one.to for one in rule.settings.values() if one.to)} <= own


# -- single cases --------------------------------------------------------------------------

WRONG: dict[str, tuple[str, list[str]]] = {
    "no yaml": ("providers: [", ["1: did not find expected node content; mend the YAML there"]),
    "a list": ("- a", ["1: is no run config: it has no providers"]),
    "no providers": ("version: 2", ["1: is no run config: it has no providers"]),
    "a later version": ("version: 3\nproviders: {}", ["1: version: only versions 1 and 2 can be upgraded"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_upgraded(name: str) -> None:
    text, lines = WRONG[name]
    with pytest.raises(ConfigError) as caught:
        upgrade(text, "r.yaml", SERVER)
    assert [line.removeprefix("r.yaml:") for line in caught.value.lines] == lines


def quoted(quota: str) -> str:
    """A file with that quota."""
    return f"version: 2\ndistro_name: t\nproviders: {{}}\nserver: {{host: localhost, quota: {quota}}}\n"


CASES: dict[str, tuple[str, list[str]]] = {
    "nothing": (HEAD + "providers: {}\n", []),
    "keys without a value": (HEAD + "providers: {inference: null}\nsafety: null\n", []),
    "no name": (
        "providers: {}\nserver: {host: h}\n",
        ["1: distro_name: note: it had no name and is called 'upgraded'"],
    ),
    "two names": (
        HEAD + "image_name: other\nproviders: {}\n",
        ["4: image_name: not carried: distro_name is set already"],
    ),
    "a provider that is text": (
        HEAD + "providers:\n  inference: [ollama]\n",
        ["5: providers.inference[0]: not carried: a provider must be a mapping"],
    ),
    "providers that are no list": (
        HEAD + "providers:\n  inference: {a: 1}\n",
        ["5: providers.inference: not carried: a list of providers must stand here"],
    ),
    "an api without carried providers": (
        HEAD + "apis: [inference]\nproviders: {inference: [{provider_id: a, provider_type: 'remote::x'}]}\n",
        [
            "4: apis[0]: not carried: inference: none of its providers was carried",
            "5: providers.inference[0]: not carried: remote::x: there is no provider type 'remote::x' for "
            "the API inference",
        ],
    ),
    "a mapping where a value stands": (
        HEAD + "providers: {}\nlogging: {level: {a: b}}\n",
        ["5: logging.level: not carried: here no mapping stands there"],
    ),
    "a value where a mapping stands": (
        HEAD + "providers: {}\nlogging: loud\n",
        ["5: logging: not carried: here it is a mapping of keys to values"],
    ),
    "a list where a value stands": (
        HEAD + "providers: {}\nlogging: {level: [a]}\n",
        ["5: logging.level: not carried: here no list stands there"],
    ),
    "a value of no choice": (
        HEAD + "providers: {}\nlogging: {level: loud}\n",
        [
            "5: logging.level: not carried: the value has no counterpart here; there are: "
            "debug, info, warning, error"
        ],
    ),
    "a model without an id": (
        HEAD + "providers: {}\nmodels: [{model_type: llm}]\n",
        ["5: models[0]: not carried: without model_id it cannot be"],
    ),
    "a quota with a store of its own": (
        quoted("{kvstore: {type: sqlite, db_path: q.db}, period: day}"),
        [],
    ),
    "a quota of no window of ours": (
        quoted("{anonymous_max_requests: 1, period: week, burst: 2}"),
        [
            *(
                f"4: server.quota.{kind}[0]{rest}"
                for kind in ("anonymous", "authenticated")
                for rest in (
                    ": not carried: without per it cannot be",
                    ".per: not carried: the value has no counterpart here; "
                    "there are: second, minute, hour, day",
                )
            ),
            "4: server.quota.burst: not carried: this server has no such setting",
        ],
    ),
    "an escape that was none": (
        HEAD + "providers: {}\nregistered_resources: {models: [{model_id: '$${env.A}'}]}\n",
        [
            "5: registered_resources.models[0].model_id: note: `$$` was no escape; here the reference behind "
            "it is literal text"
        ],
    ),
    "folders from outside": (
        HEAD + "providers: {}\nexternal_providers_dir: /srv/p\nexternal_apis_dir: /srv/a\n",
        [
            "5: external_providers_dir: not carried: a provider is described in another form here; "
            "docs/external.md shows it",
            "6: external_apis_dir: not carried: an API is described in another form here; docs/external.md "
            "shows it",
        ],
    ),
    "no secret in the report": (
        HEAD + "providers:\n  inference:\n"
        "    - {provider_id: a, provider_type: remote::vllm, config: {base_url: u, password: s3cret}}\n"
        "    - {provider_id: b, provider_type: remote::bedrock, config: {aws_secret_access_key: s3cret}}\n",
        [
            "6: providers.inference[0].config.password: not carried: this server has no such setting",
            "7: providers.inference[1]: not carried: remote::bedrock: it signs requests in a way of its own; "
            "put a gateway with OpenAI's API before it and use `remote::openai-compatible`",
        ],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_reports(name: str) -> None:
    text, lines = CASES[name]
    assert report(text) == lines


QUOTAS: dict[str, tuple[str, Any, Any]] = {
    "all of it": (
        "{kvstore: {backend: kv_default, namespace: q}, anonymous_max_requests: '${env.A:=5}', "
        "authenticated_max_requests: 50, period: day}",
        {"anonymous": [{"per": "day", "requests": 5}], "authenticated": [{"per": "day", "requests": 50}]},
        ("kv_default", "q", None),
    ),
    "what held without a word": (
        "{kvstore: {type: redis, url: 'redis://h', namespace: q}}",
        {"anonymous": [{"per": "day", "requests": 100}], "authenticated": [{"per": "day", "requests": 1000}]},
        ("quota", "q", "kv_redis"),
    ),
    "ours": (
        "{tenant: [{per: hour, tokens: 7}]}",
        {"tenant": [{"per": "hour", "tokens": 7}]},
        ("kv_default", None, None),
    ),
}


@pytest.mark.parametrize("name", QUOTAS)
def test_quotas(name: str) -> None:
    written, quota, (backend, namespace, kind) = QUOTAS[name]
    stack = read_config(upgrade(quoted(written), "r.yaml", SERVER).text, "out.yaml", SERVER, {}).stack
    found = stack.server.quota.model_dump(exclude_none=True, exclude_defaults=True)
    assert found == quota
    store = stack.storage.stores.quota
    assert (store.backend, store.namespace) == (backend, namespace)
    if kind is not None:
        assert (stack.storage.backends or {})[backend].type == kind


def test_a_number_becomes_text_where_text_is_wanted() -> None:
    assert 'distro_name: "7"' in upgrade("distro_name: 7\nproviders: {}\n", "r.yaml", SERVER).text


def test_the_command(tmp_path: Path) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["config", "upgrade", *arguments])

    source, out = FOLDER / "architecture.yaml", tmp_path / "out.yaml"
    result = run(str(source))
    assert result.exit_code == 0
    assert load(result.stdout)["distro_name"] == "starter"
    assert f"{source}:15: providers.safety[0]: not carried: " in result.stderr
    assert run(str(source), "-o", str(out)).stderr.endswith(f"next: specstack config check {out}\n")
    assert out.read_text() == result.stdout
    again = run(str(source), "-o", str(out))
    assert (again.exit_code, again.stderr.splitlines()[-1]) == (
        1,
        f"error: {out}: cannot be written: File exists",
    )
    assert (
        run(str(tmp_path / "no")).stderr
        == f"error: {tmp_path}/no: cannot be read: No such file or directory\n"
    )


def test_stores_at_the_top_become_backends() -> None:
    text = """version: 2
metadata_store: {type: sqlite, db_path: /tmp/registry.db}
inference_store: {type: postgres, host: h, user: u, password: "a/b"}
providers: {}
"""
    result = load(upgrade(text, "r.yaml", SERVER).text)
    assert result["storage"] == {
        "backends": {
            "kv_default": {"type": "kv_sqlite", "db_path": "/tmp/registry.db"},
            "sql_default": {"type": "sql_postgres", "url": "postgresql://u:a%2Fb@h"},
        },
        "stores": {
            "registry": {"backend": "kv_default"},
            "inference": {"backend": "sql_default", "mode": "all"},
        },
    }


# -- the store of chat completions ---------------------------------------------------------

STORE = (
    "providers: {}\nserver: {host: h}\nstorage:\n  backends: {b: {type: sql_sqlite, db_path: x}}\n  stores:\n"
)


def store_of(text: str) -> Any:
    return load(upgrade(text, "r.yaml", SERVER).text)["storage"]


def test_the_store_of_chat_completions_keeps_all_as_it_did() -> None:
    text = STORE + "    inference: {backend: b, table_name: t, max_write_queue_size: 9, num_writers: 4}\n"
    kept = {"backend": "b", "max_write_queue_size": 9, "mode": "all"}
    assert store_of(text)["stores"]["inference"] == kept
    said = [
        line for line in report("distro_name: t\n" + text) if line.startswith("7: storage.stores.inference")
    ]
    assert [line.removeprefix("7: storage.stores.inference.") for line in said] == [
        "enabled: note: here it is mode: all",
        "num_writers: not carried: rows are written in batches, by one writer",
        "table_name: not carried: tables have names that begin with specstack_",
    ]


@pytest.mark.parametrize(("written", "mode"), [("true", "all"), ("false", "off")])
def test_a_store_that_was_switched_off_stays_so(written: str, mode: str) -> None:
    text = STORE + f"    inference: {{backend: b, table_name: t, enabled: {written}}}\n"
    assert store_of(text)["stores"]["inference"]["mode"] == mode


def test_a_switch_that_an_environment_sets_is_not_carried() -> None:
    text = STORE + "    inference: {backend: b, enabled: '${env.KEEP:=true}'}\n"
    assert store_of(text)["stores"]["inference"] == {"backend": "b"}
    assert "only true and false have a counterpart here" in "\n".join(report(text))


def test_the_store_of_version_1_stood_by_itself() -> None:
    text = "providers: {}\ninference_store: {type: sqlite, db_path: ~/i.db}\n"
    assert store_of(text) == {
        "backends": {"sql_default": {"type": "sql_sqlite", "db_path": "~/i.db"}},
        "stores": {"inference": {"backend": "sql_default", "mode": "all"}},
    }


def test_our_own_store_stays_as_it_is() -> None:
    text = STORE + "    inference: {backend: b}\n"
    assert store_of(text)["stores"]["inference"] == {"backend": "b"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("${env.OLLAMA_URL:http://localhost:11434}", "${env.OLLAMA_URL:=http://localhost:11434}"),
        ("${env.A:}", "${env.A:=}"),
        ("${env.A:__disabled__}", "${env.A:=}"),
        ("${env.A:=b}/${env.C:+d}", "${env.A:=b}/${env.C:+d}"),
    ],
)
def test_defaults_of_early_versions(old: str, new: str) -> None:
    assert translated(old).text == new


@pytest.mark.parametrize(
    ("type_", "config", "url"),
    [
        ("groq", "url: https://api.groq.com", "https://api.groq.com/openai/v1"),
        ("groq", "url: https://api.groq.com/openai/v1", "https://api.groq.com/openai/v1"),
        ("groq", "base_url: https://g.example/x", "https://g.example/x"),
        (
            "nvidia",
            "url: https://integrate.api.nvidia.com, append_api_version: True",
            "https://integrate.api.nvidia.com/v1",
        ),
        ("nvidia", "url: https://n.example", "https://n.example/v1"),
        ("nvidia", "url: https://n.example/own, append_api_version: False", "https://n.example/own"),
        (
            "nvidia",
            "url: https://n.example, append_api_version: '${env.NVIDIA_APPEND_API_VERSION:=False}'",
            "https://n.example",
        ),
        (
            "nvidia",
            "url: '${env.N:=https://n.example}', append_api_version: '${env.V:=True}'",
            "${env.N:=https://n.example}/v1",
        ),
        ("databricks", "url: https://d.example", "https://d.example/serving-endpoints"),
        ("fireworks", "url: https://api.fireworks.ai/inference", "https://api.fireworks.ai/inference/v1"),
        ("passthrough", "url: http://p.example", "http://p.example/v1"),
        ("together", "url: https://api.together.xyz/v1", "https://api.together.xyz/v1"),
        ("llama-openai-compat", "openai_compat_api_base: https://l.example/v1", "https://l.example/v1"),
    ],
)
def test_addresses_of_models_are_whole(type_: str, config: str, url: str) -> None:
    provider = f"{{provider_id: a, provider_type: 'remote::{type_}', config: {{{config}}}}}"
    made = load(upgrade(f"{HEAD}providers: {{inference: [{provider}]}}\n", "r.yaml", SERVER).text)
    assert made["providers"]["inference"][0]["config"]["base_url"] == url


def test_a_default_goes_into_a_url_as_urls_have_it() -> None:
    backend = "{type: kv_postgres, host: h, user: u, password: '${env.POSTGRES_PASSWORD:=llama/st@ck}'}"
    made = load(
        upgrade(f"{HEAD}providers: {{}}\nstorage: {{backends: {{b: {backend}}}}}\n", "r.yaml", SERVER).text
    )
    url = made["storage"]["backends"]["b"]["url"]
    assert url == "postgresql://u:${env.POSTGRES_PASSWORD:=llama%2Fst%40ck}@h"
