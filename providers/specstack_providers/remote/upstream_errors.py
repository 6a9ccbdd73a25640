"""From what another server did wrong to an error of the spec's upstream table."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from specstack_api.errors import UPSTREAM
from specstack_wire import ApiError, UpstreamBroken, UpstreamError, UpstreamTimeout, UpstreamUnreachable

_MESSAGE_LIMIT = 2000
_SHORTEST_SECRET = 4
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


class UpstreamErrors:
    """Makes the errors of one provider. Messages name the provider and never contain one of `secrets`."""

    def __init__(self, provider_id: str, secrets: Iterable[str] = ()) -> None:
        self._who = f"The upstream of provider {provider_id!r}"
        self._secrets = tuple(s for s in secrets if len(s) >= _SHORTEST_SECRET)

    def refused(
        self, status: int, headers: Mapping[str, str], body: bytes, also: Iterable[str] = ()
    ) -> ApiError:
        """The error for a reply with an error status.

        Keeps the upstream's message, the field it names and its `retry-after`. `also` are further
        secrets, such as the caller's own key.
        """
        said, param = told(body)
        message = f"{self._who} answered {status}" + (f": {said}" if said else " without a message.")
        retry = headers.get("retry-after")
        kept = {"retry-after": retry} if retry and retry.isascii() and retry.isprintable() else None
        field = None if param is None else self.cleaned(param, also)
        return _class_of(status)(self.cleaned(message, also), param=field, headers=kept)

    def failed(self, error: UpstreamError, also: Iterable[str] = ()) -> ApiError:
        """The error for a call that got no reply, or whose reply or stream broke off."""
        message = f"{self._who} failed: {error.message}"
        key = "broken"
        if isinstance(error, UpstreamTimeout):
            key = "timeout"
        elif isinstance(error, UpstreamUnreachable):
            key = "unreachable"
        elif isinstance(error, UpstreamBroken) and error.raw is not None:
            said, _ = told(error.raw)
            message += f": {said}" if said else ""
        return UPSTREAM[key](self.cleaned(message, also))

    def invalid(self, what: str) -> ApiError:
        """The error for a reply that is no reply of the API: `what` completes "the upstream … sent"."""
        message = f"{self._who} sent {what}; check that its base_url is that of an OpenAI-style API."
        return UPSTREAM["5xx"](self.cleaned(message))

    def cleaned(self, text: str, also: Iterable[str] = ()) -> str:
        """`text` on one line, at most 2000 characters, each secret blotted out."""
        for secret in (*self._secrets, *(s for s in also if len(s) >= _SHORTEST_SECRET)):
            text = text.replace(secret, "[secret]")
        return _CONTROL.sub(" ", text)[:_MESSAGE_LIMIT]


def _class_of(status: int) -> type[ApiError]:
    for key in (str(status), f"{status // 100}xx"):
        if key in UPSTREAM:
            return UPSTREAM[key]
    return UPSTREAM["broken"]


def of_url(url: str | None) -> tuple[str, ...]:
    """The secrets in a URL's user and password: as they stand, as they are meant, and as they are sent."""
    try:
        parts = urlsplit(url or "")
        user, password = parts.username or "", parts.password or ""
    except ValueError:
        return ()
    if not (user or password):
        return ()
    sent = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    return (password or user, unquote(password or user), sent)


def told(body: bytes) -> tuple[str, str | None]:
    """Message and faulty field of an error body in the forms servers use.

    Known are OpenAI's `{"error": {...}}`, `{"error": "…"}`, `{"message": "…"}`, FastAPI's `detail`
    and plain text. A page of HTML says nothing to the caller and gives an empty message.
    """
    try:
        found: object = json.loads(body)
    except (ValueError, RecursionError):
        text = body.decode("utf-8", "replace").strip()
        return ("" if text.startswith("<") else text), None
    if not isinstance(found, dict):
        return "", None
    outer = cast(dict[str, Any], found)
    error = outer.get("error", outer)
    if isinstance(error, str):
        return error, None
    if not isinstance(error, dict):
        return "", None
    inner = cast(dict[str, Any], error)
    param = inner.get("param")
    message = inner.get("message") or _detail(inner.get("detail"))
    return (message if isinstance(message, str) else ""), (param if isinstance(param, str) else None)


def _detail(detail: object) -> str:
    if isinstance(detail, str):
        return detail
    if not isinstance(detail, list):
        return ""
    faults: list[str] = []
    for item in cast(list[object], detail):
        fault = cast(dict[str, Any], item) if isinstance(item, dict) else {}
        place = ".".join(str(part) for part in cast(list[object], fault.get("loc") or []))
        faults.append(f"{place}: {fault.get('msg')}")
    return "; ".join(faults)
