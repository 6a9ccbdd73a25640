"""`config show`: where each value comes from, and that no secret is ever in it."""

from textwrap import dedent

import pytest

from specstack.config import read_config
from specstack.config_view import shown
from specstack.positions import load
from specstack_server import SERVER

CANARY = "canary-5f3a"

CONFIG = """\
version: 2
distro_name: t
providers:
  inference:
    - provider_id: ${env.OFF:+gone}
      provider_type: remote::vllm
      config: {api_token: '${env.OFF}'}
    - provider_id: c
      provider_type: remote::openai-compatible
      default: true
      config:
        base_url: https://user:${env.SECRET}@h/v1
        api_key: ${env.SECRET}
        headers: {x-key: "a-${env.SECRET}", plain: '${env.SECRET}'}
        allowed_models: ${env.MODELS}
        timeout_seconds: ${env.WAIT:=${env.PATIENCE:=30}}
    - provider_id: d
      provider_type: remote::vllm
      config:
        base_url: ${env.DEEP:=http://h}/${env.SECOND}
        api_token: literal-canary-5f3a
registered_resources:
  models:
    - model_id: m
      provider_id: c
      metadata: {own_password: "${env.SECRET}", max_tokens: "7", deep: {upstream-token: "canary-5f3a"}}
server:
  host: ${env.HOST:=}
  port: 9000
"""
ENV = {"SECRET": CANARY, "MODELS": '["a", "b"]', "SECOND": "v1", "PATIENCE": "5"}


def view(text: str = CONFIG, **env: str) -> str:
    return shown(read_config(dedent(text), "/some/where/run.yaml", SERVER, env or ENV))


def origins() -> dict[str, str]:
    """`key: value` -> origin, for every line with one."""
    found: dict[str, str] = {}
    for line in view().splitlines()[1:]:
        value, mark, origin = line.partition("  # ")
        if mark:
            found[value.strip()] = origin
    return found


@pytest.mark.parametrize(
    ("value", "origin"),
    [
        ("version: 2", "run.yaml:1"),
        ("- provider_id: c", "run.yaml:8"),
        ("default: true", "run.yaml:10"),
        ("base_url: https://********@h/v1", "environment SECRET (run.yaml:12)"),
        ('api_key: "********"', "environment SECRET (run.yaml:13)"),
        ('x-key: "********"', "environment SECRET (run.yaml:14)"),
        ("- a", "environment MODELS (run.yaml:15)"),
        ("timeout_seconds: 5.0", "environment PATIENCE (run.yaml:16)"),
        ("base_url: http://h/v1", "environment SECOND (run.yaml:20)"),
        ('api_token: "********"', "run.yaml:21"),
        ("rerank_path: null", "default"),
        ("model_type: llm", "default"),
        ('max_tokens: "7"', "run.yaml:26"),
        ('upstream-token: "********"', "run.yaml:26"),
        ("host: 127.0.0.1", "default, HOST is not set"),
        ("port: 9000", "run.yaml:29"),
        ("level: info", "default"),
    ],
)
def test_every_value_has_its_origin(value: str, origin: str) -> None:
    assert origins()[value] == origin


def test_no_secret_is_shown() -> None:
    assert CANARY not in view()
    assert "gone" not in view()


def test_it_is_the_whole_resolved_config_as_yaml() -> None:
    document = load(view())
    assert set(document) == set(type(read_config(CONFIG, "f", SERVER, ENV).stack).model_fields)
    assert [one["provider_id"] for one in document["providers"]["inference"]] == ["c", "d"]
    assert document["providers"]["inference"][0]["config"]["allowed_models"] == ["a", "b"]


def test_the_raw_values_are_not_in_a_repr() -> None:
    assert "Substituted" not in repr(read_config(CONFIG, "f", SERVER, ENV))


def test_a_variable_that_is_not_set_is_told() -> None:
    text = "version: 2\ndistro_name: ${env.NAME:=t}\nproviders: {}\n"
    assert "distro_name: t" in view(text, X="1")
    assert "# run.yaml:2, NAME is not set" in view(text, X="1")
