"""What credentials look like: the one list for the log, for recordings, and for settings that are shown.

Two ways lead to a secret that nobody has named: its shape (prefixes of well-known keys, tokens, credentials
in URLs), and the name beside it (`"api_key": "…"`). No mask looks like a secret, so that blotting out twice
is the same as once.
"""

import base64
import re
from collections.abc import Iterator
from urllib.parse import unquote, unquote_plus

SHORTEST = 8
"""Characters of a known secret for which texts are searched; shorter ones are too often ordinary words."""

# Prefixes that are a key's alone, and what follows them, as those who hand the keys out write them.
_KEYS = {
    ("sk-",): r"[A-Za-z0-9_-]{8,}",  # OpenAI (sk-proj-…), Anthropic (sk-ant-…), OpenRouter, DeepSeek, our own
    ("AKIA", "ASIA"): r"[A-Z0-9]{12,}",  # AWS
    ("AIza", "ya29."): r"[A-Za-z0-9_-]{16,}",  # Google
    ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"): r"[A-Za-z0-9_]{16,}",  # GitHub
    ("glpat-", "glcbt-", "gldt-", "glft-", "glimt-", "gloas-", "glptt-", "glrt-", "glsoat-"): (
        r"[A-Za-z0-9_.-]{16,}"  # GitLab
    ),
    ("hf_", "api_org_"): r"[A-Za-z0-9]{16,}",  # Hugging Face
    ("gsk_", "r8_"): r"[A-Za-z0-9]{16,}",  # Groq, Replicate
    ("nvapi-", "xai-", "csk-", "pplx-", "tvly-", "jina_"): r"[A-Za-z0-9_-]{16,}",
    ("dapi",): r"[0-9a-f]{32}",  # Databricks
    ("sk_live_", "sk_test_", "rk_live_", "rk_test_", "pk_live_"): r"[A-Za-z0-9]{8,}",  # Stripe
    ("whsec_",): r"[A-Za-z0-9+/=]{16,}",
    ("xoxa-", "xoxb-", "xoxc-", "xoxd-", "xoxe-", "xoxp-", "xoxr-", "xoxs-"): r"[A-Za-z0-9%-]{8,}",  # Slack
    ("xoxe.xoxb-", "xoxe.xoxp-", "xapp-"): r"[A-Za-z0-9-]{8,}",
    ("npm_", "pypi-"): r"[A-Za-z0-9_-]{16,}",
    # A JSON Web Token, signed, unsigned or encrypted: the first part is always `{"…` in base64.
    ("eyJ",): r"[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){1,3}",
}
_KEY = [
    (prefix, re.compile(rf"(?<![A-Za-z0-9]){re.escape(prefix)}{rest}"))
    for prefixes, rest in _KEYS.items()
    for prefix in prefixes
]
_HOOK = re.compile(r"(://hooks\.slack\.com/(?:services|workflows|triggers)/)[A-Za-z0-9/_-]{8,}")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?:.*?-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"
    r"|(?:(?:\\+[nr]|\s)+[A-Za-z0-9+/=]{16,})+)",  # the second where the end is cut off
    re.DOTALL,
)
# What follows the word in prose ("bearer certificates") has neither digits nor such a length.
_BEARER = re.compile(
    r"(\bbearer\s+)(?=[A-Za-z~/-]*(?:[0-9_+=]|\.[A-Za-z0-9])|\S{24})[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE
)
_BASIC = re.compile(r"(\bbasic\s+)([A-Za-z0-9+/_-]{4,}={0,2})", re.IGNORECASE)
# A name alone may be a token, but for that of hosts of repositories; a password may hold an `@`, and a `/`
# that somebody forgot to escape. What looks like a port is one.
_USERINFO = re.compile(
    r"""(://)(?!git@)(?:[^/\s:@?#"'<>\[]*:(?!\d{1,5}[/?#])[^\s"'<>]{0,1000}|[^/\s:@?#"'<>]+)(?=@)"""
)
# Some servers take their key in the query of a path. Tokens of pages are places in a list.
_QUERY = re.compile(
    r"(?<=[?&])(?!page|next|continuation)"
    r"((?:[\w.-]*[_.-]|access|auth|client|id|refresh|session|secret|subscription|x)?"
    r"(?:api_?key|key|token|secret|password|passwd|sig(?:nature)?)=)[^&#\s\"']+",
    re.IGNORECASE,
)

