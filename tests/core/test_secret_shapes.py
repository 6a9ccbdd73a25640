"""What looks like a secret: one list, by which the log and the recordings are kept clean."""

import json

import pytest

from specstack.logs import redactor
from specstack.masking import MASK, masked
from specstack.recorder.scrub import SCRUBBED, Scrubber

BODY = "c4NaRyc4NaRyc4NaRyc4NaRyc4NaRyc4NaRy"
JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJjYW5hcnkifQ"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEc4NaRyAAKCAQEAc4NaRy\nc4NaRy==\n-----END RSA PRIVATE KEY-----"

SECRETS = {
    "OpenAI": "sk-" + BODY,
    "OpenAI project": "sk-proj-" + BODY + "_T3BlbkFJ",
    "Anthropic": "sk-ant-api03-" + BODY,
    "our own": "sk-specstack-" + BODY,
    "AWS": "AKIA" + "C4NARYC4NARYC4NA",
    "AWS, for some time": "ASIA" + "C4NARYC4NARYC4NA",
    "GitHub": "ghp_" + BODY,
    "GitHub Actions": "ghs_" + BODY,
    "GitHub, fine-grained": "github_pat_11C4NARY_" + BODY,
    "GitLab": "glpat-" + BODY[:20],
    "Google": "AIza" + BODY[:35],
    "Google OAuth": "ya29." + BODY,
    "Hugging Face": "hf_" + BODY,
    "Stripe": "sk_" + "live_" + BODY,
    "Stripe, restricted": "rk_" + "test_" + BODY,
    "Slack bot": "xoxb-123456789012-1234567890123-" + BODY[:24],
    "Slack user": "xoxp-123456789012-1234567890123-" + BODY[:24],
    "Slack app": "xapp-1-A0123456789-1234567890123-" + BODY,
    "Slack refresh": "xoxr-123456789012-" + BODY[:24],
    "Slack config": "xoxe.xoxp-1-" + BODY,
    "Slack, workspace": "xoxs-123456789012-" + BODY[:24],
    "Groq": "gsk_" + BODY,
    "NVIDIA": "nvapi-" + BODY,
    "xAI": "xai-" + BODY,
    "Replicate": "r8_" + BODY,
    "Databricks": "dapi" + "0123456789abcdef" * 2,
    "a JSON Web Token": f"{JWT}.c4NaRyc4NaRy-c4NaRy_c4NaRy",
    "one that nobody signed": f"{JWT}.",
    "an encrypted one": "eyJhbGciOiJSU0EtT0FFUCJ9.c4NaRyc4NaRy.c4NaRyc4.c4NaRyc4NaRy.c4NaRy",
    "a private key": PEM,
    "a private key in JSON": json.dumps(PEM)[1:-1],
    "a private key cut off": "-----BEGIN PRIVATE KEY-----" + "\nMIIEc4NaRyAAKCAQEAc4NaRy" * 2,
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("around", ["{}", "the key {} is wrong", '{{"detail": "no {}"}}', "a={}&b=1", "({})"])
def test_well_known_secrets_are_seen_anywhere(secret: str, around: str) -> None:
    told = around.format(secret)
    for clean in (redactor.clean(told), Scrubber().clean(told)):
        assert "NaRy" not in clean and "C4NARY" not in clean and secret not in clean
        for part in around.split("{}"):
            assert part.strip("{}") in clean, "and nothing else is taken away"
    assert Scrubber().clean(Scrubber().clean(told)) == Scrubber().clean(told)
    assert secret not in str(Scrubber().clean({"text": told, told: [told]}))


@pytest.mark.parametrize(
    ("told", "clean"),
    [
        ("Authorization: Bearer abcdef-123456", "Authorization: Bearer MASK"),
        ("they sent Bearer abc.DEF.ghi and more", "they sent Bearer MASK and more"),
        ("bearer " + "a" * 24, "bearer MASK"),
        ("Basic dXNlcjpwYXNz", "Basic MASK"),
        ("postgresql://user:p@ss:word@db:5432/x", "postgresql://MASK@db:5432/x"),
        ("https://ghost-token-1@host/x.git", "https://MASK@host/x.git"),
        ("GET /v1/models?key=k1234&page_token=2", "GET /v1/models?key=MASK&page_token=2"),
        ("https://hooks.slack.com/services/T01/B02/c4NaRy", "https://hooks.slack.com/services/MASK"),
        ('{"password": "my pass phrase", "a": 1}', '{"password": "MASK", "a": 1}'),
        (r'"{\"client_secret\": \"c\\\"d\", \"a\": 1}"', r'"{\"client_secret\": \"MASK\", \"a\": 1}"'),
        ("{'x-api-key': 'k'}", "{'x-api-key': 'MASK'}"),
    ],
)
def test_credentials_go_and_what_tells_of_them_stays(told: str, clean: str) -> None:
    assert Scrubber().clean(told) == clean.replace("MASK", SCRUBBED)
    assert redactor.clean(told) == clean.replace("MASK", MASK)


@pytest.mark.parametrize(
    "said",
    [
        "Basic understanding of bearer certificates is a basic requirement.",
        "Bearer tokens are sent by the bearer, who is authenticated.",
        "task-based risk-assessment, ask-me-later, a desk-side lamp",
        "git clone ssh://git@github.com/a/b.git; http://host:8080?to=a@b.example; mail me@host",
        "eyJhbGciOiJIUzI1NiJ9 alone is half a token",
        "The file begins with -----BEGIN PRIVATE KEY----- and ends likewise.",
        "?page_token=2&next_token=3&keys=4",
        "SSIAKIAOS and Samsung's hf_x are no keys",
    ],
)
def test_prose_stays(said: str) -> None:
    assert Scrubber().clean({"content": said}) == {"content": said}
    assert redactor.clean(said) == said


def test_a_password_in_a_sentence_is_a_models_own_text_but_none_of_a_log() -> None:
    said = "The password: swordfish. The secret: patience."
    assert Scrubber().clean(said) == said
    assert "swordfish" not in redactor.clean(said)


@pytest.mark.parametrize(
    "name",
    "api_key apiKey x-api-key API-Key clientSecret aws_secret_access_key secretKey passphrase".split(),
)
def test_names_of_secrets(name: str) -> None:
    assert masked({name: "canary"}) == {name: MASK}
    assert Scrubber().clean({name: "canary"}) == {name: SCRUBBED}


@pytest.mark.parametrize("name", ["monkey", "tokens", "secretary", "maxTokens", "key", "api_keys_url"])
def test_names_of_other_things(name: str) -> None:
    assert masked({name: "canary"}) == {name: "canary"}
