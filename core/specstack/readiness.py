"""Whether a server should get requests: its phase, its storage and its providers, asked at once.

What is found may be read by anybody, so it names parts and says that they fail; how they fail is in the log.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Literal

from specstack.runtime import Runtime
from specstack_wire import StorageUnavailable

LIMIT = 2.0
"""Seconds that each part has to answer."""
HELD = 1.0
"""Seconds for which what was found holds, however many ask."""

_QUOTA = "quota"

_log = logging.getLogger("specstack.ready")


@dataclass(frozen=True, slots=True)
class Check:
    """How one part is. `message` says what is wrong, without hosts and paths."""

    kind: Literal["storage", "provider"]
    name: str
    status: Literal["ok", "error", "unknown"]
    message: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """How all parts are, and the reasons for which the server is not ready; none when it is."""

    checks: tuple[Check, ...]
    reasons: tuple[str, ...]


class Readiness:
    """Asks the parts of a server. Whoever asks meanwhile, or shortly after, gets the same answer."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._asking: asyncio.Task[Report] | None = None
        self._found: Report | None = None
        self._found_at = 0.0
        self._told: tuple[str, ...] = ()

    async def report(self) -> Report:
        """What holds now."""
        if self._runtime.phase != "running":
            # Nothing is asked any more of parts that are being stopped.
            return Report((), (f"the server is {self._runtime.phase}",))
        if self._found is not None and time.monotonic() - self._found_at < HELD:
            return self._found
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> Report:
        try:
            storage, (providers, groups) = await asyncio.gather(self._storage(), self._providers())
            reasons = [
                f"the storage backend '{one.name}' does not answer"
                for one in storage
                if one.status == "error" and self._needs(one.name)
            ]
            reasons += [
                f"no provider of the API {api} is well: {', '.join(ids)}" for api, ids in groups.items()
            ]
            self._found = Report((*storage, *providers), tuple(reasons))
            self._found_at = time.monotonic()
            self._log(self._found.reasons)
            return self._found
        finally:
            self._asking = None

    async def _storage(self) -> list[Check]:
        names = list(self._runtime.storage.in_use())
        well = await asyncio.gather(*map(self._answers, names))
        return [
            Check("storage", name, "ok") if one else Check("storage", name, "error", "does not answer")
            for name, one in zip(names, well, strict=True)
        ]

    async def _answers(self, name: str) -> bool:
        try:
            async with asyncio.timeout(LIMIT):
                await self._runtime.storage.in_use()[name].ping()
        except (StorageUnavailable, TimeoutError) as error:
            _log.info("the storage backend '%s' does not answer: %s", name, error or f"within {LIMIT:g} s")
            return False
        except Exception:
            _log.exception("the storage backend '%s' failed", name)
            return False
        return True

    async def _providers(self) -> tuple[list[Check], dict[str, list[str]]]:
        """The checks, and the APIs all of whose providers are in error, with their ids."""
        checks: list[Check] = []
        failing: dict[str, list[str]] = {}
        served: set[str] = set()
        for running, health in await self._runtime.health(tuple(self._runtime.running), LIMIT):
            api, provider_id = running.configured.api, running.configured.provider_id
            name = f"{api}/{provider_id}"
            if health.status == "error":
                _log.info("the provider %s is in error: %s", name, health.message)
                failing.setdefault(api, []).append(provider_id)
                checks.append(Check("provider", name, "error", "is in error; /v1/providers says how"))
            else:
                served.add(api)
                checks.append(Check("provider", name, health.status))
        return checks, {api: ids for api, ids in failing.items() if api not in served}

    def _needs(self, backend: str) -> bool:
        """Whether the server cannot do without a backend, for at least one of the stores in it."""
        return any(map(self._needs_store, self._runtime.storage.stores_in(backend)))

    def _needs_store(self, store: str) -> bool:
        stack = self._runtime.config.stack
        if store == _QUOTA:
            return stack.server.quota.when_unavailable == "refuse"
        # A store that may drop what it cannot keep holds up nobody.
        return getattr(getattr(stack.storage.stores, store), "when_full", None) != "drop"

    def _log(self, reasons: tuple[str, ...]) -> None:
        if reasons != self._told:
            self._told = reasons
            if reasons:
                _log.warning("not ready: %s", "; ".join(reasons))
            else:
                _log.warning("ready again")
