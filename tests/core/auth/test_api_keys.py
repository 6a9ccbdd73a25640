"""API keys: which requests they let in, as whom, and what is said to the others."""

import hashlib
from typing import Any

import pytest
from pydantic import SecretStr

from specstack.auth import Attempt, Identity, Refusal
from specstack.auth.api_keys import ApiKeys
from specstack.auth.keys import PREFIX, digest_of, hash_of, new_key, split_keys, why_unfit
from specstack_api.run_config import ApiKey, ApiKeysAuth
from specstack_wire import Principal

ANN, BOB, PLAIN = "sk-the-key-of-ann-0001", "sk-the-key-of-bob-0002", "sk-a-plain-key-000003"
SETTINGS = ApiKeysAuth(
    type="api_keys",
    keys=[
        ApiKey(id="ann", hash=hash_of(ANN), tenant="red", attributes={"roles": ["admin", "user"]}),
        ApiKey(id="bob", hash=hash_of(BOB)),
    ],
    plain_keys=SecretStr(f"{PLAIN}, {PLAIN[:-1]}4\n{PLAIN[:-1]}5"),
)


def attempt(*headers: tuple[str, str], **scope: Any) -> Attempt:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return Attempt({"path": "/v1/x", "headers": raw, **scope})


async def who(*headers: tuple[str, str]) -> Identity:
    return await ApiKeys.of(SETTINGS).authenticate(attempt(*headers))


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", f"Bearer {ANN}")],
        [("authorization", f"bearer   {ANN} ")],
        [("x-api-key", ANN)],
        [("authorization", "Basic abc"), ("x-api-key", ANN)],
        [("authorization", f"Bearer {ANN}"), ("x-api-key", BOB)],
    ],
)
async def test_a_key_tells_who_calls(headers: list[tuple[str, str]]) -> None:
    assert await who(*headers) == Identity(Principal("ann", {"roles": ("admin", "user")}), "red")


async def test_plain_keys_are_told_apart_by_their_hashes() -> None:
    for key in (PLAIN, PLAIN[:-1] + "4", PLAIN[:-1] + "5"):
        identity = await who(("authorization", f"Bearer {key}"))
        digest = hashlib.sha256(key.encode()).hexdigest()
        assert identity == Identity(Principal(f"key-{digest[:12]}"), None)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ([], "wants an API key"),
        ([("authorization", "")], "wants an API key"),
        ([("authorization", "Bearer ")], "wants an API key"),
        ([("authorization", f"Basic {ANN}")], "wants an API key"),
        ([("authorization", ANN)], "wants an API key"),
        ([("authorization", f"Bearer {ANN}x")], "does not know"),
        ([("authorization", f"Bearer {hash_of(ANN)}")], "does not know"),
        ([("authorization", "Bearer \xff\xfe")], "does not know"),
        ([("authorization", "Bearer wrong"), ("x-api-key", ANN)], "does not know"),
        ([("authorization", f"Bearer {ANN}"), ("authorization", f"Bearer {BOB}")], "authorization stands"),
        ([("x-api-key", ANN), ("x-api-key", ANN)], "x-api-key stands"),
    ],
)
async def test_others_are_refused(headers: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(Refusal, match=message) as caught:
        await who(*headers)
    assert caught.value.role == "unauthenticated"
    assert ANN not in caught.value.message


async def test_digests_that_begin_alike_are_different_keys() -> None:
    known = b"\x01" * 8
    provider = ApiKeys([(known + b"\x02" * 24, Identity(Principal("a")))])
    provider._known[digest_of(ANN)[:8]] = provider._known[known]
    with pytest.raises(Refusal):
        await provider.authenticate(attempt(("x-api-key", ANN)))


def test_an_attempt_shows_what_other_providers_need() -> None:
    found = attempt(
        ("x-user", "ann"), ("x-team", "a"), ("x-team", "b"),
        method="POST", query_string=b"a=1", client=("10.0.0.7", 4242),
    )  # fmt: skip
    assert (found.method, found.path, found.query, found.client) == ("POST", "/v1/x", "a=1", "10.0.0.7")
    assert found.headers == {"x-user": "ann", "x-team": "a, b"}
    bare = attempt()
    assert (bare.method, bare.query, bare.client, bare.headers) == ("GET", "", None, {})


def test_new_keys_are_random_and_fit() -> None:
    made = {new_key() for _ in range(50)}
    assert len(made) == 50
    assert {len(key) for key in made} == {len(PREFIX) + 43}
    assert [why_unfit(key) for key in made] == [None] * 50


def test_the_form_of_a_hash() -> None:
    # printf abc | sha256sum
    assert hash_of("abc") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    "key", ["short", "x" * 19, "with a blank and long enough", "long-enough-but-ünusual"]
)
def test_unfit_keys(key: str) -> None:
    why = why_unfit(key)
    assert why is not None and "specstack keys new" in why and key not in why


def test_keys_in_one_text() -> None:
    assert split_keys(" a,b\n\tc ,, ") == ["a", "b", "c"]
