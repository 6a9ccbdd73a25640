"""`inline::van`: parcels in memory."""

from parcels_api.errors import ParcelTooHeavy
from parcels_api.models.parcels import ListParcelsResponse, Parcel, SendParcelRequest
from parcels_api.protocols.parcels import Parcels
from parcels_api.provider_config.parcels.inline_van import InlineVanConfig

from specstack_wire import Deps, NoParams, Payload, Request, RequestContext


class Van(Parcels):
    """Takes parcels up to a weight."""

    def __init__(self, config: InlineVanConfig, deps: Deps) -> None:
        self._most = config.most_grams
        self._ids = deps.ids
        self._parcels: list[Parcel] = []

    async def send_parcel(
        self, ctx: RequestContext, request: Request[SendParcelRequest, NoParams]
    ) -> Payload[Parcel]:
        """See the Protocol."""
        body = request.body
        if body.grams > self._most:
            raise ParcelTooHeavy(f"This depot takes up to {self._most} g.", param="grams")
        parcel = Parcel(id=self._ids.new("parcel_"), depot=body.depot, grams=body.grams)
        self._parcels.append(parcel)
        return Payload[Parcel].of(parcel)

    async def list_parcels(
        self, ctx: RequestContext, request: Request[None, NoParams]
    ) -> Payload[ListParcelsResponse]:
        """See the Protocol."""
        return Payload[ListParcelsResponse].of(ListParcelsResponse(object="list", data=list(self._parcels)))


async def create(config: InlineVanConfig, deps: Deps) -> Parcels:
    """An empty van."""
    return Van(config, deps)
