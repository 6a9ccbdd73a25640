"""Spec data as the runtime reads it: frozen descriptions that generated code fills in.

Every fact about an operation, resource or provider reaches the runtime through these classes;
no other runtime module knows an API, a resource or a provider by name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Stability = Literal["stable", "experimental", "deprecated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One parameter of an operation. `name` is its name on the wire.

    `style`: `value` is a single string, `list` a repeated one, `deep` an object as `name[key]=value`.
    """

    name: str
    location: Literal["path", "query", "header"]
    style: Literal["value", "list", "deep"] = "value"
    greedy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A request body. In forms, `json_fields` are JSON text, `list_fields` repeat, `file_fields` are files.

    `limit` is in bytes; None means the server's limit.
    """

    model: Any
    media: tuple[str, ...]
    required: bool = True
    limit: int | None = None
    json_fields: frozenset[str] = frozenset()
    list_fields: frozenset[str] = frozenset()
    file_fields: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The successful reply. `media` is None for an empty one; `model` is None where the reply is no JSON."""

    status: int
    media: str | None
    model: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSpec:
    """How an operation streams.

    `event` names the property that is also the SSE event name. `end` is the closing data of a complete
    stream.
    """

    media: str
    item: Any
    event: str | None = None
    end: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A reply form chosen by a request header whose value matches `value` (any value when None)."""

    name: str
    header: str
    value: str | None
    model: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketSpec:
    """A WebSocket on the path of an operation: what the client sends and what it gets."""

    receive: Any
    send: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a call does to which kind of resource."""

    action: Literal["create", "read", "update", "delete"]
    resource: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The core service that keeps request and reply; `when` is the body's field that asks for it."""

    service: str
    when: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSpec:
    """Where a reply or event tells the tokens that went in and came out: ways of JSON names."""

    input: tuple[str, ...]
    output: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of the spec. `id` is the operationId, `name` the Python method.

    `public` (no credentials needed) and `access` are for hooks that decide who may call it. `genai` is what
    OpenTelemetry's conventions call it, if it asks a model.
    """

    id: str
    name: str
    api: str
    method: str
    path: str
    stability: Stability
    reply: Reply
    aliases: tuple[str, ...] = ()
    params: tuple[Param, ...] = ()
    params_model: Any = None
    body: Body | None = None
    stream: StreamSpec | None = None
    variants: tuple[Variant, ...] = ()
    websocket: WebSocketSpec | None = None
    envelope: str = "openai"
    public: bool = False
    access: Access | None = None
    record: Record | None = None
    usage: UsageSpec | None = None
    genai: str | None = None
    deprecated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceSpec:
    """A routable resource. The error fields name classes of the spec's error table.

    `attributes` maps each attribute that operations may require to its allowed values; the first
    is the default. `discover` names the provider hook that lists a provider's own resources; `offered` the
    setting of providers with their own ids of what they offer, where that is not everything.
    """

    name: str
    plural: str
    manages: str
    routes: str
    id_style: Literal["provider-prefixed", "plain"]
    not_found: type[Exception]
    conflict: type[Exception]
    wrong_attribute: type[Exception]
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    discover: str | None = None
    offered: str | None = None

    def offers(self, config: object) -> frozenset[str] | None:
        """What a provider with these settings offers, by its own ids; None for everything."""
        found: Iterable[str] | None = getattr(config, self.offered, None) if self.offered else None
        return None if found is None else frozenset(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpec:
    """A provider type. `config` is `module:Class` of its generated config; `extra` the pip extra it needs."""

    api: str
    provider_type: str
    module: str
    config: str
    capabilities: tuple[str, ...]
    summary: str
    stability: Stability = "stable"
    extra: str = ""
    requires: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiEntry:
    """Where the generated parts of one API are, as `module:name`, imported when the API is served.

    `protocol` is None for an API that no provider implements. `tables` are the resources whose tables its
    operations need; `routed_by` the resources that route it.
    """

    name: str
    operations: str
    router: str
    auto_router: str
    protocol: str | None = None
    tables: tuple[str, ...] = ()
    routed_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlColumn:
    """A column of the spec. `default` stands where a row gives no value; the database counts `auto` up."""

    name: str
    kind: Literal["string", "text", "integer", "number", "boolean", "json", "bytes"]
    nullable: bool = False
    max_length: int | None = None
    default: Any = None
    auto: bool = False

    @property
    def info(self) -> Mapping[str, Any]:
        """What the table's SQLAlchemy column has there."""
        return {"kind": self.kind, "max_length": self.max_length, "default": self.default, "auto": self.auto}


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlTable:
    """A table of the spec: `table` in databases, `columns` without those that all tables have.

    `model` is `module:Class` of its SQLModel class, imported when rows are read.
    """

    name: str
    table: str
    api: str
    store: str
    model: str
    columns: tuple[SqlColumn, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """An instrument. `attributes` maps the runtime's keys to attribute names.

    `prometheus` is its name in Prometheus' text form. `buckets` are upper bounds; histograms alone have them.
    """

    name: str
    prometheus: str
    kind: Literal["counter", "updown", "gauge", "histogram"]
    unit: str
    description: str
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    buckets: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanSpec:
    """A span. Of `names` the first counts whose `{keys}` all are known of a call."""

    kind: Literal["server", "client", "internal"]
    names: tuple[str, ...]
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogCategory:
    """A part of the log with a level of its own. `loggers` are ours, `libraries` those of other packages.

    `default` is the level that it has unless a run config names it; None means the level of the whole log.
    """

    loggers: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    default: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySpec:
    """What a server tells of itself, by the keys that the runtime uses."""

    categories: Mapping[str, LogCategory]
    metrics: Mapping[str, MetricSpec]
    spans: Mapping[str, SpanSpec]


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedServer:
    """Everything that a generated server package hands to the runtime.

    `tables` maps a resource to the `module:Class` of its routing table; `services` a core service to its
    handwritten module (with `create(runtime)`); `providers` is the `module:name` of the provider registry
    (a mapping of (api, provider type) to `ProviderSpec`); `errors` the module with the error classes, roles
    and envelopes; `openapi` the package that holds openapi.json and openapi-3.1.json; `package` the prefix of
    the generated packages' names; `generator` the hash of what the server was generated by and from.
    `sql_tables` are the tables of SQL stores, `migrations` the package with the Alembic revisions of each API
    that has some; `telemetry` is the `module:name` of the `TelemetrySpec`, if the spec has one.

    A package that adds to a server says for which version of it it was `made_for`, and the `module:Class` of
    its `registered` resources in the run config. `external` are the packages that were added to this server;
    `apis`, `tables` and `services` have theirs too.
    """

    apis: Mapping[str, ApiEntry]
    tables: Mapping[str, str]
    services: Mapping[str, str]
    providers: str
    errors: str
    openapi: str
    package: str = ""
    generator: str = ""
    made_for: str = ""
    registered: str = ""
    external: tuple["GeneratedServer", ...] = ()
    sql_tables: tuple[SqlTable, ...] = ()
    migrations: Mapping[str, str] = field(default_factory=dict[str, str])
    telemetry: str | None = None
