"""What a running server knows: its providers, tables, services and the APIs that it serves."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Any, Literal, Protocol, cast, runtime_checkable

from specstack.config import ConfiguredProvider, RunConfig, load_reference
from specstack.core_services import make_service
from specstack.descriptors import ApiEntry, GeneratedServer, Operation
from specstack.foreign import is_failure
from specstack.order import apis_behind, start_order, table_spec
from specstack.rehearsal import enter_configured
from specstack.resolver import Running, Supplies, start, stop
from specstack.routing import Member, RoutingTable
from specstack.startup import StartupError
from specstack.storage.registry import DistributionRegistry
from specstack.storage.stores import Storage
from specstack.telemetry.setup import Telemetry
from specstack_wire import ApiError, Clock, Health, Ids, StorageUnavailable

HEALTH_LIMIT = 5.0
"""Seconds that a provider may take to say how it is."""

_log = logging.getLogger("specstack")


@runtime_checkable
class Closing(Protocol):
    """A core service that has something to end before the storage closes."""

    async def aclose(self) -> None: ...


class Runtime:
    """One server's parts by name. Make it with `Runtime.start`, end it with `stop`."""

    def __init__(self, config: RunConfig, server: GeneratedServer, supplies: Supplies) -> None:
        self.config = config
        self.server = server
        self.errors = import_module(server.errors)
        self.running: list[Running] = []
        self.phase: Literal["starting", "running", "stopping"] = "starting"
        self.storage = Storage(config.stack, server.sql_tables, server.migrations)
        self.telemetry = Telemetry(config, server, supplies.seat)
        self._supplies = supplies
        self._providers: dict[str, dict[str, Any]] = {}
        self._tables: dict[str, RoutingTable[Any, Any]] = {}
        self._services: dict[str, Any] = {}
        self._apis: dict[str, Any] = {}
        self._registry: DistributionRegistry | None = None

    @classmethod
    async def start(cls, config: RunConfig, server: GeneratedServer, supplies: Supplies) -> "Runtime":
        """Start the providers in order and fill the tables. Raises StartupError, after stopping what ran."""
        runtime = cls(config, server, supplies)
        try:
            runtime.telemetry.start()
            for one in start_order(config, server):
                await runtime._start(one)
            runtime._register_configured()
            await runtime._open_registry()
            await runtime._prepare_tables()
        except BaseException:
            await runtime.stop()
            raise
        runtime.phase = "running"
        return runtime

    async def discover(self, limit: float) -> None:
        """Ask the providers what they have; wait up to `limit` seconds, later answers come in anyway."""
        await asyncio.gather(*(table.discover_all(limit) for table in self._tables.values()))

    async def stop(self) -> None:
        """Stop providers in reverse order, then close every connection: all of them, though one fails."""
        self.phase = "stopping"
        async with AsyncExitStack() as last_first:
            last_first.push_async_callback(self.telemetry.stop)
            last_first.push_async_callback(self.storage.aclose)
            last_first.push_async_callback(self._supplies.upstreams.aclose)
            for service in self._services.values():
                if isinstance(service, Closing):
                    last_first.push_async_callback(service.aclose)
            last_first.push_async_callback(self._stop_providers)
            for table in self._tables.values():
                last_first.push_async_callback(table.stop)
            if self._registry is not None:
                last_first.push_async_callback(self._registry.stop)

    async def _stop_providers(self) -> None:
        while self.running:
            await stop(self.running.pop())

    # -- what generated routers and services ask for ---------------------------------------

    def table(self, name: str) -> Any:
        """The routing table of a resource. Raises KeyError for a resource that the server does not have."""
        if name not in self._tables:
            self._tables[name] = self._new_table(name)
        return self._tables[name]

    def providers(self, api: str) -> Mapping[str, Any]:
        """The running providers of an API by id, in the order of the run config."""
        return self._providers.setdefault(api, {})

    def default_provider(self, api: str) -> Any:
        """The provider that serves what is not routed: the one marked, or the only one.

        Raises StartupError when there is none or the choice is open.
        """
        provider_id = self._default_id(api)
        if provider_id is not None:
            return self._providers[api][provider_id]
        ids = ", ".join(self.providers(api))
        if not ids:
            raise StartupError(
                f"{self.config.file}: the API {api} has no provider; add one under providers.{api}"
            )
        message = f"which of {ids} serves what is not routed? mark one `default: true`"
        raise StartupError(f"{self.config.file}: providers.{api}: {message}")

    def service(self, name: str, protocol: type[Any] | None = None) -> Any:
        """A core service, made at first use and checked against its Protocol. Raises StartupError."""
        if name not in self._services:
            self._services[name] = make_service(self, name, self.server.services[name], protocol)
        return self._services[name]

    @property
    def ids(self) -> Ids:
        """Where new ids come from."""
        return self._supplies.ids

    @property
    def clock(self) -> Clock:
        """Where the time comes from."""
        return self._supplies.clock

    def api(self, name: str) -> Any:
        """The auto-router of an API: all its operations, whoever serves them. For providers that need it."""
        if name not in self._apis:
            self._apis[name] = load_reference(self.server.apis[name].auto_router)(self)
        return self._apis[name]

    # -- what the server is ----------------------------------------------------------------

    def served(self) -> list[ApiEntry]:
        """The APIs to mount: those asked for (or all that have a provider), those that manage their
        resources, and those that need no provider."""
        wanted = self.config.apis if self.config.apis is not None else tuple(self.server.apis)
        managing = {
            table_spec(self.server, name).manages
            for api in wanted
            for name in self.server.apis[api].routed_by
        }
        found: list[ApiEntry] = []
        for name, entry in self.server.apis.items():
            behind = apis_behind(self.server, name)
            # An API of core services alone answers always, whatever `apis` says.
            if not behind or (name in {*wanted, *managing} and any(self.providers(one) for one in behind)):
                found.append(entry)
        return found

    def operations(self) -> list[Operation]:
        """The operations of the served APIs."""
        return [
            op
            for entry in self.served()
            for op in cast(tuple[Operation, ...], load_reference(entry.operations))
        ]

    def role(self, name: str, message: str, *, param: str | None = None) -> ApiError:
        """The error that plays a role, such as `provider_not_found`."""
        return self.errors.ROLES[name](message, param=param)

    async def health(
        self, running: Sequence[Running], limit: float | None = None
    ) -> list[tuple[Running, Health]]:
        """The providers with their health; they are asked at once, each within a limit in seconds."""
        within = HEALTH_LIMIT if limit is None else limit
        found = await asyncio.gather(*(_health(one, within) for one in running))
        return list(zip(running, found, strict=True))

    # -- inside ----------------------------------------------------------------------------

    async def _start(self, one: ConfiguredProvider) -> None:
        spec = one.spec
        apis = {name: self.api(name) for name in spec.requires}
        apis.update((name, self.api(name)) for name in spec.optional if self._can_serve(name))
        siblings = self._providers.setdefault(one.api, {})
        kv = self.storage.kv("providers").namespace(one.api).namespace(one.provider_id)
        running = await start(
            one, self.server.apis[one.api], self._supplies, apis, siblings, kv, around=self.telemetry.around
        )
        self.running.append(running)
        siblings[one.provider_id] = running.provider
        for name in self.server.apis[one.api].routed_by:
            table = self.table(name)
            discovers = table.resource.discover in spec.capabilities
            member = Member(running.provider, discovers, table.resource.offers(one.config))
            table.join(one.provider_id, member, default=one.default)

    def _can_serve(self, api: str) -> bool:
        return any(self.providers(one) for one in apis_behind(self.server, api))

    def _new_table(self, name: str) -> RoutingTable[Any, Any]:
        table = load_reference(self.server.tables[name])
        log = logging.getLogger(f"specstack.tables.{name}")
        return table(roles=self.errors.ROLES, clock=self._supplies.clock, log=log)

    def _default_id(self, api: str) -> str | None:
        ids = list(self.providers(api))
        marked = [one.provider_id for one in self.config.of_api(api) if one.default]
        return marked[0] if marked else ids[0] if len(ids) == 1 else None

    async def _open_registry(self) -> None:
        """Bring in what clients have registered. Raises StartupError."""
        if not self.server.tables:
            return
        tables = {name: self.table(name) for name in self.server.tables}
        self._registry = DistributionRegistry(self.storage.kv("registry"), tables)
        try:
            await self._registry.start()
        except StorageUnavailable as error:
            where = f"storage.backends.{self.storage.backend_of('registry')}"
            raise StartupError(f"{self.config.file}: {where}: {error.reason}") from None

    async def _prepare_tables(self) -> None:
        """See to the tables of the APIs that are served. Raises StartupError."""
        apis = {entry.name for entry in self.served()}
        if self.storage.sql_backends(apis):
            from specstack.storage.tables import prepare_tables

            await prepare_tables(self.storage, self.config.file, apis)

    def _register_configured(self) -> None:
        """Enter the run config's resources. Raises StartupError with every one that does not fit."""
        lines = list(enter_configured(self.config, {name: self.table(name) for name in self.server.tables}))
        if lines:
            raise StartupError(*lines)


async def _health(one: Running, limit: float) -> Health:
    try:
        async with asyncio.timeout(limit):
            said: object = await one.provider.health()
    except TimeoutError:
        return Health("error", f"did not answer within {limit:g} s")
    except ApiError as error:
        return Health("error", error.message)
    except BaseException as error:
        if not is_failure(error):
            raise
        _log.warning("health of provider %s: %s", one.configured.provider_id, error)
        return Health("error", f"{type(error).__name__}: {error}")
    if isinstance(said, Health):
        return said
    return Health("error", f"its health() returned {type(said).__name__}, not a Health")
