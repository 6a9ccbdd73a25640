"""What a call carries besides its request."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self


@dataclass(slots=True, frozen=True)
class Principal:
    """Who calls: a stable id and attributes (roles, teams, …) as the authentication provider gave them."""

    id: str
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


class Cancellation:
    """Whether the caller has gone. Safe to read from worker threads."""

    __slots__ = ("_callbacks", "requested")

    def __init__(self) -> None:
        self.requested = False
        self._callbacks: list[Callable[[], None]] = []

    def request(self) -> None:
        """Marks the call as cancelled and runs the registered callbacks once."""
        if self.requested:
            return
        self.requested = True
        for callback in self._callbacks:
            callback()

    def on_request(self, callback: Callable[[], None]) -> None:
        """Runs `callback` when the call is cancelled; at once if it already was."""
        if self.requested:
            callback()
        else:
            self._callbacks.append(callback)


class Served(Protocol):
    """Who serves a call: a provider, and the resource under the ids of the server's table and the provider.

    `resource_id` is None where the table does not have the resource.
    """

    @property
    def provider_id(self) -> str: ...

    @property
    def provider_resource_id(self) -> str: ...

    @property
    def resource_id(self) -> str | None: ...


@dataclass(slots=True, weakref_slot=True)
class RequestContext:
    """The caller's side of a call, handed explicitly to every Protocol method, lookup and store.

    `deadline` is in Unix seconds. `headers` holds only headers that may travel on. `provider_data`
    is the per-request data for providers (credentials): it must never be logged. `trace` is the call's
    place in a trace, as W3C's `traceparent`; `tracestate` is one of the headers. `served` is noted when the
    call has found its provider. All but `cancellation` and `served` survives `dump` and `load`, so that a job
    runs as its owner.
    """

    request_id: str
    operation: str = ""
    principal: Principal | None = None
    tenant: str | None = None
    provider_data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    deadline: float | None = None
    trace: str | None = None
    idempotency_key: str | None = None
    cancellation: Cancellation = field(default_factory=Cancellation, compare=False, repr=False)
    served: Served | None = field(default=None, compare=False, repr=False)

    def dump(self) -> dict[str, Any]:
        """A JSON-ready form. It contains the provider data: store it as a secret."""
        principal = self.principal
        return {
            "request_id": self.request_id,
            "operation": self.operation,
            "principal": None
            if principal is None
            else {"id": principal.id, "attributes": dict(principal.attributes)},
            "tenant": self.tenant,
            "provider_data": dict(self.provider_data),
            "headers": dict(self.headers),
            "deadline": self.deadline,
            "trace": self.trace,
            "idempotency_key": self.idempotency_key,
        }

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> Self:
        """The context that `dump` wrote."""
        principal = data["principal"]
        fields = {name: value for name, value in data.items() if name != "principal"}
        if principal is not None:
            attributes = {name: tuple(values) for name, values in principal["attributes"].items()}
            principal = Principal(principal["id"], attributes)
        return cls(principal=principal, **fields)
