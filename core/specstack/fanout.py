"""One call to several providers, their replies merged.

`fan_out` asks all of them the same (lists); `scatter` splits a request that names several resources
among the providers that serve them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from pydantic import BaseModel

from specstack.fields import replaced_at
from specstack.routing import Route, RoutingTable
from specstack_wire import MISSING, OperationNotSupported, Payload, Request, RequestContext

P = TypeVar("P")
T = TypeVar("T")
R = TypeVar("R", bound=BaseModel)
B = TypeVar("B", bound=BaseModel)

_log = logging.getLogger("specstack.fanout")


async def fan_out(
    ctx: RequestContext,
    providers: Mapping[str, P],
    call: Callable[[P], Awaitable[Payload[R]]],
    *,
    merge: str,
) -> Payload[R]:
    """Call every provider in parallel and join the lists that the replies have in `merge`.

    The first reply, in the providers' order, gives the other fields. A provider that fails is logged
    and left out; one without the operation is left out silently. Raises the first error when all fail,
    and `OperationNotSupported` when there is nobody to ask.
    """
    if not providers:
        raise OperationNotSupported(f"No provider is configured that serves {ctx.operation}.")
    answers = await _all([_answer(call(provider)) for provider in providers.values()])
    replies = [answer for answer in answers if not isinstance(answer, Exception)]
    errors = [answer for answer in answers if isinstance(answer, Exception)]
    failures = [error for error in errors if not isinstance(error, OperationNotSupported)]
    if not replies:
        raise (failures or errors)[0]
    for provider_id, answer in zip(providers, answers, strict=True):
        if isinstance(answer, Exception) and not isinstance(answer, OperationNotSupported):
            _log.warning(
                "[%s] provider %s left out of %s: %s", ctx.request_id, provider_id, ctx.operation, answer
            )
    if len(replies) == 1:
        return replies[0]
    joined = [item for reply in replies for item in cast(Sequence[Any], getattr(reply.body, merge))]
    return Payload[R].of(replies[0].body.model_copy(update={merge: joined}))


async def scatter(
    ctx: RequestContext,
    table: RoutingTable[Any, P],
    request: Request[B, Any],
    call: Callable[[P, Request[B, Any]], Awaitable[Payload[R]]],
    *,
    key: str,
    merge: str,
    requires: Mapping[str, Sequence[str]] | None = None,
    item_ids: Sequence[str] = (),
) -> Payload[R]:
    """Send each provider its part of the resources that `request.body` names in `key`.

    `key` is a list of ids or a map by id; `merge` is the reply field with one result per id, a list in
    the order of the ids or a map by id. The merged reply has the client's ids in the client's order.
    `item_ids` are the paths of ids within each result (as `specstack.fields.restored` has them). Parts run in
    parallel; any error ends the call, since a part of the results would be no answer.
    """
    wanted = cast(Mapping[str, Any] | Sequence[str], getattr(request.body, key))
    ids = list(wanted)
    routes = [await table.resolve(ctx, one, param=key, requires=requires) for one in ids]
    parts: dict[str, list[int]] = {}
    for index, route in enumerate(routes):
        parts.setdefault(route.provider_id, []).append(index)

    async def ask(indices: list[int]) -> Payload[R]:
        body = request.body.model_copy(update={key: _part(wanted, ids, routes, indices)})
        return await call(routes[indices[0]].provider, request.replacing_body(body))

    ways = [("[]", *path.split(".")) for path in item_ids]
    if not parts:
        raise OperationNotSupported(f"'{key}' names no {table.resource.name}, so there is nobody to ask.")
    replies = await _all([ask(indices) for indices in parts.values()])
    merged = _merged(
        ids,
        routes,
        [
            (indices, replaced_at(getattr(reply.body, merge), ways, _client_ids(ids, routes, indices)))
            for indices, reply in zip(parts.values(), replies, strict=True)
        ],
    )
    return Payload[R].of(replies[0].body.model_copy(update={merge: merged}))


def _part(
    wanted: Mapping[str, Any] | Sequence[str],
    ids: list[str],
    routes: Sequence[Route[Any]],
    indices: list[int],
) -> Any:
    """The ids of one provider in its own words, as a list or map like `wanted`."""
    if isinstance(wanted, Mapping):
        return {routes[index].provider_resource_id: wanted[ids[index]] for index in indices}
    return [routes[index].provider_resource_id for index in indices]


def _client_ids(ids: list[str], routes: Sequence[Route[Any]], indices: list[int]) -> dict[str, str]:
    """One provider's ids -> the client's."""
    return {routes[index].provider_resource_id: ids[index] for index in indices}


def _merged(ids: list[str], routes: Sequence[Route[Any]], parts: list[tuple[list[int], Any]]) -> Any:
    """The results in the order of the request: a map if the parts are maps, else a list."""
    found: dict[int, Any] = {}
    loose: list[Any] = []
    as_map = all(isinstance(results, Mapping) for _, results in parts)
    for indices, results in parts:
        if isinstance(results, Mapping):
            known = cast(Mapping[str, Any], results)
            found.update(
                (index, known[routes[index].provider_resource_id])
                for index in indices
                if routes[index].provider_resource_id in known
            )
        elif results is not MISSING and len(results) == len(indices):
            found.update(zip(indices, results, strict=True))
        elif results is not MISSING:
            loose.extend(results)
    if as_map:
        return {ids[index]: found[index] for index in sorted(found)}
    return [found[index] for index in sorted(found)] + loose


async def _answer(waiting: Awaitable[Payload[R]]) -> Payload[R] | Exception:
    """The reply, parsed here so that an unreadable one counts as its provider's failure."""
    try:
        reply = await waiting
        _ = reply.body
    except Exception as error:
        return error
    return reply


async def _all(waiting: Sequence[Awaitable[T]]) -> list[T]:
    """The results in order; the first error cancels the rest."""
    if len(waiting) == 1:
        return [await waiting[0]]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_own(one)) for one in waiting]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def _own(waiting: Awaitable[T]) -> T:
    return await waiting
