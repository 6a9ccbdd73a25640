"""The observer that counts the tokens of calls when they are over.

What a reply or stream tells is taken as it is. What does not tell is estimated, so that nobody escapes a
limit by asking for no usage or by hanging up: a token for each four bytes of the request, one for each event
of a stream, one for each four bytes of a whole reply.
"""

import re
from typing import Any

from specstack.descriptors import Operation
from specstack.http import Call, Observe, Observer, ObserverFor
from specstack.quota.gate import Gate
from specstack.quota.headers import take_off
from specstack.usage import UsageReader
from specstack_wire import Event, Payload

_BYTES_PER_TOKEN = 4


def token_counter(gate: Gate) -> ObserverFor:
    """Observers for the operations whose tokens the gate limits."""

    def observer_for(op: Operation | None) -> Observe | None:
        if op is None or op.usage is None or not gate.counts_tokens(op.id):
            return None
        reader = UsageReader(op.usage)
        # Most events of a stream say null or nothing: they need no closer look.
        telling = re.compile(b'"' + re.escape(op.usage.input[0].encode()) + rb'"\s*:\s*[^n\s]')
        return lambda call: _Counting(call, gate, reader, telling)

    return observer_for


class _Counting(Observer):
    __slots__ = ("_call", "_counted", "_events", "_gate", "_reader", "_telling", "_told")

    wants_events = True

    def __init__(self, call: Call, gate: Gate, reader: UsageReader, telling: re.Pattern[bytes]) -> None:
        self._call = call
        self._gate = gate
        self._reader = reader
        self._telling = telling.search
        self._told: bytes | None = None
        self._events = 0
        self._counted = False

    def replied(self, reply: Payload[Any]) -> None:
        """Spends what the reply took."""
        raw = reply.raw
        found = self._reader.read(raw)
        spent = self._asked() + _tokens(len(raw)) if found is None else found.input + found.output
        self._spend(spent)
        take_off(self._call.headers, spent)

    def event(self, event: Event[Any]) -> None:
        """Keeps the last event that may tell."""
        self._events += 1
        if self._telling(event.raw):
            self._told = event.raw

    def ended(self) -> None:
        """Spends what a stream took, or what a call cost whose client did not wait for the reply."""
        call = self._call
        if self._counted or call.request is None or (call.error is not None and not self._events):
            return
        found = None if self._told is None else self._reader.read(self._told)
        self._spend(self._asked() + self._events if found is None else found.input + found.output)

    def _asked(self) -> int:
        request = self._call.request
        return 0 if request is None else _tokens(len(request.raw))

    def _spend(self, tokens: int) -> None:
        self._counted = True
        # A count that makes no sense must not give tokens back.
        if tokens > 0:
            self._gate.spend(self._call, tokens)


def _tokens(length: int) -> int:
    return -(-length // _BYTES_PER_TOKEN)
