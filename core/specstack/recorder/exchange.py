"""One recorded exchange: what was asked, what came back, and the file that says so."""

import base64
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

FORMAT = 1
"""The version of the file format. A file with another one is refused."""

Kind = Literal["http", "engine"]
Json = Any


class RecordingDamaged(ValueError):
    """A file that is no recording. The message names it and what is wrong."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a streamed answer and when it came, in seconds after the request."""

    at: float
    data: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. `head` is what precedes a body (an HTTP status and headers); None for engines.

    Either `body` or `pieces` is there. `failure` is the error that ended it, before or after those.
    """

    head: Mapping[str, Json] | None = None
    body: Json = None
    pieces: tuple[Piece, ...] | None = None
    failure: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request of a provider and its answer. `turn` counts equal requests of one test, from 1."""

    provider: str
    test: str
    kind: Kind
    target: str
    request: Json
    answer: Answer
    turn: int = 1
    digest: str = field(default="")

    def __post_init__(self) -> None:
        if not self.digest:
            object.__setattr__(self, "digest", digest_of(self.kind, self.target, self.request))


def canonical(value: Json) -> Json:
    """The form in which requests are compared: keys in order, 1.0 as 1, no null members of objects."""
    if isinstance(value, Mapping):
        items = sorted(cast("Mapping[str, Any]", value).items())
        return {key: canonical(item) for key, item in items if item is not None}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in cast("list[Any]", value)]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def digest_of(kind: Kind, target: str, request: Json) -> str:
    """The hash under which a request is found: 16 hexadecimal digits of the SHA-256 of its canonical form."""
    text = json.dumps([kind, target, canonical(request)], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def text_of(value: Json, **options: Any) -> str:
    """JSON as people read it; in ASCII where there is half a character, which no file can hold otherwise."""
    text = json.dumps(value, ensure_ascii=False, **options)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, **options)
    return text


def write(path: Path, exchange: Exchange) -> None:
    """Write the file, whole or not at all."""
    answer = exchange.answer
    told: dict[str, Any] = {}
    if answer.head is not None:
        told["head"] = dict(answer.head)
    if answer.pieces is not None:
        told["pieces"] = [{"at": round(piece.at, 4), "data": piece.data} for piece in answer.pieces]
    elif answer.failure is None or answer.body is not None:
        told["body"] = answer.body
    if answer.failure is not None:
        told["failure"] = dict(answer.failure)
    content = {
        "format": FORMAT,
        "provider": exchange.provider,
        "test": exchange.test,
        "kind": exchange.kind,
        "target": exchange.target,
        "digest": exchange.digest,
        "turn": exchange.turn,
        "request": exchange.request,
        "answer": told,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    # Other processes may write the same one at the same time.
    new = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.new")
    new.write_text(text_of(content, indent=1) + "\n", encoding="utf-8")
    new.replace(path)


def read(path: Path) -> Exchange:
    """The exchange in a file. Raises RecordingDamaged."""
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordingDamaged(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise RecordingDamaged(f"{path}: no JSON ({error}); record it again") from None
    if not isinstance(content, dict) or cast("dict[str, Any]", content).get("format") != FORMAT:
        raise RecordingDamaged(f"{path}: no recording of format {FORMAT}; record it again")
    fields = cast("dict[str, Any]", content)
    try:
        told = fields["answer"]
        pieces = told.get("pieces")
        kind = cast("Kind", _text(fields, "kind"))
        if kind not in get_args(Kind):
            raise ValueError("kind")
        if kind == "http":
            whole = [told["body"]] if "body" in told else []
            for content in (*whole, *(one["data"] for one in pieces or ())):
                _content(content)
        return Exchange(
            provider=_text(fields, "provider"),
            test=_text(fields, "test"),
            kind=kind,
            target=_text(fields, "target"),
            request=fields["request"],
            turn=int(fields["turn"]),
            digest=_text(fields, "digest"),
            answer=Answer(
                head=_head(told),
                body=told.get("body"),
                pieces=None
                if pieces is None
                else tuple(Piece(float(one["at"]), one["data"]) for one in pieces),
                failure=_failure(told),
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordingDamaged(f"{path}: {error!r} is missing or wrong; record it again") from None


def _text(fields: Mapping[str, Any], name: str) -> str:
    if not isinstance(fields[name], str):
        raise TypeError(name)
    return fields[name]


def _object(fields: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    found = fields.get(name)
    if not (found is None or isinstance(found, dict)):
        raise TypeError(name)
    return cast("dict[str, Any] | None", found)


def _head(answer: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found = _object(answer, "head")
    if found is not None and not (isinstance(found["status"], int) and isinstance(found["headers"], dict)):
        raise TypeError("head")
    return found


def _failure(answer: Mapping[str, Any]) -> Mapping[str, str] | None:
    found = _object(answer, "failure")
    if found is not None:
        _text(found, "error")
        _text(found, "message")
    return found


def _content(kept: Any) -> None:
    """Check a body of HTTP, or a piece of one."""
    ((form, value),) = cast("dict[str, Any]", kept).items()
    if form not in ("json", "text", "base64") or (form != "json" and not isinstance(value, str)):
        raise TypeError(form)
    if form == "base64":
        base64.b64decode(value)


def differences(one: Json, other: Json, at: str = "") -> Iterator[str]:
    """Where two requests differ, each as `path: this here, that there`."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        mine, yours = cast("Mapping[str, Any]", one), cast("Mapping[str, Any]", other)
        for key in sorted({*mine, *yours}):
            yield from differences(mine.get(key), yours.get(key), f"{at}.{key}" if at else str(key))
    elif isinstance(one, list) and isinstance(other, list):
        mine_, yours_ = cast("list[Any]", one), cast("list[Any]", other)
        for index in range(max(len(mine_), len(yours_))):
            left = mine_[index] if index < len(mine_) else None
            right = yours_[index] if index < len(yours_) else None
            yield from differences(left, right, f"{at}[{index}]")
    elif one != other:
        yield f"{at or 'the request'}: {_short(one)} is asked, {_short(other)} is recorded"


def _short(value: Json) -> str:
    text = text_of(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
