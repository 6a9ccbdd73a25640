"""Replies that list a table: made when the table has changed, not for every request."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from specstack.entries import Entry
from specstack.routing import RoutingTable
from specstack_wire import Payload, RequestContext

R = TypeVar("R")
B = TypeVar("B")


class Listing(Generic[R, B]):
    """The reply that `make` makes of all records of a table."""

    __slots__ = ("_entries", "_make", "_payload", "_table")

    def __init__(self, table: RoutingTable[R, Any], make: Callable[[list[R]], B]) -> None:
        self._table = table
        self._make = make
        self._entries: Sequence[Entry] = ()
        self._payload: Payload[B] | None = None

    async def reply(self, ctx: RequestContext) -> Payload[B]:
        """The reply; waits briefly for providers that have not said yet what they have."""
        entries = await self._table.entries(ctx)
        # An entry that changes is another object, so that comparing takes a look at each.
        if self._payload is None or entries != self._entries:
            self._payload = Payload[B].of(self._make([self._table.record(entry) for entry in entries]))
            self._entries = entries
        return self._payload
