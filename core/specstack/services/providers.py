"""The configured providers, with masked settings and honest health."""

from typing import Literal

from specstack.masking import masked
from specstack.resolver import Running
from specstack.runtime import Runtime
from specstack_api.models.providers import (
    InspectProviderParams,
    ListProvidersResponse,
    ProviderInfo,
    ProviderInfoHealth,
)
from specstack_api.protocols.providers import ProvidersService
from specstack_wire import Health, NoParams, Payload, Request, RequestContext

_STATUS: dict[str, Literal["OK", "Error", "Not Implemented"]] = {
    "ok": "OK",
    "error": "Error",
    "unknown": "Not Implemented",
}


def create(runtime: Runtime) -> ProvidersService:
    """The service of one server."""
    return Providers(runtime)


class Providers(ProvidersService):
    """Answers from the running providers; each is asked for its health now."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def list_providers(
        self, ctx: RequestContext, request: Request[None, NoParams]
    ) -> Payload[ListProvidersResponse]:
        """Every running provider, in the order of the run config."""
        health = await self._runtime.health(self._in_order())
        infos = [_info(one, state) for one, state in health]
        return Payload[ListProvidersResponse].of(ListProvidersResponse(data=infos))

    async def inspect_provider(
        self, ctx: RequestContext, request: Request[None, InspectProviderParams]
    ) -> Payload[ProviderInfo]:
        """One provider by id. Raises the role `provider_not_found`."""
        wanted = request.params.provider_id
        running = self._in_order()
        found = [one for one in running if one.configured.provider_id == wanted]
        if not found:
            ids = ", ".join(f"'{one.configured.provider_id}'" for one in running) or "none"
            text = f"There is no provider '{wanted[:200]}'; there are: {ids}."
            raise self._runtime.role("provider_not_found", text, param="provider_id")
        health = await self._runtime.health(found[:1])
        return Payload[ProviderInfo].of(_info(*health[0]))

    def _in_order(self) -> list[Running]:
        order = [(one.api, one.provider_id) for one in self._runtime.config.providers]
        by_place = {(one.configured.api, one.configured.provider_id): one for one in self._runtime.running}
        return [by_place[place] for place in order if place in by_place]


def _info(one: Running, health: Health) -> ProviderInfo:
    configured = one.configured
    return ProviderInfo(
        api=configured.api,
        provider_id=configured.provider_id,
        provider_type=configured.spec.provider_type,
        config=masked(configured.config),
        health=ProviderInfoHealth(status=_STATUS[health.status], message=health.message),
    )
