"""From calls to rows: what an answered call leaves behind, and what is read of it later."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, cast

from pydantic_core import SchemaValidator, core_schema, from_json, to_json

from specstack.http.call import Call, Observe, Observer
from specstack.services.stored_completions.chunks import Assembly, Json
from specstack_wire import MISSING, SHARED, Clock, Event, Ids, OwnedColumns, Payload, RequestContext, Scope
from specstack_wire.event import Burst, data_of

SLICE = 0.002
"""Seconds that reading replies may hold up the event loop at a time."""
_LOOK = 256
"""Chunks that are read between two looks at the clock."""
ROW = 1024
"""Bytes that a waiting row takes besides request and reply, about."""
LONGEST_ID = 512
"""Characters of an id that can be looked up."""
_EVENT = 64
"""Bytes that an event, or several in one piece, take besides their data, about."""
_LARGEST = 2**63
_HEAD = SchemaValidator(
    core_schema.typed_dict_schema(
        {
            "id": core_schema.typed_dict_field(
                core_schema.str_schema(strict=True, min_length=1, max_length=LONGEST_ID)
            ),
            "created": core_schema.typed_dict_field(
                core_schema.int_schema(strict=True, ge=-_LARGEST, lt=_LARGEST)
            ),
        },
        extra_behavior="ignore",
    )
).validate_json
"""Reads all of a reply, as a parser does, and makes Python's objects only of what goes into columns."""
_MUCH = 32768
"""Bytes of replies that are read between two looks at the clock."""
_SHORT = 60
"""Characters that fit into any column of a scope, whatever they are."""
_LONGEST_NAME = 255
"""Bytes of a tenant or an owner."""


_log = logging.getLogger("specstack.storage")

_Parts = list[bytes | Event[Any]]


Kept = tuple[Scope, str, Any, bytes, bytes | _Parts]
"""An answered call: whose it is, the model and metadata that were asked for, the request's bytes, and the
reply's or its chunks as they went out. It is a plain tuple because one is made on the path of every call."""
_MODEL, _REPLY = 1, 4


def scope_of(ctx: RequestContext) -> Scope:
    """The caller's own scope. One whose names are longer than tables take goes by their digests."""
    if ctx.principal is None and not ctx.tenant:
        return SHARED
    scope = Scope.of(ctx)
    if len(scope.tenant) + len(scope.owner) <= _SHORT:
        return scope
    return Scope(*(_shortened(name) for name in (scope.tenant, scope.owner)))


Keep = Callable[[Kept, int], object]
"""Takes a call and how many bytes it holds."""


def recorder(keep: Keep, when: str | None, most: int) -> Observe:
    """Watches calls for `keep`: all, or those whose body says so in the field `when`.

    A stream that has grown beyond `most` bytes is given up, and handed over as it is.
    """

    def observe(call: Call) -> Observer:
        return _Watch(call, keep, when, most)

    return observe


