"""What a request's headers say about the call, and ids for requests."""

import json
import random
import re
import time
from collections.abc import Mapping
from typing import Any, cast

from specstack.descriptors import Variant
from specstack.http.errors import ErrorTable
from specstack.underway import note_call
from specstack_wire import RequestContext

_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_PROVIDER_DATA = (b"x-stack-provider-data", b"x-llamastack-provider-data", b"x-ogx-provider-data")
"""The headers with data for providers, ours first: of several the first counts."""
_ANY_PROVIDER_DATA = frozenset(_PROVIDER_DATA)
_NOTHING: Mapping[str, Any] = {}
_PARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_STATE = re.compile(r"[\x20-\x7e\t]{1,512}")

_random_bits = random.getrandbits


def request_id_of(headers: Mapping[bytes, bytes]) -> str:
    """The client's own `x-request-id` when it is a plain short token, else a new id."""
    given = headers.get(b"x-request-id")
    if given is not None and _SANE_ID.fullmatch(given):
        return given.decode()
    return f"req_{_random_bits(96):024x}"


def context_of(
    headers: Mapping[bytes, bytes], request_id: str, operation: str, timeout: float | None
) -> RequestContext:
    """The context of a call, without its provider data, which nobody reads before it is known who calls."""
    deadline = None if timeout is None else time.time() + timeout
    key = headers.get(b"idempotency-key")
    ctx = RequestContext(
        request_id,
        operation,
        None,
        None,
        _NOTHING,
        _NOTHING,
        deadline,
        None,
        None if key is None else key.decode("latin-1"),
    )
    if b"traceparent" in headers:
        _join_trace(ctx, headers)
    note_call(ctx)
    return ctx


def _join_trace(ctx: RequestContext, headers: Mapping[bytes, bytes]) -> None:
    """Take over the caller's place in a trace, if it is one by W3C's rules."""
    parent = headers[b"traceparent"]
    # Later versions may say more, behind another dash.
    found = _PARENT.match(parent)
    if found is None or (len(parent) > 55 and (parent.startswith(b"00") or parent[55] != ord("-"))):
        return
    ctx.trace = found[0].decode()
    state = headers.get(b"tracestate", b"").decode("latin-1").strip()
    if _STATE.fullmatch(state):
        ctx.headers = {"tracestate": state}


def read_provider_data(ctx: RequestContext, headers: Mapping[bytes, bytes], errors: ErrorTable) -> None:
    """Put the caller's data for providers into the context. Raises `invalid` if it is no JSON object."""
    if _ANY_PROVIDER_DATA.isdisjoint(headers):
        return
    name = next(name for name in _PROVIDER_DATA if name in headers)
    try:
        data = json.loads(headers[name])
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        # The value may hold credentials, so it is not repeated.
        shown = name.decode()
        raise errors.error("invalid", f"The header {shown} must be a JSON object.", param=shown)
    ctx.provider_data = cast("dict[str, Any]", data)


class VariantChoice:
    """Chooses the reply form that a request's headers ask for; the first match wins."""

    __slots__ = ("_rules",)

    def __init__(self, variants: tuple[Variant, ...]) -> None:
        self._rules = [
            (item.name, item.header.lower().encode(), None if item.value is None else re.compile(item.value))
            for item in variants
        ]

    def of(self, headers: Mapping[bytes, bytes]) -> str:
        """The variant's name, or "" for the ordinary reply form."""
        for name, header, pattern in self._rules:
            value = headers.get(header)
            if value is not None and (pattern is None or pattern.search(value.decode("latin-1"))):
                return name
        return ""
