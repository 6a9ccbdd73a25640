"""The intermediate representation: what the spec says, resolved and named for Python.

Pure data. Every node that stems from one place in the spec has its position. Emitters read the IR and
nothing else; whatever needs a decision is decided in `build`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from specstack_codegen.ir_storage import Storage
from specstack_codegen.ir_telemetry import Telemetry
from specstack_codegen.source import Position

Schema = Mapping[str, Any]
Location = Literal["path", "query", "header"]
Style = Literal["value", "list", "deep"]
Mode = Literal["routed", "create", "delete", "fan-out", "scatter", "table", "service", "provider"]
PROVIDER_MODES: frozenset[str] = frozenset({"routed", "create", "delete", "fan-out", "scatter", "provider"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """A parameter. `name` is its wire name, `python` its attribute.

    `annotation` is its Python type in source form; `components` are those that it names.
    """

    name: str
    python: str
    location: Location
    style: Style
    required: bool
    greedy: bool
    resource: str | None
    description: str
    schema: Schema
    annotation: str
    components: tuple[str, ...]
    pos: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A request body. `model` is a component; the field sets matter for forms only."""

    model: str
    media: tuple[str, ...]
    required: bool
    limit: int | None
    description: str
    json_fields: tuple[str, ...] = ()
    list_fields: tuple[str, ...] = ()
    file_fields: tuple[str, ...] = ()
    pos: Position

    @property
    def is_json(self) -> bool:
        return all(media.split(";")[0].endswith("json") for media in self.media)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The successful reply. `media` None: empty; `model` None with media: binary or a stream."""

    status: int
    media: str | None
    model: str | None
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """How the operation streams; `when` None means always."""

    media: str
    item: str
    when: str | None
    event: str | None
    end: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A reply form chosen by a request header."""

    name: str
    header: str
    value: str | None
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocket:
    """A WebSocket on the operation's path: the components that the client sends and gets."""

    receive: str
    send: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Where an operation carries a resource's id: wire name, attribute, and whether it must be there."""

    location: Literal["body", "path", "query", "header"]
    name: str
    python: str
    required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Serve:
    """How an operation is served; which fields are set depends on `mode`."""

    mode: Mode
    resource: str | None = None
    key: Key | None = None
    requires: tuple[tuple[str, tuple[str, ...]], ...] = ()
    provider: Key | None = None
    id: str | None = None
    merge: str | None = None
    action: Literal["list", "get", "register", "unregister"] | None = None
    service: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The core service that keeps request and reply; `when` is the body's field that asks for it."""

    service: str
    when: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The ways (attribute names) to the token counts of a reply or event."""

    input: tuple[str, ...]
    output: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a call does to which kind of resource."""

    action: Literal["create", "read", "update", "delete"]
    resource: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pagination:
    """How a list is paged: names of the query parameters and of the reply fields."""

    style: Literal["cursor", "none"]
    after: str | None = None
    limit: str | None = None
    order: str | None = None
    items: str | None = None
    next: str | None = None
    more: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A documented error reply; `status` is a number or `default`."""

    status: str
    description: str
    model: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation. `id` is the operationId, `name` the method, `constant` its descriptor's name.

    `params_model` is the component made of its parameters, None when it has none. `reply_ids` are the
    top-level reply or event fields that carry the id of the served resource, `nested_ids` the ways (attribute
    names, `[]` for every item of a list) to those that stand deeper.
    """

    id: str
    name: str
    constant: str
    api: str
    method: str
    path: str
    aliases: tuple[str, ...]
    stability: Literal["stable", "experimental", "deprecated"]
    deprecated: bool
    summary: str
    description: str
    params: tuple[Param, ...]
    params_model: str | None
    body: Body | None
    reply: Reply
    stream: Stream | None
    variants: tuple[Variant, ...]
    websocket: WebSocket | None
    serve: Serve
    reply_ids: tuple[str, ...]
    nested_ids: tuple[str, ...]
    envelope: str
    public: bool
    access: Access | None
    record: Record | None
    usage: Usage | None
    genai: str | None
    refusals: tuple[str, ...]
    idempotent: bool
    pagination: Pagination | None
    failures: tuple[Failure, ...]
    pos: Position

    @property
    def always_streams(self) -> bool:
        return self.stream is not None and self.stream.when is None

    @property
    def is_binary(self) -> bool:
        """Whether the plain reply is bytes of another kind than JSON."""
        return self.reply.media is not None and self.reply.model is None and not self.always_streams


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A method that a provider may implement so that `resource`'s table learns what it offers."""

    name: str
    resource: str
    reply: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """One API: one file of the spec. `class_name` is its provider-facing Protocol, if it has any."""

    name: str
    class_name: str
    summary: str
    description: str
    envelope: str
    source: str
    operations: tuple[Operation, ...]
    hooks: tuple[Hook, ...]
    pos: Position

    @property
    def provider_operations(self) -> tuple[Operation, ...]:
        """The operations that providers implement."""
        return tuple(op for op in self.operations if op.serve.mode in PROVIDER_MODES)

    @property
    def has_protocol(self) -> bool:
        return bool(self.provider_operations or self.hooks)

    @property
    def tables(self) -> tuple[str, ...]:
        """The resources whose tables its operations need, in order of use."""
        return tuple(dict.fromkeys(op.serve.resource for op in self.operations if op.serve.resource))