class _Watch(Observer):
    """Keeps the bytes that pass by; nothing is read here."""

    __slots__ = ("_call", "_events", "_keep", "_most", "_size", "_when")

    def __init__(self, call: Call, keep: Keep, when: str | None, most: int) -> None:
        self._call = call
        self._keep = keep
        self._when = when
        self._most = most
        self._events: _Parts | None = None

    def _asked(self, when: str) -> bool:
        request = self._call.request
        return request is not None and getattr(request.body, when, None) is True

    @property
    def wants_events(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        when = self._when
        wanted = when is None or self._asked(when)
        if wanted:
            self._events, self._size = [], 0
        return wanted

    def replied(self, reply: Payload[Any]) -> None:
        when = self._when
        if when is None or self._asked(when):
            raw = reply.raw
            self._hand_over(raw, len(raw))

    def burst(self, burst: Burst[Any]) -> None:
        events = self._events
        if events is not None and self._size <= self._most:
            for part in burst.parts:
                self._size += len(part if isinstance(part, bytes) else part.raw) + _EVENT
                events.append(part)

    def ended(self) -> None:
        events = self._events
        # The model has not said all of it: nobody could tell from what was kept that the rest is missing.
        if events is not None and self._call.whole:
            self._hand_over(events, self._size)

    def _hand_over(self, reply: bytes | _Parts, size: int) -> None:
        call = self._call
        request = call.request
        if request is None:
            return
        body, raw, ctx = request.body, request.raw, call.ctx
        scope = SHARED if ctx.principal is None and not ctx.tenant else scope_of(ctx)
        metadata = body.metadata
        if metadata is MISSING:
            metadata = None
        self._keep((scope, body.model, metadata, raw, reply), len(raw) + size + ROW)


@dataclass(frozen=True, slots=True)
class RowReader:
    """Makes rows of the table of what was kept. Ids and times come from here where a reply has none."""

    ids: Ids
    clock: Clock

    async def rows(self, batch: Sequence[Kept]) -> OwnedColumns:
        """The rows of those replies that can be read, without holding up the event loop for long."""
        read: list[Kept] = []
        heads: list[Json] = []
        replies: list[bytes] = []
        begun, since = time.perf_counter(), 0
        for kept in batch:
            if since > _MUCH:
                if time.perf_counter() - begun > SLICE:
                    await asyncio.sleep(0)
                    begun = time.perf_counter()
                since = 0
            reply = kept[_REPLY]
            try:
                if isinstance(reply, bytes):
                    since += len(reply)
                    try:
                        head = _HEAD(reply)
                    except ValueError:
                        head, reply = self._completed(kept, from_json(reply))
                else:
                    since = _MUCH + 1
                    head, reply = self._completed(kept, await _put_together(reply))
            except ValueError:
                continue
            except Exception as error:
                # Whatever an upstream has said, the other rows must not suffer. Messages may quote it.
                _log.error("a chat completion cannot be read: %s", type(error).__name__)
                continue
            read.append(kept)
            heads.append(head)
            replies.append(reply)
        return _rows(read, heads, replies)

    def _completed(self, kept: Kept, completion: Any) -> tuple[Json, bytes]:
        """A completion, which gets what it lacks. Raises ValueError if it is none or its id is too long."""
        if not isinstance(completion, dict):
            raise ValueError("a chat completion is an object")
        made = cast(Json, completion)
        completion_id, created = made.get("id"), made.get("created")
        if not _is_text(completion_id):
            made["id"] = self.ids.new("chatcmpl-")
        if not _is_time(created):
            rounded = isinstance(created, float) and abs(created) < _LARGEST
            made["created"] = int(cast(float, created)) if rounded else self.clock.created()
        made.setdefault("model", kept[_MODEL])
        if len(made["id"]) > LONGEST_ID:
            raise ValueError("nobody could ask for such an id")
        return made, to_json(made)


def _rows(read: Sequence[Kept], heads: Sequence[Json], replies: Sequence[bytes]) -> OwnedColumns:
    ids = [head["id"] for head in heads]
    if "\0" in "".join(ids):
        # No database takes such an id.
        usable = ["\0" not in one for one in ids]
        left = list(compress(read, usable)), list(compress(heads, usable)), list(compress(replies, usable))
        return _rows(*left)
    if not read:
        return OwnedColumns((), {})
    scopes, models, metadata, requests, _ = zip(*read, strict=True)
    columns = {
        "completion_id": ids,
        "created": [head["created"] for head in heads],
        "model": models,
        "metadata": [one or None for one in metadata],
        "request": requests,
        "reply": replies,
    }
    return OwnedColumns(scopes, columns)


async def _put_together(parts: _Parts) -> Json | None:
    """The completion of a stream; None if its chunks make none."""
    whole = Assembly()
    events: list[bytes] = []
    for part in parts:
        if isinstance(part, bytes):
            events += data_of(part)
        else:
            events.append(part.raw)
    begun = time.perf_counter()
    for at in range(0, len(events), _LOOK):
        if at and time.perf_counter() - begun > SLICE:
            await asyncio.sleep(0)
            begun = time.perf_counter()
        whole.read(events[at : at + _LOOK])
    return whole.completion()


def _is_text(found: Any) -> bool:
    return isinstance(found, str) and found != ""


def _is_time(found: Any) -> bool:
    return type(found) is int and -_LARGEST <= found < _LARGEST


def _shortened(name: str) -> str:
    data = name.encode("utf-8", "surrogatepass")
    return name if len(data) <= _LONGEST_NAME else f"sha256:{hashlib.sha256(data).hexdigest()}"
