"""The operations on stored chat completions."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, Literal, cast

from pydantic_core import from_json, to_json

from specstack.descriptors import Operation
from specstack.http.call import Call, Observe
from specstack.http.settings import Hook
from specstack.runtime import Runtime
from specstack.services.stored_completions.messages import messages_of
from specstack.services.stored_completions.recorder import LONGEST_ID, Kept, RowReader, recorder, scope_of
from specstack.write_queue import QueueCounts, QueueLimits, WriteQueue
from specstack_api.errors import ChatCompletionNotFound, InvalidValue
from specstack_api.models.inference import (
    ChatCompletionDeleted,
    ChatCompletionList,
    ChatCompletionMessageList,
    CreateChatCompletionResponse,
    DeleteChatCompletionParams,
    GetChatCompletionMessagesParams,
    GetChatCompletionParams,
    ListChatCompletionsParams,
    UpdateChatCompletionParams,
    UpdateChatCompletionRequest,
)
from specstack_api.protocols.inference import StoredCompletionsService
from specstack_wire import (
    ApiError,
    JsonInt,
    Owned,
    Payload,
    Request,
    RequestContext,
    Scope,
    SqlStore,
    given,
)

STORE = "inference"
TABLE = "chat_completions"
LONGEST_PAGE = 100
SETTLE = 5.0
"""Seconds that a reader waits for what was answered before him to be written."""
_AHEAD = 500
"""Rows that are looked at together while most are hidden by newer ones with the same id."""
_REMEMBERED = 1000

_Place = Mapping[str, Any]
_POSITION = ("created", "row_id")


class StoredCompletions(StoredCompletionsService):
    """Keeps chat completions as the run config says, and answers for what was kept.

    An id stands for the newest completion of the caller that bears it: only that is seen. Changing and
    deleting meets all that bear it, so that no older one comes to light.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._settings = settings = runtime.config.stack.storage.stores.inference
        self._queue: WriteQueue[Kept, Owned] = WriteQueue(
            "chat completions",
            QueueLimits(
                rows=settings.max_write_queue_size,
                size=settings.max_write_queue_bytes,
                batch=settings.write_batch_size,
                interval=settings.flush_interval_seconds,
                flush=settings.flush_timeout_seconds,
                wait=settings.when_full == "wait",
            ),
            RowReader(runtime.ids, runtime.clock).rows,
            self._write,
        )
        self._gone: OrderedDict[tuple[Scope, str], _Place] = OrderedDict()
        self._warming: asyncio.Task[None] | None = None

    # -- keeping ---------------------------------------------------------------------------

    @property
    def counts(self) -> QueueCounts:
        """What became of the calls that were to be kept."""
        return self._queue.counts

    def recorder(self, op: Operation) -> Observe | None:
        """Who watches calls of the operation, as the mode says."""
        mode = self._settings.mode
        if mode == "off" or op.record is None:
            return None
        if mode == "all" and self._warming is None:
            # The first row would wait for it.
            self._warming = asyncio.get_running_loop().create_task(self._warm(), name="open the store")
        when = None if mode == "all" else op.record.when
        return recorder(self._queue.put, when, self._settings.max_write_queue_bytes)

    def admission(self, op: Operation) -> Hook | None:
        """What holds calls back while the queue is full, if they are to wait then."""
        if self._settings.mode == "off" or self._settings.when_full != "wait":
            return None

        async def admit(call: Call) -> None:
            await self._queue.room()

        return admit

    async def settled(self, limit: float) -> None:
        """Have everything written that was answered before; wait at most `limit` seconds."""
        await self._queue.settled(limit)

    async def aclose(self) -> None:
        """Write what is still to be written, as long as the run config allows."""
        if self._warming is not None:
            await asyncio.wait([self._warming], timeout=self._settings.flush_timeout_seconds)
        await self._queue.aclose()

    async def _warm(self) -> None:
        # Whatever is wrong, the first write meets it again and says so.
        with suppress(ApiError):
            await self._store.insert(TABLE, ())

    async def _write(self, rows: Sequence[Owned]) -> None:
        await self._store.insert(TABLE, rows)

    # -- operations ------------------------------------------------------------------------

    async def list_chat_completions(
        self, ctx: RequestContext, request: Request[None, ListChatCompletionsParams]
    ) -> Payload[ChatCompletionList]:
        """The caller's completions, a page of them. Raises ChatCompletionNotFound for `after`."""
        params, scope = request.params, scope_of(ctx)
        limit = _limit(params.limit)
        await self._queue.caught_up(SETTLE)
        where: dict[str, Any] = {}
        model, metadata = given(params.model), given(params.metadata)
        if model is not None:
            where["model"] = model
        if metadata:
            where["metadata"] = metadata
        after = given(params.after)
        place = None if after is None else await self._place(scope, after)
        rows: list[dict[str, Any]] = []
        if _can_be_found(model or ""):
            rows = await self._visible(scope, where, params.order, place, limit + 1)
        page = await self._whole(scope, rows[:limit])
        body = {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else "",
            "last_id": page[-1]["id"] if page else "",
            "has_more": len(rows) > limit,
        }
        return Payload[ChatCompletionList].from_raw(_json(body), ChatCompletionList)

    async def get_chat_completion(
        self, ctx: RequestContext, request: Request[None, GetChatCompletionParams]
    ) -> Payload[CreateChatCompletionResponse]:
        """One completion. Raises ChatCompletionNotFound."""
        await self._queue.caught_up(SETTLE)
        return await self._shown(scope_of(ctx), request.params.completion_id)

    async def update_chat_completion(
        self, ctx: RequestContext, request: Request[UpdateChatCompletionRequest, UpdateChatCompletionParams]
    ) -> Payload[CreateChatCompletionResponse]:
        """The completion with other metadata. Raises ChatCompletionNotFound."""
        await self._queue.caught_up(SETTLE)
        scope, wanted = scope_of(ctx), request.params.completion_id
        metadata = request.body.metadata or None
        if not _is_id(wanted) or not await self._store.update(
            scope, TABLE, {"completion_id": wanted}, {"metadata": metadata}
        ):
            raise _not_found(wanted)
        return await self._shown(scope, wanted)

    async def delete_chat_completion(
        self, ctx: RequestContext, request: Request[None, DeleteChatCompletionParams]
    ) -> Payload[ChatCompletionDeleted]:
        """The id that is gone now. Raises ChatCompletionNotFound."""
        await self._queue.caught_up(SETTLE)
        scope, wanted = scope_of(ctx), request.params.completion_id
        place = await self._newest(scope, wanted, _POSITION)
        if place is None or not await self._store.delete(scope, TABLE, {"completion_id": wanted}):
            raise _not_found(wanted)
        self._remember(scope, wanted, place)
        reply = ChatCompletionDeleted(object="chat.completion.deleted", id=wanted, deleted=True)
        return Payload[ChatCompletionDeleted].of(reply)

    async def get_chat_completion_messages(
        self, ctx: RequestContext, request: Request[None, GetChatCompletionMessagesParams]
    ) -> Payload[ChatCompletionMessageList]:
        """The messages of a completion's request, a page of them. Raises ChatCompletionNotFound."""
        params = request.params
        limit, wanted = _limit(params.limit), params.completion_id
        await self._queue.caught_up(SETTLE)
        row = await self._newest(scope_of(ctx), wanted, ("request",))
        if row is None:
            raise _not_found(wanted)
        messages = messages_of(wanted, row["request"])
        if params.order == "desc":
            messages.reverse()
        after = given(params.after)
        if after is not None:
            ids = [message["id"] for message in messages]
            if after not in ids:
                raise _not_found(after, f"The completion '{wanted[:200]}' has no message", "after")
            messages = messages[ids.index(after) + 1 :]
        page = messages[:limit]
        body = {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else "",
            "last_id": page[-1]["id"] if page else "",
            "has_more": len(messages) > limit,
        }
        return Payload[ChatCompletionMessageList].from_raw(_json(body), ChatCompletionMessageList)

    # -- inside ----------------------------------------------------------------------------

    @cached_property
    def _store(self) -> SqlStore:
        return self._runtime.storage.sql(STORE)

    async def _newest(self, scope: Scope, wanted: str, columns: Sequence[str]) -> dict[str, Any] | None:
        if not _is_id(wanted):
            return None
        rows = await self._store.select(
            scope, TABLE, where={"completion_id": wanted}, order=("-row_id",), limit=1, columns=columns
        )
        return rows[0] if rows else None

    async def _shown(self, scope: Scope, wanted: str) -> Payload[CreateChatCompletionResponse]:
        row = await self._newest(scope, wanted, ("metadata", "reply"))
        if row is None:
            raise _not_found(wanted)
        raw = _json(_completion(row))
        return Payload[CreateChatCompletionResponse].from_raw(raw, CreateChatCompletionResponse)

    async def _place(self, scope: Scope, after: str) -> _Place:
        """Where in the order a page begins."""
        place = await self._newest(scope, after, _POSITION) or self._gone.get((scope, after))
        if place is None:
            raise _not_found(after, param="after")
        return place

    def _remember(self, scope: Scope, wanted: str, place: _Place) -> None:
        """Who deletes what he lists goes on behind the last of a page, which is gone by then."""
        self._gone[scope, wanted] = place
        if len(self._gone) > _REMEMBERED:
            self._gone.popitem(last=False)

    async def _visible(
        self,
        scope: Scope,
        where: Mapping[str, Any],
        order: Literal["asc", "desc"],
        place: _Place | None,
        most: int,
    ) -> list[dict[str, Any]]:
        """Rows from a place on that are the newest of their id: row_id, completion_id and created."""
        sign = "-" if order == "desc" else ""
        found: list[dict[str, Any]] = []
        asked = most
        while len(found) < most:
            rows = await self._store.select(
                scope,
                TABLE,
                where=where,
                order=[sign + name for name in _POSITION],
                after=place,
                limit=asked,
                columns=("row_id", "completion_id", "created"),
            )
            newest = await self._newest_of(scope, [row["completion_id"] for row in rows])
            found += [row for row in rows if newest.get(row["completion_id"]) == row["row_id"]]
            if len(rows) < asked:
                break
            place = {name: rows[-1][name] for name in _POSITION}
            asked = _AHEAD
        return found[:most]

    async def _newest_of(self, scope: Scope, ids: Sequence[str]) -> dict[str, int]:
        if not ids:
            return {}
        rows = await self._store.select(
            scope,
            TABLE,
            where={"completion_id": list(dict.fromkeys(ids))},
            order=("row_id",),
            columns=("row_id", "completion_id"),
        )
        return {row["completion_id"]: row["row_id"] for row in rows}

    async def _whole(self, scope: Scope, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The completions of rows, in their order; one that was deleted meanwhile is not among them."""
        if not rows:
            return []
        wanted = [row["row_id"] for row in rows]
        columns = ("row_id", "metadata", "reply")
        found = await self._store.select(scope, TABLE, where={"row_id": wanted}, columns=columns)
        by_id = {row["row_id"]: row for row in found}
        return [_completion(by_id[one]) for one in wanted if one in by_id]


def _completion(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**cast("dict[str, Any]", from_json(row["reply"])), "metadata": row["metadata"] or {}}


def _json(body: Mapping[str, Any]) -> bytes:
    """The body on the wire. Some upstreams write NaN, which is no JSON."""
    return to_json(body, inf_nan_mode="null")


def _limit(limit: JsonInt) -> int:
    if limit < 1:
        raise InvalidValue(f"limit is {limit}; ask for at least 1.", param="limit")
    return int(min(limit, LONGEST_PAGE))


def _can_be_found(text: str) -> bool:
    """Whether a database can hold the text at all."""
    return "\0" not in text


def _is_id(text: str) -> bool:
    return 0 < len(text) <= LONGEST_ID and _can_be_found(text)


def _not_found(
    wanted: str, text: str = "There is no stored chat completion", param: str = "completion_id"
) -> ChatCompletionNotFound:
    return ChatCompletionNotFound(f"{text} '{wanted[:200]}'.", param=param)
