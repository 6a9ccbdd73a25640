"""From calls to rows: what an answered call leaves behind, and what is read of it later."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard, cast

from pydantic_core import SchemaValidator, core_schema, from_json, to_json

from specstack.http.call import Call, Observe, Observer
from specstack.services.stored_completions.chunks import Assembly, Json
from specstack_wire import SHARED, Clock, Event, Ids, Owned, Payload, RequestContext, Scope, given
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


_Parts = list[bytes | Event[Any]]


class Kept(NamedTuple):
    """An answered call: whose it is, what was asked, the reply's bytes or its chunks as they went out."""

    scope: Scope
    model: str
    metadata: Any
    request: bytes
    reply: bytes | _Parts


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
    order = _Order(keep, when, most)

    def observe(call: Call) -> Observer:
        return _Watch(call, order)

    return observe


class _Order(NamedTuple):
    keep: Keep
    when: str | None
    most: int


class _Watch(Observer):
    """Keeps the bytes that pass by; nothing is read here."""

    __slots__ = ("_call", "_events", "_order", "_size")

    def __init__(self, call: Call, order: _Order) -> None:
        self._call = call
        self._order = order
        self._events: _Parts | None = None

    def _asked(self, when: str) -> bool:
        request = self._call.request
        return request is not None and getattr(request.body, when, None) is True

    @property
    def wants_events(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        when = self._order.when
        wanted = when is None or self._asked(when)
        if wanted:
            self._events, self._size = [], 0
        return wanted

    def replied(self, reply: Payload[Any]) -> None:
        when = self._order.when
        if when is None or self._asked(when):
            raw = reply.raw
            self._hand_over(raw, len(raw))

    def burst(self, burst: Burst[Any]) -> None:
        events = self._events
        if events is not None and self._size <= self._order.most:
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
        body, raw = request.body, request.raw
        kept = Kept(scope_of(call.ctx), body.model, given(body.metadata), raw, reply)
        self._order.keep(kept, len(raw) + size + ROW)


@dataclass(frozen=True, slots=True)
class RowReader:
    """Makes rows of the table of what was kept. Ids and times come from here where a reply has none."""

    ids: Ids
    clock: Clock

    async def rows(self, batch: Sequence[Kept]) -> list[Owned]:
        """The rows of those replies that can be read, without holding up the event loop for long."""
        found: list[Owned] = []
        begun, read = time.perf_counter(), 0
        for kept in batch:
            if read > _MUCH:
                if time.perf_counter() - begun > SLICE:
                    await asyncio.sleep(0)
                    begun = time.perf_counter()
                read = 0
            reply = kept.reply
            try:
                if isinstance(reply, bytes):
                    read += len(reply)
                    row = self._row(kept, reply)
                else:
                    read = _MUCH + 1
                    row = await self._put_together(kept, reply)
            except ValueError:
                continue
            if row is not None:
                found.append(row)
        return found

    async def _put_together(self, kept: Kept, parts: _Parts) -> Owned | None:
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
        completion = whole.completion()
        return None if completion is None else self._completed(kept, completion)

    def _row(self, kept: Kept, raw: bytes) -> Owned | None:
        try:
            head = _HEAD(raw)
        except ValueError:
            completion = from_json(raw)
            return self._completed(kept, cast(Json, completion)) if isinstance(completion, dict) else None
        return _owned(kept, head["id"], head["created"], raw)

    def _completed(self, kept: Kept, completion: Json) -> Owned | None:
        """The row of a completion, which gets what it lacks."""
        completion_id, created = completion.get("id"), completion.get("created")
        if not _is_text(completion_id):
            completion_id = completion["id"] = self.ids.new("chatcmpl-")
        if not _is_time(created):
            rounded = isinstance(created, float) and abs(created) < _LARGEST
            created = completion["created"] = int(cast(float, created)) if rounded else self.clock.created()
        completion.setdefault("model", kept.model)
        return _owned(kept, completion_id, created, to_json(completion))


def _is_text(found: Any) -> TypeGuard[str]:
    return isinstance(found, str) and found != ""


def _is_time(found: Any) -> TypeGuard[int]:
    return type(found) is int and -_LARGEST <= found < _LARGEST


def _owned(kept: Kept, completion_id: str, created: int, reply: bytes) -> Owned | None:
    """The row; None for an id that no database takes, or that is too long to be asked for."""
    if len(completion_id) > LONGEST_ID or "\0" in completion_id:
        return None
    scope, model, metadata, request, _ = kept
    values = {
        "completion_id": completion_id,
        "created": created,
        "model": model,
        "metadata": _keepable(metadata) if metadata else None,
        "request": request,
        "reply": reply,
    }
    return Owned(scope, values)


def _shortened(name: str) -> str:
    data = name.encode("utf-8", "surrogatepass")
    return name if len(data) <= _LONGEST_NAME else f"sha256:{hashlib.sha256(data).hexdigest()}"


def _keepable(metadata: dict[str, str]) -> dict[str, str]:
    """The pairs without those that hold NUL, which not every database takes."""
    if "\0" not in "".join((*metadata, *metadata.values())):
        return metadata
    return {key: value for key, value in metadata.items() if "\0" not in key and "\0" not in value}
