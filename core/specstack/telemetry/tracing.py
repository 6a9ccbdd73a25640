"""Spans of calls, by OpenTelemetry's SDK. Imported only where traces are on.

The place of a call in its trace is handed over in `RequestContext.trace`, never in a context variable.
"""

from collections.abc import Mapping
from string import Formatter
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from specstack import __version__
from specstack.descriptors import Operation, SpanSpec
from specstack.http.call import Call, Observe, Observer
from specstack.telemetry.labels import Providers, error_type, generation, method_of
from specstack.telemetry.meters import Value
from specstack.usage import UsageReader
from specstack_wire import Event, Payload, RequestContext

CONTENT_LIMIT = 65536
"""Bytes of a request or reply that a span holds at most."""

_KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}


class Spans:
    """Makes the spans of one server. Raises ValueError for a key that telemetry.yaml does not have."""

    def __init__(self, provider: TracerProvider, specs: Mapping[str, SpanSpec]) -> None:
        self._tracer = provider.get_tracer("specstack", __version__)
        self._specs = specs

    def begin(self, key: str, ctx: RequestContext, values: Mapping[str, Value]) -> "OpenSpan":
        """A span under the call's place in its trace, which is where its own descendants stand."""
        if key not in self._specs:
            raise ValueError(f"telemetry.yaml: there is no span {key!r}")
        spec = self._specs[key]
        span = self._tracer.start_span(
            name_of(spec, values),
            context=_parent(ctx),
            kind=_KINDS[spec.kind],
            attributes=_named(spec, values),
        )
        return OpenSpan(span, spec)


class OpenSpan:
    """A span that has begun."""

    __slots__ = ("_span", "_spec", "headers")

    def __init__(self, span: Span, spec: SpanSpec) -> None:
        self._span = span
        self._spec = spec
        context = span.get_span_context()
        traced = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
        self.headers = {"traceparent": traced}
        """What continues the trace in another server."""
        if context.trace_state:
            self.headers["tracestate"] = context.trace_state.to_header()

    @property
    def recording(self) -> bool:
        """Whether anybody will read what is put in."""
        return self._span.is_recording()

    def put(self, values: Mapping[str, Value]) -> None:
        """Add attributes by their keys."""
        self._span.set_attributes(_named(self._spec, values))

    def end(self, *, failed: bool) -> None:
        """The work is done."""
        if failed:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class CallSpans:
    """A span for every call of an operation."""

    def __init__(self, spans: Spans, providers: Providers, *, content: bool) -> None:
        self.spans = spans
        self.providers = providers
        self.content = content

    def observer_for(self, op: Operation | None) -> Observe | None:
        """For `HttpSettings.observers`."""
        if op is None:
            return None
        reader = None if op.usage is None else UsageReader(op.usage)
        kind = _ContentSpan if self.content else _StreamSpan if op.stream and reader else _CallSpan

        def observe(call: Call) -> Observer:
            return kind(self, call, op, reader)

        return observe


class _CallSpan(Observer):
    __slots__ = ("_call", "_op", "_owner", "_reader", "_telling", "span")

    def __init__(self, owner: CallSpans, call: Call, op: Operation, reader: UsageReader | None) -> None:
        self._owner = owner
        self._call = call
        self._op = op
        self._reader = reader
        self._telling: bytes | None = None
        ctx, scope = call.ctx, call.scope
        client = scope.get("client")
        self.span = owner.spans.begin(
            "call",
            ctx,
            {
                "method": method_of(call),
                "scheme": scope.get("scheme"),
                "route": op.path,
                "path": scope["path"],
                "client": client[0] if client else None,
                "operation": op.id,
                "request_id": ctx.request_id,
                "genai": op.genai,
            },
        )
        ctx.trace = self.span.headers["traceparent"]

    def replied(self, reply: Payload[Any]) -> None:
        if self._reader is not None and self.span.recording:
            self._telling = reply.raw

    def ended(self) -> None:
        call, span = self._call, self.span
        error = error_type(call)
        if span.recording:
            op, about = self._op, {}
            if op.genai is not None:
                about = generation(call.ctx, self._owner.providers, op.api)._asdict()
            tokens = None
            if self._telling is not None and self._reader is not None:
                tokens = self._reader.read(self._telling)
            counts = {} if tokens is None else {"input": tokens.input, "output": tokens.output or None}
            span.put({"status": call.status or None, "error": error, **about, **counts, **self._content()})
        # What a client did wrong is no failure of this server.
        span.end(failed=call.status >= 500 or (call.status < 400 and error is not None))

    def _content(self) -> dict[str, Value]:
        return {}


class _StreamSpan(_CallSpan):
    __slots__ = ()

    wants_events = True

    def event(self, event: Event[Any]) -> None:
        if self._reader is not None and self.span.recording:
            raw = event.raw
            if self._reader.hint in raw:
                self._telling = raw


class _ContentSpan(_StreamSpan):
    __slots__ = ("_left", "_parts")

    def __init__(self, owner: CallSpans, call: Call, op: Operation, reader: UsageReader | None) -> None:
        super().__init__(owner, call, op, reader)
        self._parts: list[bytes] = []
        self._left = CONTENT_LIMIT

    def replied(self, reply: Payload[Any]) -> None:
        super().replied(reply)
        self._keep(reply.raw)

    def event(self, event: Event[Any]) -> None:
        super().event(event)
        self._keep(event.raw)

    def _keep(self, raw: bytes) -> None:
        if self._left > 0:
            self._parts.append(raw[: self._left])
            self._left -= len(raw)

    def _content(self) -> dict[str, Value]:
        request = self._call.request
        raw = request.raw[:CONTENT_LIMIT] if request is not None and request.has_raw else None
        return {
            "request": None if raw is None else raw.decode("utf-8", "replace"),
            "reply": b"\n".join(self._parts).decode("utf-8", "replace") if self._parts else None,
        }


def name_of(spec: SpanSpec, values: Mapping[str, Value]) -> str:
    """The first name whose keys all have a value; the bare kind where there is none."""
    for name in spec.names:
        keys = [key for _, key, _, _ in Formatter().parse(name) if key]
        if all(values.get(key) is not None for key in keys):
            return name.format_map(values)
    return spec.kind


def _named(spec: SpanSpec, values: Mapping[str, Value]) -> dict[str, str | int]:
    return {spec.attributes[key]: value for key, value in values.items() if value is not None}


def _parent(ctx: RequestContext) -> Context:
    """The call's place in its trace as the SDK has it."""
    if ctx.trace is None:
        return Context()
    state = ctx.headers.get("tracestate")
    context = SpanContext(
        trace_id=int(ctx.trace[3:35], 16),
        span_id=int(ctx.trace[36:52], 16),
        is_remote=True,
        trace_flags=TraceFlags(int(ctx.trace[53:55], 16)),
        trace_state=TraceState.from_header([state]) if state else None,
    )
    return set_span_in_context(NonRecordingSpan(context))
