"""Run configs: what is read, and a gallery of wrong ones with the exact messages."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from specstack.auth.keys import hash_of
from specstack.config import RunConfig, load_config, read_config
from specstack.descriptors import GeneratedServer
from specstack.startup import ConfigError
from specstack_server import SERVER

HEAD = "version: 2\ndistro_name: t\n"
OLLAMA = "{provider_id: o, provider_type: remote::ollama}"


def read(text: str, server: GeneratedServer = SERVER, **env: str) -> RunConfig:
    return read_config(dedent(text), "run.yaml", server, env)


def faults(text: str, server: GeneratedServer = SERVER, **env: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text, server, **env)
    assert all(line.startswith("run.yaml:") for line in caught.value.lines)
    return [line.removeprefix("run.yaml:") for line in caught.value.lines]


def server_with(text: str) -> str:
    return (
        HEAD
        + "providers: {}\nserver:\n"
        + "".join(f"  {line}\n" for line in dedent(text).strip().splitlines())
    )


def inference(*lines: str) -> str:
    return HEAD + "providers:\n  inference:\n" + "".join(f"    {line}\n" for line in lines)


def compatible(*config: str) -> str:
    return inference(
        "- provider_id: c",
        "  provider_type: remote::openai-compatible",
        "  config:",
        *(f"    {line}" for line in config),
    )


# -- what is read --------------------------------------------------------------------------


def test_the_least_config() -> None:
    config = read(HEAD + "providers: {}\n")
    assert (config.providers, config.apis, dict(config.registered)) == ((), None, {"models": ()})
    server = config.stack.server
    assert (server.host, server.port, server.shutdown_grace_seconds) == ("127.0.0.1", 8321, 10)
    assert config.stack.logging.level == "info"


def test_a_provider_gets_its_own_config_class() -> None:
    config = read(compatible("base_url: http://h/v1", "timeout_seconds: 5"))
    (one,) = config.providers
    assert type(one.config).__name__ == "RemoteOpenaiCompatibleConfig"
    assert (one.api, one.provider_id, one.spec.provider_type) == (
        "inference",
        "c",
        "remote::openai-compatible",
    )
    assert one.config.model_dump()["timeout_seconds"] == 5
    assert one.where == "run.yaml:5: providers.inference[0]"


@pytest.mark.parametrize("empty", ["", "config:", "config: {}", "config: null"])
def test_a_provider_without_settings(empty: str) -> None:
    config = read(inference("- provider_id: o", "  provider_type: remote::ollama", f"  {empty}"))
    assert config.providers[0].config.model_dump()["base_url"] == "http://localhost:11434/v1"


@pytest.mark.parametrize("key", ["0012", "12", "true", "null", "1e3", "[1]", "${env.PORT}"])
def test_text_from_the_environment_stays_text_where_text_is_asked_for(key: str) -> None:
    config = read(compatible("base_url: http://h/v1", "api_key: ${env.KEY}"), KEY=key)
    assert config.providers[0].config.api_key.get_secret_value() == key  # type: ignore


def test_text_from_the_environment_becomes_what_the_schema_asks_for() -> None:
    text = inference(f"- {OLLAMA}") + "server: {port: '${env.P}', request_timeout_seconds: '${env.T:=1.5}'}\n"
    server = read(text, P="9000").stack.server
    assert (server.port, server.request_timeout_seconds) == (9000, 1.5)
    text = compatible("base_url: http://h/v1", "verify_tls: ${env.V}", "allowed_models: ${env.M}")
    config: Any = read(text, V="/ca.pem", M='["a", "b"]').providers[0].config
    assert (config.verify_tls, config.allowed_models) == ("/ca.pem", ["a", "b"])


def test_a_whole_value_that_comes_to_nothing_counts_as_not_written() -> None:
    config: Any = read(compatible("base_url: http://h/v1", "api_key: ${env.KEY:=}")).providers[0].config
    assert config.api_key is None
    assert read(HEAD + "providers: {}\nserver: {port: '${env.P:=}'}\n").stack.server.port == 8321


def test_a_provider_is_off_when_its_id_comes_to_nothing() -> None:
    text = inference(
        "- provider_id: ${env.URL:+c}",
        "  provider_type: ${env.NOT_LOOKED_AT}",
        "  config: {base_url: '${env.URL}', bse_url: 1}",
        f"- {OLLAMA}",
    )
    assert [one.provider_id for one in read(text).providers] == ["o"]
    assert faults(text, URL="http://h", NOT_LOOKED_AT="remote::openai-compatible") == [
        "7: providers.inference[0].config.bse_url: unknown key; did you mean 'base_url'?"
    ]


def test_list_items_are_off_when_an_id_comes_to_nothing() -> None:
    text = inference(f"- {OLLAMA}") + (
        "registered_resources:\n  models:\n"
        "    - {model_id: '${env.A:+a}', provider_id: o}\n"
        "    - {model_id: b, provider_id: '${env.A:+o}'}\n"
        "    - {model_id: c, provider_id: o}\n"
    )
    ((where, item),) = read(text).registered["models"]
    assert (where, item.model_id) == ("run.yaml:10: registered_resources.models[0]", "c")


def test_keys_without_a_value_count_as_not_written() -> None:
    config = read(HEAD + "providers:\n  inference:\nserver:\n  port:\n")
    assert (config.providers, config.stack.server.port) == ((), 8321)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing.yaml: cannot be read: No such file"):
        load_config(tmp_path / "nothing.yaml", SERVER)
    (tmp_path / "latin.yaml").write_bytes(b"distro_name: \xe9\n")
    with pytest.raises(ConfigError, match=r"latin.yaml: is not UTF-8 text; save it as UTF-8"):
        load_config(tmp_path / "latin.yaml", SERVER)


# -- the gallery ---------------------------------------------------------------------------

GALLERY: dict[str, tuple[str, Mapping[str, str], list[str]]] = {
    "empty file": ("", {}, ["1: must be a mapping with version, distro_name and providers"]),
    "a list": ("- a", {}, ["1: must be a mapping with version, distro_name and providers"]),
    "broken yaml": (
        "version: 2\nproviders: [",
        {},
        ["2: did not find expected node content; mend the YAML there"],
    ),
    "a key twice": (
        HEAD + "providers: {}\nversion: 2\n",
        {},
        ["4: the key 'version' stands twice, first in line 1; mend the YAML there"],
    ),
    "nothing required": (
        "server: {}\n",
        {},
        [
            "1: distro_name: is missing; add it",
            "1: providers: is missing; add it",
            "1: version: is missing; add it",
        ],
    ),
    "another version": (
        "version: 3\ndistro_name: t\nproviders: {}\n",
        {},
        ["1: version: must be 2"],
    ),
    "unknown key": (
        HEAD + "providers: {}\nsever: {}\n",
        {},
        ["4: sever: unknown key; did you mean 'server'?"],
    ),
    "unknown key below": (
        HEAD + "providers: {}\nserver: {prot: 1}\n",
        {},
        ["4: server.prot: unknown key; did you mean 'port'?"],
    ),
    "a key of a later issue": (
        HEAD + "providers: {}\nvector_stores: {}\n",
        {},
        [
            "4: vector_stores: unknown key; there are: apis, distro_name, external_apis_dir, "
            "external_providers_dir, logging, providers, "
            "registered_resources, server, storage, telemetry, version"
        ],
    ),
    "a log category that there is not": (
        HEAD + "providers: {}\nlogging: {categories: {upstreams: debug, http: verbose}}\n",
        {},
        [
            "4: logging.categories.http: must be 'debug', 'info', 'warning' or 'error'",
        ],
    ),
    "a log category by a near name": (
        HEAD + "providers: {}\nlogging:\n  categories:\n    upstreams: debug\n",
        {},
        ["6: logging.categories.upstreams: there is no log category 'upstreams'; did you mean 'upstream'?"],
    ),
    "an endpoint without a scheme": (
        HEAD + "providers: {}\ntelemetry: {endpoint: 'localhost:4318'}\n",
        {},
        ["4: telemetry.endpoint: must match the pattern ^https?://[^/]"],
    ),
    "more than everything": (
        HEAD + "providers: {}\ntelemetry: {sample_ratio: 1.5}\n",
        {},
        ["4: telemetry.sample_ratio: must be at most 1.0"],
    ),
    "text for a number": (
        HEAD + "providers: {}\nserver: {port: http}\n",
        {},
        ["4: server.port: must be an integer"],
    ),
    "a quoted number": (
        HEAD + "providers: {}\nserver: {port: '80'}\n",
        {},
        ["4: server.port: must be an integer"],
    ),
    "true for a number": (
        HEAD + "providers: {}\nserver: {port: true}\n",
        {},
        ["4: server.port: must be an integer"],
    ),
    "too high": (
        HEAD + "providers: {}\nserver: {port: 70000}\n",
        {},
        ["4: server.port: must be at most 65535"],
    ),
    "too low": (
        HEAD + "providers: {}\nserver:\n  request_timeout_seconds: 0\n",
        {},
        ["5: server.request_timeout_seconds: must be more than 0.0"],
    ),
    "not of the list": (
        HEAD + "providers: {}\nlogging: {level: loud}\n",
        {},
        ["4: logging.level: must be 'debug', 'info', 'warning' or 'error'"],
    ),
    "empty text": (
        "version: 2\ndistro_name: ''\nproviders: {}\n",
        {},
        ["2: distro_name: must not be empty"],
    ),
    "a number for text": (
        "version: 2\ndistro_name: 7\nproviders: {}\n",
        {},
        ["2: distro_name: must be a string; put it in quotes"],
    ),
    "a list for a mapping": (
        HEAD + "providers: []\n",
        {},
        ["3: providers: must be a mapping of keys to values"],
    ),
    "a mapping for a list": (
        HEAD + "providers:\n  inference: {}\n",
        {},
        ["4: providers.inference: must be a list"],
    ),
    "a provider that is text": (
        inference("- ollama"),
        {},
        ["5: providers.inference[0]: must be a mapping of keys to values"],
    ),
    "unknown api": (
        HEAD + f"providers:\n  inferense:\n    - {OLLAMA}\n",
        {},
        ["4: providers.inferense: unknown API; did you mean 'inference'?"],
    ),
    "an api without providers": (
        HEAD + f"providers:\n  models:\n    - {OLLAMA}\n",
        {},
        ["4: providers.models: the server serves this API itself; there are: inference"],
    ),
    "unknown type": (
        inference("- provider_id: o", "  provider_type: remote::olama"),
        {},
        [
            "6: providers.inference[0].provider_type: no provider type 'remote::olama' for the API "
            "inference; did you mean 'remote::ollama'?"
        ],
    ),
    "no type, no id": (
        inference("- config: {}"),
        {},
        [
            "5: providers.inference[0].provider_id: is missing; add it",
            "5: providers.inference[0].provider_type: is missing; add it",
        ],
    ),
    "an id twice": (
        inference(f"- {OLLAMA}", f"- {OLLAMA}"),
        {},
        ["6: providers.inference[1].provider_id: 'o' is taken by the provider in line 5; choose another id"],
    ),
    "an id with a slash": (
        inference("- {provider_id: a/b, provider_type: remote::ollama}"),
        {},
        ["5: providers.inference[0].provider_id: may hold letters, digits, '_', '-' and '.' only"],
    ),
    "two defaults": (
        inference(
            "- {provider_id: a, provider_type: remote::ollama, default: true}",
            "- {provider_id: b, provider_type: remote::ollama, default: true}",
        ),
        {},
        ["4: providers.inference: only one provider can be the default, not a and b"],
    ),
    "yes for true": (
        inference("- {provider_id: a, provider_type: remote::ollama, default: yes}"),
        {},
        ["5: providers.inference[0].default: must be true or false"],
    ),
    "a config key": (
        compatible("base_url: http://h", "api_keys: s3cret"),
        {},
        ["9: providers.inference[0].config.api_keys: unknown key; did you mean 'api_key'?"],
    ),
    "a config key missing": (
        compatible("api_key: s3cret"),
        {},
        ["7: providers.inference[0].config.base_url: is missing; add it"],
    ),
    "no config where one is needed": (
        inference("- {provider_id: c, provider_type: remote::vllm}"),
        {},
        ["5: providers.inference[0].config.base_url: is missing; add it"],
    ),
    "a config that is text": (
        inference("- {provider_id: c, provider_type: remote::vllm, config: x}"),
        {},
        ["5: providers.inference[0].config: must be a mapping of keys to values"],
    ),
    "a wrong union": (
        compatible("base_url: http://h", "verify_tls: 3"),
        {},
        [
            "9: providers.inference[0].config.verify_tls: must be true or false, or "
            "must be a string; put it in quotes"
        ],
    ),
    "a secret of the wrong type": (
        compatible("base_url: http://h", "api_key: [s3cret]"),
        {},
        ["9: providers.inference[0].config.api_key: must be a string"],
    ),
    "deep in a config": (
        inference(
            "- provider_id: l",
            "  provider_type: inline::llama-cpp",
            "  config:",
            "    models:",
            "      - model_id: a",
            "        pth: /x",
        ),
        {},
        ["10: providers.inference[0].config.models[0].pth: unknown key; did you mean 'path'?"],
    ),
    "an empty list": (
        inference("- {provider_id: l, provider_type: inline::llama-cpp, config: {models: []}}"),
        {},
        ["5: providers.inference[0].config.models: must have at least 1 items"],
    ),
    "unset variable": (
        compatible("base_url: ${env.URL}"),
        {},
        [
            "8: providers.inference[0].config.base_url: environment variable URL is not set or empty; "
            "set it, or give a default: ${env.URL:=value}"
        ],
    ),
    "unset variable of an id": (
        inference("- {provider_id: '${env.ID}', provider_type: remote::ollama}"),
        {},
        [
            "5: providers.inference[0].provider_id: environment variable ID is not set or empty; "
            "set it, or give a default: ${env.ID:=value}"
        ],
    ),
    "a malformed reference": (
        compatible("base_url: ${env.URL:-http://h}"),
        {"URL": "http://h"},
        [
            "8: providers.inference[0].config.base_url: '${env.URL' is not a reference; "
            "write ${env.URL}, ${env.URL:=default} or ${env.URL:+text}"
        ],
    ),
    "a variable of the wrong kind": (
        HEAD + "providers: {}\nserver: {port: '${env.PORT}'}\n",
        {"PORT": "s3cret"},
        ["4: server.port: must be an integer; the value comes from the variable PORT"],
    ),
    "two variables of the wrong kind": (
        HEAD + "providers: {}\nserver: {port: '${env.A}${env.B:=x}${env.C:+${env.A}}'}\n",
        {"A": "s3cret", "C": "c"},
        ["4: server.port: must be an integer; the value comes from the variables A and C"],
    ),
    "a variable with a default of the wrong kind": (
        HEAD + "providers: {}\nserver: {port: '${env.PORT:=http}'}\n",
        {},
        ["4: server.port: must be an integer"],
    ),
    "a provider id of a variable": (
        inference("- {provider_id: '${env.ID}', provider_type: remote::ollama}"),
        {"ID": "a/b"},
        [
            "5: providers.inference[0].provider_id: may hold letters, digits, '_', '-' and '.' only; "
            "the value comes from the variable ID"
        ],
    ),
    "unknown api to serve": (
        inference(f"- {OLLAMA}") + "apis: [inference, model]\n",
        {},
        ["6: apis[1]: unknown API 'model'; did you mean 'models'?"],
    ),
    "an api to serve without provider": (
        HEAD + "providers: {}\napis: [inference]\n",
        {},
        ["4: apis[0]: 'inference' needs a provider; add one under providers.inference"],
    ),
    "an api to serve twice": (
        inference(f"- {OLLAMA}") + "apis:\n  - inference\n  - inference\n",
        {},
        ["8: apis[1]: 'inference' stands twice; keep one"],
    ),
    "an unknown resource": (
        HEAD + "providers: {}\nregistered_resources: {model: []}\n",
        {},
        ["4: registered_resources.model: unknown key; did you mean 'models'?"],
    ),
    "a wrong resource": (
        inference(f"- {OLLAMA}") + "registered_resources:\n  models:\n    - {model_type: chat}\n",
        {},
        [
            "8: registered_resources.models[0].model_id: is missing; add it",
            "8: registered_resources.models[0].model_type: must be 'llm', 'embedding' or 'rerank'",
        ],
    ),
    "everything at once": (
        "version: 1\nproviders:\n  inference:\n"
        "    - provider_id: c\n      provider_type: remote::vllm\n      config:\n        base_url: ${env.U}\n"
        "        port: 1\n"
        "    - {provider_id: d, provider_type: nothing}\n"
        "server: {port: -1, hst: x}\n",
        {},
        [
            "1: distro_name: is missing; add it",
            "1: version: must be 2",
            "7: providers.inference[0].config.base_url: environment variable U is not set or empty; "
            "set it, or give a default: ${env.U:=value}",
            "8: providers.inference[0].config.port: unknown key; there are: allowed_models, "
            "api_token, base_url, connect_timeout_seconds, headers, max_connections, proxy, timeout_seconds, "
            "verify_tls",
            "9: providers.inference[1].provider_type: no provider type 'nothing' for the API "
            "inference; there are: inline::embeddings, inline::llama-cpp, remote::ollama, remote::openai, "
            "remote::openai-compatible, remote::vllm",
            "10: server.hst: unknown key; did you mean 'host'?",
            "10: server.port: must be at least 0",
        ],
    ),
}


@pytest.mark.parametrize("name", GALLERY)
def test_gallery(name: str) -> None:
    text, env, expected = GALLERY[name]
    found = faults(text, **env)
    assert found == expected
    assert "s3cret" not in "\n".join(found)


@pytest.mark.parametrize("digits", ["9" * 5000, "-" + "9" * 5000])
def test_a_number_of_thousands_of_digits(digits: str) -> None:
    [line] = faults(server_with("port: ${env.P}"), P=digits)
    assert line == "5: server.port: must be an integer; the value comes from the variable P"
    [line] = faults(server_with(f"port: {digits}"))
    assert line.startswith("5: '") and "is no int" in line and len(line) < 120


@pytest.mark.parametrize("value", ["[" * 100_000, "[" * 150 + "]" * 150, '{"a":' * 150 + "1" + "}" * 150])
def test_deep_json_of_the_environment(value: str) -> None:
    [line] = faults(HEAD + "providers: {}\nserver: ${env.P}\n", P=value)
    assert line == "4: server: must be a mapping of keys to values; the value comes from the variable P"


def test_the_environment_is_no_utf_8() -> None:
    [line] = faults(compatible("base_url: http://h/v1", "api_key: ${env.K}"), K="a\udcff")
    assert line == (
        "9: providers.inference[0].config.api_key: environment variable K is not UTF-8 text; set it to some"
    )


def test_keys_of_json_of_the_environment_are_named() -> None:
    found = faults(HEAD + "providers: {}\nserver: ${env.P}\n", P='{"port":99999,"nope":1}')
    source = "; the value comes from the variable P"
    assert found == [
        f"4: server.nope: unknown key; there are: {found[0].partition('there are: ')[2]}",
        f"4: server.port: must be at most 65535{source}",
    ] and found[0].endswith(source)
    assert read(HEAD + "providers: {}\nserver: ${env.P}\n", P='{"port":99}').stack.server.port == 99


def test_two_providers_of_an_api_that_nothing_routes() -> None:
    apis = {**SERVER.apis, "inference": replace(SERVER.apis["inference"], routed_by=())}
    server = replace(SERVER, apis=apis)
    two = [f"- {{provider_id: {name}, provider_type: remote::ollama}}" for name in ("a", "b")]
    assert faults(inference(*two), server) == [
        "4: providers.inference: nothing routes between the providers a, b; mark one `default: true`"
    ]
    two[1] = two[1].replace("}", ", default: true}")
    assert [one.default for one in read(inference(*two), server).providers] == [False, True]


def test_a_type_of_another_api(monkeypatch: pytest.MonkeyPatch) -> None:
    from specstack_server import provider_registry

    known = provider_registry.PROVIDERS
    spec = replace(known["inference", "remote::ollama"], api="other", provider_type="inline::thing")
    monkeypatch.setattr(provider_registry, "PROVIDERS", {**known, ("other", "inline::thing"): spec})
    assert faults(inference("- {provider_id: o, provider_type: inline::thing}")) == [
        "5: providers.inference[0].provider_type: no provider type 'inline::thing' for the API "
        "inference; it belongs to the API other"
    ]


# -- server.auth ---------------------------------------------------------------------------

HASH = "sha256:" + "0" * 64
AUTH = "auth:\n  provider_config:\n    type: api_keys\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (AUTH, "6: server.auth.provider_config: has no key; add one under keys (`specstack keys new` makes "
         "it) or set plain_keys"),
        (AUTH + "    plain_keys: ' , '\n",
         "6: server.auth.provider_config: has no key; add one under keys (`specstack keys new` makes "
         "it) or set plain_keys"),
        (AUTH + "    plain_keys: long-enough-canary-1,s3cret\n",
         "8: server.auth.provider_config.plain_keys: key "
         "2 has 6 characters, and a key needs 20; `specstack keys new` makes one"),
        (AUTH + "    keys: [{id: a, hash: s3cret}]\n",
         "8: server.auth.provider_config.keys[0].hash: must match the pattern ^sha256:[0-9a-f]{64}$"),
        (AUTH + f"    keys: [{{id: a, hash: '{HASH}'}}, {{id: b, hash: '{HASH}'}}]\n",
         "8: server.auth.provider_config.keys[1].hash: the key stands here twice, first for 'a'; remove one"),
        (AUTH + f"    keys: [{{id: a, hash: '{HASH}', tenant: Red}}]\n", "8: server.auth.provider_config.keys"
         "[0].tenant: must match the pattern ^[a-z0-9][a-z0-9_-]{0,127}$"),
        (AUTH.replace("api_keys", "ldap") + "    plain_keys: s3cret\n",
         "7: server.auth.provider_config.type: must be 'api_keys'"),
    ],
)  # fmt: skip
def test_wrong_authentication(text: str, message: str) -> None:
    assert faults(server_with(text)) == [message]


def test_a_plain_key_that_is_hashed_too() -> None:
    key = "sk-a-plain-key-000003"
    text = AUTH + f"    plain_keys: {key}\n    keys: [{{id: a, hash: '{hash_of(key)}'}}]\n"
    assert faults(server_with(text)) == [
        "8: server.auth.provider_config.plain_keys: key 1 stands under keys too, for 'a'; remove one"
    ]


# -- server.cors and server.tls ------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cors: {allow_origins: ['*'], allow_credentials: true}",
         "5: server.cors.allow_credentials: any page "
         "could act with its visitors' credentials; list the origins instead of '*'"),
        ("cors: {allow_origins: ['https://a.example/']}",
         "5: server.cors.allow_origins[0]: must match the pattern ^([*]|[a-z][a-z0-9+.-]*://[^/ ]+)$"),
        ("cors: {allow_origins: ['a.example']}",
         "5: server.cors.allow_origins[0]: must match the pattern ^([*]|[a-z][a-z0-9+.-]*://[^/ ]+)$"),
        ("tls: {keyfile: k}", "5: server.tls.certfile: is missing; add it"),
    ],
)  # fmt: skip
def test_wrong_guards(text: str, message: str) -> None:
    assert faults(server_with(text)) == [message]


def test_names_of_hosts() -> None:
    right = ["*", "api.example.com", "*.example.com", "Büro.lan", "my_host", "10.0.0.1", "2001:db8::1", "::1"]
    read(server_with(f"allowed_hosts: {json.dumps(right)}"))
    for wrong in (
        "http://a.example",
        "a.example:8080",
        "a.example/",
        "*.x.*",
        "a b",
        "",
        "[::1]",
        "10.0.0.1:1",
    ):
        assert faults(server_with(f"allowed_hosts: [ok, {json.dumps(wrong)}]")) == [
            "5: server.allowed_hosts[1]: is no host name; write it without scheme, port and path: "
            "api.example.com, *.example.com or *"
        ], wrong


# -- server.quota --------------------------------------------------------------------------

QUOTA: dict[str, tuple[str, list[str]]] = {
    "an unknown kind of caller": (
        "quota: {anonymus: []}",
        ["5: server.quota.anonymus: unknown key; did you mean 'anonymous'?"],
    ),
    "a window that is no list": (
        "quota: {tenant: {per: day, requests: 1}}",
        ["5: server.quota.tenant: must be a list"],
    ),
    "no window": ("quota: {tenant: [{requests: 1}]}", ["5: server.quota.tenant[0].per: is missing; add it"]),
    "an unknown window": (
        "quota: {tenant: [{per: week, requests: 1}]}",
        ["5: server.quota.tenant[0].per: must be 'second', 'minute', 'hour' or 'day'"],
    ),
    "a window that limits nothing": (
        "quota: {authenticated: [{per: day, tokens: 5}, {per: hour}]}",
        ["5: server.quota.authenticated[1]: limits nothing; give requests, tokens or both"],
    ),
    "a window twice": (
        "quota: {anonymous: [{per: day, tokens: 5}, {per: day, requests: 5}]}",
        ["5: server.quota.anonymous[1].per: 'day' stands twice; keep one"],
    ),
    "no requests at all": (
        "quota: {anonymous: [{per: day, requests: 0}]}",
        ["5: server.quota.anonymous[0].requests: must be at least 1"],
    ),
    "half a request": (
        "quota: {anonymous: [{per: day, requests: 1.5}]}",
        ["5: server.quota.anonymous[0].requests: must be an integer"],
    ),
    "an unknown operation": (
        "quota: {operations: [createChatCompletions, nothing]}",
        [
            "5: server.quota.operations[0]: no operation or API 'createChatCompletions'; "
            "did you mean 'createChatCompletion'?",
            "5: server.quota.operations[1]: no operation or API 'nothing'; "
            "there are: inference, inspect, models, providers",
        ],
    ),
    "an operation that is public": (
        "quota: {operations: [health]}",
        ["5: server.quota.operations[0]: 'health' is public, and public operations are never counted"],
    ),
    "an unknown way to do without": (
        "quota: {when_unavailable: open}",
        ["5: server.quota.when_unavailable: must be 'allow' or 'refuse'"],
    ),
    "a drain before the start": (
        "shutdown_drain_seconds: -1",
        ["5: server.shutdown_drain_seconds: must be at least 0.0"],
    ),
}


@pytest.mark.parametrize("name", QUOTA)
def test_gallery_of_quotas(name: str) -> None:
    text, expected = QUOTA[name]
    assert faults(server_with(text)) == expected


def test_a_limit_of_the_environment_may_be_left_out() -> None:
    text = server_with(
        "quota: {anonymous: [{per: minute, requests: '${env.RPM:=}', tokens: '${env.TPM:=}'}]}"
    )
    for env, found in (({}, (None, None)), ({"RPM": "7"}, (7, None)), ({"TPM": "9"}, (None, 9))):
        (window,) = read(text, **env).stack.server.quota.anonymous or ()
        assert (window.requests, window.tokens) == found
