"""The service behind the tariff."""

from typing import Any

from parcels_api.models.tariffs import Tariff
from parcels_api.protocols.tariffs import TariffsService

from specstack_wire import NoParams, Payload, Request, RequestContext


class Tariffs(TariffsService):
    """One price for all."""

    async def retrieve_tariff(self, ctx: RequestContext, request: Request[None, NoParams]) -> Payload[Tariff]:
        """See the Protocol."""
        return Payload[Tariff].of(Tariff(cents_per_gram=3))


def create(runtime: Any) -> TariffsService:
    """The service of one server."""
    return Tariffs()