_NAMES = (
    r"(?:authorization|api[_-]?key|(?:access|auth|id|refresh|session)[_-]?token|password|passwd"
    r"|passphrase|secret|(?:secret[_-]?access|secret|private|signing|subscription)[_-]?key)"
)
_HINTS = ("authorization", "key", "token", "pass", "secret", "cookie")
"""One of these is in each of the names, so that most texts are passed over quickly."""
_WHOLE_NAME = re.compile(
    # After a hump of camelCase too.
    rf"(?:^|[_-]|(?<=[a-z0-9])(?=[A-Z]))"
    rf"(?i:token|credentials?|(?:set-)?cookie|{_NAMES}|api[_-]?keys|passwords|secrets)$"
)
# Data: the value goes to the quote that ends it, in texts of JSON inside of JSON too.
_QUOTED = re.compile(
    rf"""({_NAMES}\\*['"]\s*[:=]\s*b?(\\*['"])(?:(?:bearer|basic)\s+)?)(?:(?!\2)(?:\\.|.)|(?<=\\)\\['"])+""",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(
    rf"""((?:{_NAMES}|cookie)['"]?\s*[:=]\s*(?:b?['"])?(?:(?:bearer|basic)\s+)?)[^\s'",;&)}}\]]+""",
    re.IGNORECASE,
)
_TO_STANDARD = str.maketrans("-_", "+/")


def blotted(text: str, mask: str, *, prose: bool = False) -> str:
    """The text with `mask` in place of whatever looks like a secret.

    In `prose`, which people and models write, the name of a secret counts only where it stands in quotes, as
    data has it: "the password: swordfish" is a sentence.
    """

    def kept(match: re.Match[str]) -> str:
        return f"{match[1]}{mask}"

    lower = text.lower()
    if "private key" in lower:
        text = _PRIVATE_KEY.sub(mask, text)
    if any(hint in lower for hint in _HINTS):
        text = _QUOTED.sub(kept, text)
        if not prose:
            text = _ASSIGNED.sub(kept, text)
    if "basic" in lower:
        text = _BASIC.sub(lambda match: kept(match) if _is_pair(match[2]) else match[0], text)
    if "bearer" in lower:
        text = _BEARER.sub(kept, text)
    if "=" in lower:
        text = _QUERY.sub(kept, text)
    if "://" in lower:
        text = _HOOK.sub(kept, without_userinfo(text, mask))
    for prefix, pattern in _KEY:
        if prefix in text:
            text = pattern.sub(mask, text)
    return text


def names_secret(name: str) -> bool:
    """Whether a text under this name is a secret, as `api_key`, `x-api-key` and `clientSecret` say."""
    return _WHOLE_NAME.search(name) is not None


def without_userinfo(text: str, mask: str) -> str:
    """The text with `mask` in place of the credentials in URLs."""
    return _USERINFO.sub(rf"\1{mask}", text) if "://" in text and "@" in text else text


def has_credentials(url: str) -> bool:
    """Whether a URL has a user or password, escaped or not."""
    return _USERINFO.search(url) is not None


def secrets_of_url(text: str) -> Iterator[str]:
    """The credentials in a URL: what stands there, what it means, and its form in a header's `Basic`."""
    if "://" not in text:
        return
    found = _USERINFO.search(text)
    if found is not None:
        user, _, password = text[found.end(1) : found.end()].partition(":")
        yield from (password or user, unquote(password or user))
        yield base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    for match in _QUERY.finditer(text):
        value = match[0].removeprefix(match[1])
        yield from (value, unquote_plus(value))


def _is_pair(encoded: str) -> bool:
    """Whether base64 says `name:password`."""
    plain = encoded.translate(_TO_STANDARD)
    try:
        told = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
    except ValueError:
        return False
    return ":" in told and told.isprintable()
