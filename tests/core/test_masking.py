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
