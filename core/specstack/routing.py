"""Routing tables: which provider serves which resource, and under which id.

One generic class over a `ResourceSpec`; the generated subclasses say how an entry looks to a
client (`record`), how a client's registration reads (`registration`) and how a provider is asked
for what it has (`discover`).
"""

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar, Generic, TypeVar

from specstack.descriptors import ResourceSpec
from specstack.discovery import Discovery, wait_for_first
from specstack.entries import Entry, Keeper, Member, Registration, Route, Source
from specstack.refusals import Refusals, short
from specstack_wire import ApiError, Clock, RequestContext

__all__ = ["Entry", "Member", "Registration", "Route", "RoutingTable", "Source"]

P = TypeVar("P")
R = TypeVar("R")

FIRST_WAIT = 2.0
"""Seconds that a listing or an unknown id waits for providers that have not answered yet."""


class RoutingTable(Generic[R, P]):
    """The resources of one kind. In memory; what clients register is written to `keeper` as well, if there
    is one. Every method takes the caller's context.

    Ids: what the run config or a client registers is named as given; what a provider announces is
    named `provider_id/id` (where the resource is provider-prefixed) and answers to its bare id too,
    as long as one provider has it. `provider_id/anything` reaches that provider even unannounced, and
    names nothing of another.

    Errors raised are the resource's own (`not_found`, `conflict`, `wrong_attribute`) and those of the
    roles `invalid`, `provider_not_found` and `provider_required`.
    """

    resource: ClassVar[ResourceSpec]

    def __init__(self, *, roles: Mapping[str, type[ApiError]], clock: Clock, log: logging.Logger) -> None:
        self.keeper: Keeper | None = None
        self._refuse = Refusals(self.resource, roles)
        self._clock = clock
        self._log = log
        self._members: dict[str, Member[P]] = {}
        self._marked: str | None = None
        self._own: dict[str, Entry] = {}
        self._entries: dict[str, Entry] = {}
        self._routes: dict[str, Route[P]] = {}
        self._ambiguous: dict[str, list[str]] = {}
        self._first_seen: dict[str, int] = {}
        self._discoveries: dict[str, Discovery[Registration]] = {}

    def join(self, provider_id: str, member: Member[P], *, default: bool = False) -> None:
        """Let a provider take part. The `default` takes what names no provider; a lone one does anyway."""
        self._members[provider_id] = member
        if default:
            self._marked = provider_id
        if member.discovers:
            self._discoveries[provider_id] = self._discovery(provider_id, member.provider, self._log)

    def record(self, entry: Entry) -> R:
        """The entry as clients see it. Generated."""
        raise NotImplementedError

    def registration(self, body: Any) -> Registration:
        """What a client's register request, or an item of the run config, asks for. Generated."""
        raise NotImplementedError

    async def discover(self, ctx: RequestContext, provider: P) -> Sequence[Registration]:
        """What a provider has, by the resource's discovery hook. Generated where there is one."""
        return ()

    # -- lookups ---------------------------------------------------------------------------

    async def resolve(
        self,
        ctx: RequestContext,
        identifier: str,
        *,
        param: str | None = None,
        requires: Mapping[str, Sequence[str]] | None = None,
    ) -> Route[P]:
        """The provider that serves `identifier` and its own id for it.

        `requires` names attribute values of which one must hold; `param` is the request field to
        blame. Raises the resource's `not_found` or `wrong_attribute`.
        """
        route = self._routes.get(identifier)
        if route is None:
            route = await self._resolve_unknown(identifier, param)
        if requires and route.entry is not None:
            self._check(route.entry, identifier, requires, param)
        ctx.served = route
        return route

    async def get(self, ctx: RequestContext, identifier: str, *, param: str | None = None) -> R:
        """One resource as clients see it. Raises the resource's `not_found`."""
        return self.record(await self.entry(ctx, identifier, param=param))

    async def entry(self, ctx: RequestContext, identifier: str, *, param: str | None = None) -> Entry:
        """One entry by id or alias. Raises the resource's `not_found`."""
        if identifier not in self._routes and self.keeper is not None:
            await self.keeper.catch_up()
        return await self._found(identifier, param)

    async def list(self, ctx: RequestContext) -> list[R]:
        """All resources as clients see them; waits briefly for providers that never answered."""
        return [self.record(entry) for entry in await self.entries(ctx)]

    async def entries(self, ctx: RequestContext) -> Sequence[Entry]:
        """All entries in the order of their ids; waits like `list`."""
        await wait_for_first(self._discoveries.values(), FIRST_WAIT)
        return self.known()

    def known(self) -> Sequence[Entry]:
        """The entries known now, without asking anybody."""
        return tuple(self._entries.values())

    def providers(self) -> Mapping[str, P]:
        """The providers that take part, by id."""
        return {provider_id: member.provider for provider_id, member in self._members.items()}

    def unserved(self, entry: Entry) -> str:
        """Why no provider serves an entry, which stands in the registry perhaps; "" where one does."""
        member = self._members.get(entry.provider_id)
        if member is None:
            return f"its provider '{entry.provider_id}' is not configured"
        if member.offers is None or entry.provider_resource_id in member.offers:
            return ""
        shown = short(entry.provider_resource_id)
        return f"'{shown}' is not in {self.resource.offered} of its provider '{entry.provider_id}'"

    def choose(
        self, ctx: RequestContext, provider_id: str | None, *, param: str | None = None
    ) -> tuple[str, P]:
        """The provider for a new resource: the one asked for, or the default.

        Raises the roles `provider_not_found` or `provider_required`.
        """
        if provider_id is None:
            default = self._marked or (next(iter(self._members)) if len(self._members) == 1 else None)
            if default is not None:
                return default, self._members[default].provider
        member = None if provider_id is None else self._members.get(provider_id)
        if provider_id is None or member is None:
            raise self._refuse.no_provider(provider_id, list(self._members), param)
        return provider_id, member.provider

    # -- changes ---------------------------------------------------------------------------

    async def register(
        self,
        ctx: RequestContext,
        wanted: Registration,
        *,
        source: Source = "registered",
        param: str | None = None,
    ) -> R:
        """Enter a resource; the same registration twice is fine.

        Raises `conflict` when the id names something else already or is another provider's, or when its
        provider does not offer the resource, and the roles `provider_not_found`,
        `provider_required` and `invalid` (an attribute value that does not exist).
        """
        return self.record(await self.enter(ctx, wanted, source=source, param=param))

    async def enter(
        self,
        ctx: RequestContext,
        wanted: Registration,
        *,
        source: Source = "registered",
        param: str | None = None,
    ) -> Entry:
        """`register`, giving the entry."""
        if self.keeper is None:
            return self.add(ctx, wanted, source=source, param=param)
        async with self.keeper.lock:
            while True:
                await self.keeper.sync()
                entry = self._admitted(ctx, wanted, source, param)
                if entry.identifier in self._own:
                    return entry
                # False where another process was quicker by less than a look at what is kept.
                if await self.keeper.keep(entry):
                    return self._put(entry)

    def add(
        self,
        ctx: RequestContext,
        wanted: Registration,
        *,
        source: Source = "registered",
        param: str | None = None,
    ) -> Entry:
        """`enter` into memory alone."""
        return self._put(self._admitted(ctx, wanted, source, param))

    def take(self, kept: Sequence[Entry]) -> None:
        """Let the kept entries be all that clients have registered. The run config's hide them."""
        own = {key: entry for key, entry in self._own.items() if entry.source == "config"}
        for entry in kept:
            if not self.unserved(entry):
                self._first_seen[entry.identifier] = entry.created
                own.setdefault(entry.identifier, entry)
        if own != self._own:
            self._own = own
            self._rebuild()

    async def unregister(self, ctx: RequestContext, identifier: str, *, param: str | None = None) -> Entry:
        """Remove a registered resource. Raises `not_found`, or `conflict` for one that is not its own."""
        async with self._changing():
            entry = await self._found(identifier, param)
            if entry.source == "discovered":
                raise self._refuse.kept(entry, f"its provider '{entry.provider_id}' announces it", param)
            if entry.source == "config":
                raise self._refuse.kept(entry, "it stands in the run config; remove it there", param)
            await self._drop(entry)
        return entry

    async def removable(self, ctx: RequestContext, identifier: str, *, param: str | None = None) -> Route[P]:
        """The route of a resource that is about to be deleted at its provider.

        Raises `not_found`, or `conflict` for one that the run config names.
        """
        entry = await self.entry(ctx, identifier, param=param)
        if entry.source == "config":
            raise self._refuse.kept(entry, "it stands in the run config; remove it there", param)
        return self._routes[entry.identifier]

    async def forget(self, ctx: RequestContext, route: Route[P]) -> None:
        """Take out what its provider has deleted."""
        if route.entry is None:
            return
        async with self._changing():
            if route.entry.identifier in self._own:
                await self._drop(route.entry)
            elif (discovery := self._discoveries.get(route.provider_id)) is not None:
                gone = route.provider_resource_id
                discovery.found = tuple(
                    one for one in discovery.found if (one.provider_resource_id or one.identifier) != gone
                )
                self._rebuild()

    async def refresh(self, ctx: RequestContext) -> None:
        """Ask every provider that can tell what it has, in parallel, and wait for the answers."""
        tasks = [one.start() for one in self._discoveries.values()]
        for task in tasks:
            await task

    async def discover_all(self, limit: float) -> None:
        """Ask providers that have not answered yet, and wait up to `limit` seconds for them."""
        await wait_for_first(self._discoveries.values(), limit)

    async def stop(self) -> None:
        """End background work."""
        for one in self._discoveries.values():
            await one.stop()

    # -- inside ----------------------------------------------------------------------------

    @property
    def _prefixed(self) -> bool:
        return self.resource.id_style == "provider-prefixed"

    def _discovery(self, provider_id: str, provider: P, log: logging.Logger) -> Discovery[Registration]:
        async def ask() -> Sequence[Registration]:
            # A cache that all callers share must not be filled with one caller's credentials.
            ctx = RequestContext(request_id=f"discover-{provider_id}", operation=self.resource.discover or "")
            return await self.discover(ctx, provider)

        return Discovery(provider_id, ask, self._rebuild, log)

    def _admitted(
        self, ctx: RequestContext, wanted: Registration, source: Source, param: str | None
    ) -> Entry:
        """The entry that a registration makes, or the one of the same content that is there."""
        provider_id = wanted.provider_id
        prefix, slash, _ = wanted.identifier.partition("/")
        if provider_id is None and self._prefixed and slash and prefix in self._members:
            provider_id = prefix
        provider_id, _ = self.choose(ctx, provider_id, param="provider_id")
        bare = wanted.identifier.removeprefix(f"{provider_id}/") if self._prefixed else wanted.identifier
        entry = self._entry(wanted, wanted.identifier, bare, provider_id, source)
        existing = self._entries.get(entry.identifier)
        if existing is not None and existing.source != "discovered":
            if replace(entry, source=existing.source) == existing:
                return existing
            raise self._refuse.taken(existing, param)
        if self._prefixed and slash and prefix in self._members and prefix != provider_id:
            raise self._refuse.elsewhere(entry, prefix, param)
        if existing is not None and existing.place != entry.place:
            raise self._refuse.taken(existing, param)
        if why := self.unserved(entry):
            raise self._refuse.not_offered(entry, why, param)
        return replace(entry, tenant=ctx.tenant, owner=ctx.principal.id if ctx.principal else None)

    def _put(self, entry: Entry) -> Entry:
        if self._own.get(entry.identifier) is not entry:
            self._own[entry.identifier] = entry
            self._rebuild()
        return entry

    async def _drop(self, entry: Entry) -> None:
        if self.keeper is not None:
            await self.keeper.drop(entry)
        self._own.pop(entry.identifier, None)
        self._rebuild()

    @asynccontextmanager
    async def _changing(self) -> AsyncGenerator[None]:
        """Around a change: what other processes have changed is known, and nothing comes in between."""
        if self.keeper is None:
            yield
            return
        async with self.keeper.lock:
            await self.keeper.sync()
            yield

    async def _found(self, identifier: str, param: str | None) -> Entry:
        route = self._routes.get(identifier)
        if route is None:
            await wait_for_first(self._discoveries.values(), FIRST_WAIT)
            route = self._routes.get(identifier)
        if route is None or route.entry is None:
            raise self._unknown(identifier, param)
        return route.entry

    def _entry(
        self, wanted: Registration, identifier: str, bare: str, provider_id: str, source: Source
    ) -> Entry:
        return Entry(
            identifier=identifier,
            provider_id=provider_id,
            provider_resource_id=wanted.provider_resource_id or bare,
            source=source,
            created=self._first_seen.setdefault(identifier, self._clock.created()),
            metadata=dict(wanted.metadata),
            attributes=self._attributes(wanted, strict=source != "discovered"),
        )

    def _attributes(self, wanted: Registration, *, strict: bool) -> dict[str, str]:
        attributes = {name: values[0] for name, values in self.resource.attributes.items()}
        for name, value in wanted.attributes.items():
            allowed = self.resource.attributes.get(name, ())
            if value in allowed:
                attributes[name] = value
            elif strict:
                raise self._refuse.attribute(name, allowed)
        return attributes

    def _rebuild(self) -> None:
        """Make the lookup tables anew. Own entries hide announced ones of the same id."""
        entries = dict(self._own)
        bare: dict[str, list[str]] = {}
        for provider_id, discovery in self._discoveries.items():
            for found in discovery.found:
                own_id = found.identifier
                identifier = f"{provider_id}/{own_id}" if self._prefixed else own_id
                entries.setdefault(
                    identifier, self._entry(found, identifier, own_id, provider_id, "discovered")
                )
                # The bare id of one provider's may look like another's whole one: it is that one's.
                if own_id.partition("/")[0] not in self._members or "/" not in own_id:
                    bare.setdefault(own_id, []).append(identifier)
        routes = {key: self._route(entry) for key, entry in entries.items()}
        if self._prefixed:
            for key, entry in self._own.items():
                routes.setdefault(f"{entry.provider_id}/{key}", routes[key])
            for own_id, identifiers in bare.items():
                if len(identifiers) == 1:
                    routes.setdefault(own_id, routes[identifiers[0]])
        self._ambiguous = {
            own_id: ids for own_id, ids in bare.items() if len(ids) > 1 and own_id not in routes
        }
        self._entries, self._routes = dict(sorted(entries.items())), routes

    def _route(self, entry: Entry) -> Route[P]:
        provider = self._members[entry.provider_id].provider
        return Route(provider, entry.provider_id, entry.provider_resource_id, entry)

    async def _resolve_unknown(self, identifier: str, param: str | None) -> Route[P]:
        provider_id, slash, rest = identifier.partition("/")
        member = self._members.get(provider_id) if self._prefixed and slash and rest else None
        if member is not None:
            return Route(member.provider, provider_id, rest, None)
        if self.keeper is not None:
            await self.keeper.catch_up()
        await self._found(identifier, param)
        return self._routes[identifier]

    def _check(
        self, entry: Entry, identifier: str, requires: Mapping[str, Sequence[str]], param: str | None
    ) -> None:
        for name, allowed in requires.items():
            if entry.attributes.get(name, "") not in allowed:
                raise self._refuse.wrong(entry, identifier, name, allowed, param)

    def _unknown(self, identifier: str, param: str | None) -> Exception:
        if several := self._ambiguous.get(identifier):
            return self._refuse.ambiguous(identifier, several, param)
        ids = {name: route.resource_id or name for name, route in self._routes.items()}
        return self._refuse.unknown(identifier, list(self._entries), ids, param)
