"""The server's metrics for Prometheus."""

from specstack.runtime import Runtime
from specstack.telemetry.prometheus import MEDIA_TYPE, exposition
from specstack_api.errors import MetricsOff
from specstack_api.protocols.inspect import MetricsService
from specstack_wire import Binary, NoParams, Request, RequestContext


def create(runtime: Runtime) -> MetricsService:
    """The service of one server."""
    return Metrics(runtime)


class Metrics(MetricsService):
    """Answers from the meters of the runtime, and of the other workers."""

    def __init__(self, runtime: Runtime) -> None:
        self._telemetry = runtime.telemetry
        self._on = runtime.config.stack.telemetry.prometheus

    async def metrics(self, ctx: RequestContext, request: Request[None, NoParams]) -> Binary:
        """The numbers as they are now. Raises MetricsOff."""
        if not self._on:
            raise MetricsOff(
                "This server serves no metrics; `telemetry: {prometheus: true}` in its run config lets it."
            )
        return Binary(exposition(await self._telemetry.collect(), self._telemetry.about), MEDIA_TYPE)