@dataclass(frozen=True, slots=True, kw_only=True)
class Discover:
    """How a table reads a provider's own list: hook, its reply, and paths into each item."""

    method: str
    reply: str
    items: str
    identifier: str
    metadata: str
    attributes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """Entry field <- field of the register body, paths in wire names."""

    identifier: str
    provider_id: str | None
    provider_resource_id: str | None
    metadata: str | None
    attributes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """An attribute that operations may require of a resource; `values[0]` is the default."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A routable resource and its table. `record_fields` maps record fields to their sources.

    `offered` is the setting of providers that lists what they offer.
    """

    name: str
    plural: str
    class_name: str
    module: str
    description: str
    manages: str
    routes: str
    protocol: str
    not_found: str
    conflict: str
    wrong_attribute: str
    record: str | None
    offered: str | None
    id_style: Literal["provider-prefixed", "plain"]
    attributes: tuple[Attribute, ...]
    record_fields: Mapping[str, Any]
    registration: Registration | None
    discover: Discover | None
    pos: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A core service: handwritten module with `create(runtime)`; its Protocol stands with its API."""

    name: str
    module: str
    description: str
    class_name: str
    api: str
    operations: tuple[Operation, ...]
    pos: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider type. `config` and `provider_data` are JSON Schemas; `class_name` is its config class."""

    name: str
    api: str
    provider_type: str
    class_name: str
    module: str
    summary: str
    description: str
    extra: str
    capabilities: tuple[str, ...]
    requires: tuple[str, ...]
    optional: tuple[str, ...]
    config: Schema
    provider_data: Schema | None
    provider_data_class: str | None
    sample: Mapping[str, Any]
    stability: Literal["stable", "experimental", "deprecated"]
    source: str
    shares_settings: bool
    pos: Position

    @property
    def sources(self) -> tuple[str, ...]:
        """The spec files that its config comes from."""
        return (self.source, "settings.yaml") if self.shares_settings else (self.source,)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorKind:
    """One error class."""

    name: str
    status: int
    type: str
    code: str | None
    description: str
    pos: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """The error table. `roles` and `upstream` name classes; `envelopes` hold `$message` and the like."""

    kinds: tuple[ErrorKind, ...]
    roles: tuple[tuple[str, str], ...]
    upstream: tuple[tuple[str, str], ...]
    envelopes: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ir:
    """The whole spec. `package` is the prefix of the generated packages, `spec` the spec folder's name.

    `openapi` is the bundled document as it was written, `schemas` its components with the parameter
    models added, `component_api` the API (or `common`) of each of those. `sources` maps each spec file,
    relative to the spec folder, to its sha256. `errors_module` is where generated code finds error classes.
    `errors` are this spec's own, `all_errors` those that its operations may answer with. `external` is the
    version of the server that an external spec adds to; "" for any other spec.
    """

    package: str
    spec: str
    openapi: Mapping[str, Any]
    schemas: Mapping[str, Schema]
    component_api: Mapping[str, str]
    apis: tuple[Api, ...]
    resources: tuple[Resource, ...]
    services: tuple[Service, ...]
    providers: tuple[Provider, ...]
    errors: Errors | None
    all_errors: Errors | None
    config: Schema | None
    storage: Storage
    deviations: Schema | None
    telemetry: Telemetry | None
    sources: Mapping[str, str]
    errors_module: str
    external: str = ""

    @property
    def api_package(self) -> str:
        return f"{self.package}_api"

    @property
    def server_package(self) -> str:
        return f"{self.package}_server"

    @property
    def client_package(self) -> str:
        return f"{self.package}_client"

    @property
    def is_flat(self) -> bool:
        """Whether the spec folder is nothing but its providers, without a folder of that name."""
        return any(not one.pos.file.startswith(f"{self.spec}/providers/") for one in self.providers)

    def api(self, name: str) -> Api:
        return next(api for api in self.apis if api.name == name)

    def resource(self, name: str) -> Resource:
        return next(resource for resource in self.resources if resource.name == name)

    def service(self, name: str) -> Service:
        return next(service for service in self.services if service.name == name)
