"""A generated server in miniature: two APIs without routing, and one that a table routes."""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, ClassVar, Protocol, runtime_checkable

from specstack.descriptors import ApiEntry, GeneratedServer, ProviderSpec, ResourceSpec
from specstack.routing import Entry, Registration, RoutingTable
from specstack.runtime import Runtime
from specstack_api.errors import ModelConflict, ModelNotFound, ModelTypeMismatch
from specstack_wire import (
    ClosedModel,
    Deps,
    Health,
    OperationNotSupported,
    Payload,
    Provider,
    Request,
    RequestContext,
)


class Config(ClosedModel):
    """What every toy provider takes."""

    mood: str = "fine"


@runtime_checkable
class Toys(Provider, Protocol):
    """The Protocol of every toy API."""

    async def play(self, ctx: RequestContext, request: Request[Any, Any]) -> Payload[Any]:
        raise OperationNotSupported.of(self, "play")

    async def list_toys(self, ctx: RequestContext, request: Request[Any, Any]) -> Payload[Any]:
        raise OperationNotSupported.of(self, "list_toys")


class Toy(Toys):
    """A provider that works and writes down what happens."""

    log: ClassVar[list[str]] = []

    def __init__(self, config: Config, deps: Deps) -> None:
        self.config = config
        self.deps = deps
        self.log.append(f"create {deps.provider_id}")

    async def start(self) -> None:
        self.log.append(f"start {self.deps.provider_id}")

    async def stop(self) -> None:
        self.log.append(f"stop {self.deps.provider_id}")

    async def health(self) -> Health:
        if self.config.mood == "slow":
            await asyncio.sleep(60)
        if self.config.mood == "broken":
            raise RuntimeError("lost a wheel")
        return Health("ok")

    async def play(self, ctx: RequestContext, request: Request[Any, Any]) -> Payload[Any]:
        return Payload.of({"by": self.deps.provider_id}, dict)


class ToysRouter:
    """An auto-router that remembers its runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime


class ToyTable(RoutingTable[str, Toys]):
    """The table of the routed API."""

    resource: ClassVar[ResourceSpec] = ResourceSpec(
        name="toy",
        plural="models",
        manages="catalogue",
        routes="routed",
        id_style="provider-prefixed",
        not_found=ModelNotFound,
        conflict=ModelConflict,
        wrong_attribute=ModelTypeMismatch,
        attributes={"model_type": ("llm", "embedding", "rerank")},
    )

    def record(self, entry: Entry) -> str:
        return entry.identifier

    def registration(self, body: Any) -> Registration:
        return Registration(identifier=body.model_id, provider_id=body.provider_id)


def spec(api: str, type_: str, **fields: Any) -> ProviderSpec:
    """A toy provider's spec; its module is made by `module`."""
    known: dict[str, Any] = {
        "module": "toy_provider",
        "capabilities": ("play",),
        "summary": "A toy.",
        **fields,
    }
    return ProviderSpec(api=api, provider_type=type_, config=f"{__name__}:Config", **known)


def module(name: str, create: Callable[..., Any] | None) -> None:
    """Put a provider module in place."""
    made = ModuleType(name)
    if create is not None:
        made.create = create  # type: ignore
    sys.modules[name] = made


async def create(config: Config, deps: Deps) -> Toy:
    """The provider that works."""
    return Toy(config, deps)


PROVIDERS: dict[tuple[str, str], ProviderSpec] = {}


def server(specs: Sequence[ProviderSpec]) -> GeneratedServer:
    """The server with these provider types."""
    PROVIDERS.clear()
    PROVIDERS.update({(one.api, one.provider_type): one for one in specs})
    here = __name__

    def entry(name: str, **fields: Any) -> ApiEntry:
        known: dict[str, Any] = {"protocol": f"{here}:Toys", **fields}
        return ApiEntry(
            name=name,
            operations=f"{here}:OPERATIONS",
            router=f"{here}:router",
            auto_router=f"{here}:ToysRouter",
            **known,
        )

    apis: Mapping[str, ApiEntry] = {
        "alone": entry("alone"),
        "other": entry("other"),
        "routed": entry("routed", tables=("toy",), routed_by=("toy",)),
        "catalogue": entry("catalogue", protocol=None, tables=("toy",)),
        "always": entry("always", protocol=None),
    }
    return GeneratedServer(
        apis=apis,
        tables={"toy": f"{here}:ToyTable"},
        services={},
        providers=f"{here}:PROVIDERS",
        errors="specstack_api.errors",
        openapi="specstack_api",
    )


OPERATIONS: tuple[Any, ...] = ()
