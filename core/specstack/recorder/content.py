"""Bytes of HTTP in the form in which recordings hold them: one that people can read."""

import base64
import json
from collections.abc import Mapping
from typing import Any, cast

from specstack.recorder.exchange import Json, text_of


def readable(content: bytes, *, as_json: bool = True) -> Json:
    """`{"json": …}`, `{"text": …}` or `{"base64": …}`."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}
    if as_json:
        try:
            return {"json": json.loads(text)}
        except (ValueError, RecursionError):
            pass
    return {"text": text}


def bytes_of(kept: Json) -> bytes:
    """The bytes again; JSON without blanks."""
    if "json" in kept:
        return text_of(kept["json"], separators=(",", ":")).encode()
    if "base64" in kept:
        return base64.b64decode(kept["base64"])
    return cast(str, kept["text"]).encode()


def run_of_bytes(kept: Json) -> bytes | None:
    """The bytes of a piece of a body, which is `{"text": …}` or `{"base64": …}`; None of anything else."""
    if not isinstance(kept, Mapping) or len(cast("Mapping[str, Any]", kept)) != 1:
        return None
    ((name, value),) = cast("Mapping[str, Any]", kept).items()
    if not isinstance(value, str) or name not in ("text", "base64"):
        return None
    try:
        return value.encode() if name == "text" else base64.b64decode(value, validate=True)
    except ValueError:
        return None
