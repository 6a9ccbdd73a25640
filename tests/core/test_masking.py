"""Settings are shown without their secrets, whatever holds them."""

from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from specstack.masking import MASK, masked


class Settings(BaseModel):
    key: SecretStr
    headers: dict[str, SecretStr]
    base_url: str
    timeout: float = 1.5
    proxy: str | None = None


def test_secrets_anywhere_in_a_model_are_masked_and_the_rest_is_shown() -> None:
    settings = Settings(
        key=SecretStr("canary"), headers={"x-key": SecretStr("canary")}, base_url="http://u:canary@host/v1"
    )
    assert masked(settings) == {
        "key": MASK,
        "headers": {"x-key": MASK},
        "base_url": f"http://{MASK}@host/v1",
        "timeout": 1.5,
        "proxy": None,
    }


def test_an_empty_secret_is_shown_as_empty() -> None:
    assert masked(SecretStr("")) == ""


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ([SecretStr("canary"), 1, True], [MASK, 1, True]),
        ({"a": (SecretStr("canary"),)}, {"a": [MASK]}),
        ("mail me@host", "mail me@host"),
        (b"raw", "b'raw'"),
    ],
)
def test_lists_mappings_and_plain_values(value: Any, shown: Any) -> None:
    assert masked(value) == shown


@pytest.mark.parametrize(
    "url",
    [
        "http://u:canary/slash@127.0.0.1:1/v1",
        "http://u:canary?x#y@127.0.0.1:1/v1",
        "http://127.0.0.1:1/v1?api_key=canary",
        "https://collector.example/v1?token=canary&x=1",
        "postgresql://u:canary/slash@db/x",
    ],
)
def test_credentials_anywhere_in_a_url_are_masked(url: str) -> None:
    assert "canary" not in masked(url)
    assert "slash" not in masked(url)
    assert masked(url).startswith(url.partition("//")[0])


@pytest.mark.parametrize("url", ["http://[::1]:8080/users/a@b", "http://host:8080/@scope/x?page=2"])
def test_an_at_sign_behind_a_port_is_no_password(url: str) -> None:
    assert masked(url) == url


def test_under_the_name_of_a_secret_everything_is_one() -> None:
    given = {"password": 12345678, "api_keys": ["canary", {"a": "canary"}], "secret": {"on": True, "x": None}}
    assert masked(given) == {
        "password": MASK,
        "api_keys": [MASK, {"a": MASK}],
        "secret": {"on": True, "x": None},
    }
