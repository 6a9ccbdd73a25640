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
_OF_REPLY = core_schema.typed_dict_field(core_schema.any_schema(), required=False)
_HEAD = SchemaValidator(
    core_schema.typed_dict_schema({"id": _OF_REPLY, "created": _OF_REPLY}, extra_behavior="ignore")
)
"""Reads all of a reply, as a parser does, and makes Python's objects only of what goes into columns."""
_SHORT = 60
"""Characters that fit into any column of a scope, whatever they are."""
_LONGEST_NAME = 255
"""Bytes of a tenant or an owner."""


class Kept(NamedTuple):
    """An answered call: whose it is, what was asked, the reply's bytes or its chunks as they went out."""

    scope: Scope
    model: str
    metadata: Any
    request: bytes
    reply: bytes | list[bytes | Event[Any]]


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
        self._events: list[bytes | Event[Any]] | None = None
        self._size = 0

    def _wanted(self) -> bool:
        when, request = self._when, self._call.request
        return request is not None and (when is None or getattr(request.body, when, None) is True)

    @property
    def wants_events(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        wanted = self._wanted()
        if wanted:
            self._events = []
        return wanted

    def replied(self, reply: Payload[Any]) -> None:
        if self._wanted():
            raw = reply.raw
            self._hand_over(raw, len(raw))

    def burst(self, burst: Burst[Any]) -> None:
        events = self._events
        if events is not None and self._size <= self._most:
            for part in burst.parts:
                self._size += len(part if isinstance(part, bytes) else part.raw) + _EVENT
                events.append(part)

    def ended(self) -> None:
        # The model has not said all of it: nobody could tell from what was kept that the rest is missing.
        if self._events is not None and self._call.whole:
            self._hand_over(self._events, self._size)

    def _hand_over(self, reply: bytes | list[bytes | Event[Any]], size: int) -> None:
        call = self._call
        request = call.request
        assert request is not None
        body, raw = request.body, request.raw
        kept = Kept(scope_of(call.ctx), body.model, given(body.metadata), raw, reply)
        self._keep(kept, len(raw) + size + ROW)


@dataclass(frozen=True, slots=True)
class RowReader:
    """Makes rows of the table of what was kept. Ids and times come from here where a reply has none."""

    ids: Ids
    clock: Clock

    async def rows(self, batch: Sequence[Kept]) -> list[Owned]:
        """The rows of those replies that can be read, without holding up the event loop for long."""
        found: list[Owned] = []
        begun = time.perf_counter()
        for kept in batch:
            if time.perf_counter() - begun > SLICE:
                await asyncio.sleep(0)
                begun = time.perf_counter()
            reply = kept.reply
            try:
                row = self._row(kept, reply) if isinstance(reply, bytes) else await self._put_together(kept)
            except ValueError:
                continue
            if row is not None:
                found.append(row)
        return found

    async def _put_together(self, kept: Kept) -> Owned | None:
        whole = Assembly()
        parts = cast("list[bytes | Event[Any]]", kept.reply)
        events = [data for part in parts for data in data_of(part)]
        begun = time.perf_counter()
        for at in range(0, len(events), _LOOK):
            if at and time.perf_counter() - begun > SLICE:
                await asyncio.sleep(0)
                begun = time.perf_counter()
            whole.read(events[at : at + _LOOK])
        completion = whole.completion()
        return None if completion is None else self._completed(kept, completion)

    def _row(self, kept: Kept, raw: bytes) -> Owned | None:
        head = _HEAD.validate_json(raw)
        completion_id, created = head.get("id"), head.get("created")
        if _is_text(completion_id) and _is_time(created):
            return _owned(kept, completion_id, created, raw)
        return self._completed(kept, cast(Json, from_json(raw)))

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
    values = {
        "completion_id": completion_id,
        "created": created,
        "model": kept.model,
        "metadata": _keepable(kept.metadata),
        "request": kept.request,
        "reply": reply,
    }
    return Owned(kept.scope, values)


def _shortened(name: str) -> str:
    data = name.encode("utf-8", "surrogatepass")
    return name if len(data) <= _LONGEST_NAME else f"sha256:{hashlib.sha256(data).hexdigest()}"


def _keepable(metadata: dict[str, str] | None) -> dict[str, str] | None:
    """The pairs without those that hold NUL, which not every database takes."""
    if not metadata:
        return None
    if "\0" not in "".join((*metadata, *metadata.values())):
        return metadata
    return {key: value for key, value in metadata.items() if "\0" not in key and "\0" not in value}
