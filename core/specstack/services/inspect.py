"""Health, version and the routes that are served."""

from typing import Literal

from specstack import __version__
from specstack.descriptors import Operation
from specstack.order import apis_behind
from specstack.readiness import Readiness
from specstack.runtime import Runtime
from specstack_api.models.inspect import (
    HealthInfo,
    ListRoutesParams,
    ListRoutesResponse,
    ReadyCheck,
    ReadyInfo,
    RouteInfo,
    VersionInfo,
)
from specstack_api.protocols.inspect import InspectService
from specstack_wire import MISSING, NoParams, Payload, Request, RequestContext, given

_STATUS: dict[str, Literal["OK", "Error", "Unknown"]] = {"ok": "OK", "error": "Error", "unknown": "Unknown"}


def create(runtime: Runtime) -> InspectService:
    """The service of one server."""
    return Inspect(runtime)


class Inspect(InspectService):
    """Answers from what the runtime serves now."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._readiness = Readiness(runtime)
        self._up = Payload[HealthInfo].of(HealthInfo(status="OK"))

    async def health(self, ctx: RequestContext, request: Request[None, NoParams]) -> Payload[HealthInfo]:
        """Up, since it answers."""
        return self._up

    async def ready(self, ctx: RequestContext, request: Request[None, NoParams]) -> Payload[ReadyInfo]:
        """How the parts are, if the server can serve. Raises the role `not_ready`."""
        found = await self._readiness.report()
        if found.reasons:
            raise self._runtime.role("not_ready", f"Not ready: {'; '.join(found.reasons)}.")
        checks = [
            ReadyCheck(
                kind=one.kind, name=one.name, status=_STATUS[one.status], message=one.message or MISSING
            )
            for one in found.checks
        ]
        worst = any(one.status == "error" for one in found.checks)
        return Payload[ReadyInfo].of(ReadyInfo(status="Degraded" if worst else "OK", checks=checks))

    async def version(self, ctx: RequestContext, request: Request[None, NoParams]) -> Payload[VersionInfo]:
        """The installed package's version."""
        return Payload[VersionInfo].of(VersionInfo(version=__version__))

    async def list_routes(
        self, ctx: RequestContext, request: Request[None, ListRoutesParams]
    ) -> Payload[ListRoutesResponse]:
        """The mounted routes, sorted by path and method."""
        wanted = given(request.params.api_filter, "")
        routes = [
            RouteInfo(route=path, method=op.method, provider_types=self._provider_types(op))
            for op in self._runtime.operations()
            for path in _paths(op, wanted)
        ]
        return Payload[ListRoutesResponse].of(
            ListRoutesResponse(data=sorted(routes, key=lambda one: (one.route, one.method)))
        )

    def _provider_types(self, op: Operation) -> list[str]:
        """The types of the running providers that implement the operation."""
        if op.api not in apis_behind(self._runtime.server, op.api):
            return []
        running = [one.configured for one in self._runtime.running if one.configured.api == op.api]
        able = [one.spec.provider_type for one in running if op.name in one.spec.capabilities]
        return list(dict.fromkeys(able))


def _paths(op: Operation, wanted: str) -> tuple[str, ...]:
    """The operation's paths that a filter lets through."""
    if wanted == "deprecated":
        return (op.path, *op.aliases) if op.deprecated else op.aliases
    if wanted:
        return (op.path,) if op.path.split("/")[1] == wanted else ()
    return (op.path,)
