"""The observer that measures calls."""

from time import perf_counter
from typing import Any

from specstack.descriptors import Operation
from specstack.http.call import Call, Observe, Observer
from specstack.telemetry.labels import (
    MOST_UNLISTED,
    OTHER_MODEL,
    Generation,
    Providers,
    error_type,
    generation,
    method_of,
)
from specstack.telemetry.meters import Count, Meters
from specstack.usage import UsageReader
from specstack_wire import Event, Payload

_GENERATION = ("genai", "provider", "provider_id", "model", "served")


class CallMetrics:
    """Measures every call, and what models had to do with it."""

    def __init__(self, meters: Meters, providers: Providers) -> None:
        self._providers = providers
        self._unlisted: set[str] = set()
        self._durations = meters.histogram("call_duration", "method", "scheme", "route", "status", "error")
        self._active = meters.counter("calls_active", "method", "scheme")
        self._generations = meters.histogram("generation_duration", *_GENERATION, "error")
        self._first = meters.histogram("first_token", *_GENERATION)
        self._per_token = meters.histogram("token_time", *_GENERATION)
        self._tokens = meters.histogram("tokens", *_GENERATION, "kind")

    def observer_for(self, op: Operation | None) -> Observe:
        """For `HttpSettings.observers`."""
        route = None if op is None else op.path
        if op is None or op.genai is None:

            def plain(call: Call) -> Observer:
                return _Measured(self, call, route)

            return plain
        reader = None if op.usage is None else UsageReader(op.usage)

        def asking(call: Call) -> Observer:
            return _Generating(self, call, op, reader)

        return asking

    def began(self, call: Call) -> Count:
        """Count a call that is under way; whoever gets the count takes the call off it."""
        active = self._active.of(method_of(call), call.scope.get("scheme"))
        active.value += 1
        return active

    def ended(self, call: Call, route: str | None, error: str | None, seconds: float) -> None:
        """Note a call that is over."""
        status = call.status or None
        self._durations.of(method_of(call), call.scope.get("scheme"), route, status, error).observe(seconds)

    def generated(
        self,
        call: Call,
        op: Operation,
        error: str | None,
        seconds: float,
        tokens: tuple[int, int] | None,
        events: tuple[float, float] | None,
    ) -> None:
        """Note what a model did. `events` are the seconds until a stream's first event and its last."""
        about = (op.genai, *self._bounded(generation(call.ctx, self._providers, op.api), error))
        self._generations.of(*about, error).observe(seconds)
        if tokens is not None:
            self._tokens.of(*about, "input").observe(tokens[0])
            if tokens[1]:
                self._tokens.of(*about, "output").observe(tokens[1])
        if events is not None:
            self._first.of(*about).observe(events[0])
            if tokens is not None and tokens[1] > 1:
                self._per_token.of(*about).observe((events[1] - events[0]) / (tokens[1] - 1))

    def _bounded(self, found: Generation, error: str | None) -> Generation:
        """The same with `other` for models that nobody listed and that did not answer, or are too many."""
        if found.served is not None or found.model is None or found.model in self._unlisted:
            return found
        if error is None and len(self._unlisted) < MOST_UNLISTED:
            self._unlisted.add(found.model)
            return found
        return found._replace(model=OTHER_MODEL)


class _Measured(Observer):
    __slots__ = ("_active", "_metrics", "_route", "call")

    def __init__(self, metrics: CallMetrics, call: Call, route: str | None) -> None:
        self.call = call
        self._metrics = metrics
        self._route = route
        self._active = metrics.began(call)

    def ended(self) -> None:
        self._active.value -= 1
        call = self.call
        self._metrics.ended(call, self._route, error_type(call), perf_counter() - call.started)


class _Generating(_Measured):
    __slots__ = ("_first", "_last", "_op", "_reader", "_telling", "_tokens")

    wants_events = True

    def __init__(
        self,
        metrics: CallMetrics,
        call: Call,
        op: Operation,
        reader: UsageReader | None,
    ) -> None:
        super().__init__(metrics, call, op.path)
        self._op = op
        self._reader = reader
        self._first = 0.0
        self._last = 0.0
        self._telling: bytes | None = None
        self._tokens: tuple[int, int] | None = None

    def replied(self, reply: Payload[Any]) -> None:
        if self._reader is not None:
            self._tokens = self._reader.read(reply.raw)

    def event(self, event: Event[Any]) -> None:
        self._last = perf_counter()
        if not self._first:
            self._first = self._last
        raw = event.raw
        # Counts grow with the stream, so the last ones are all that is read.
        if self._reader is not None and self._reader.hint in raw:
            self._telling = raw

    def ended(self) -> None:
        self._active.value -= 1
        call, started = self.call, self.call.started
        seconds, error = perf_counter() - started, error_type(call)
        self._metrics.ended(call, self._route, error, seconds)
        if self._telling is not None and self._reader is not None:
            self._tokens = self._reader.read(self._telling)
        events = (self._first - started, self._last - started) if self._first else None
        self._metrics.generated(call, self._op, error, seconds, self._tokens, events)
