"""From configured providers to running ones: import, create, check, start; and stop in reverse."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from specstack.config import ConfiguredProvider, load_reference
from specstack.conformance import faults_of
from specstack.descriptors import ApiEntry, ProviderSpec
from specstack.foreign import is_failure
from specstack.logs import redactor
from specstack.order import describe
from specstack.startup import StartupError
from specstack.upstream import UpstreamPool
from specstack_wire import (
    DIRECT,
    ApiError,
    CallOuts,
    Clock,
    Deps,
    Ids,
    KVStore,
    Upstream,
    UpstreamSettings,
)

if TYPE_CHECKING:
    from specstack.recorder.recorder import Recorder
    from specstack.workers.seat import Seat

T = TypeVar("T")
Around = Callable[[Upstream, UpstreamSettings], Upstream]

START_LIMIT = 120.0
"""Seconds that a provider may take to be created and started; loading weights is the slowest case."""
STOP_LIMIT = 10.0
"""Seconds that a provider may take to stop."""

_log = logging.getLogger("specstack.resolver")


@dataclass(frozen=True, slots=True)
class Running:
    """A provider that was created."""

    configured: ConfiguredProvider
    provider: Any


@dataclass(frozen=True, slots=True)
class Supplies:
    """What every provider of a server is given, and the place of this process among several."""

    upstreams: UpstreamPool
    ids: Ids
    clock: Clock
    cache_dir: Path
    recorder: "Recorder | None" = None
    seat: "Seat | None" = None

    def upstream(self, provider_id: str) -> Callable[[UpstreamSettings], Upstream]:
        """What opens a provider's clients of other servers."""
        recorder, pool = self.recorder, self.upstreams
        if recorder is None:
            return pool.open
        return lambda settings: recorder.upstream(provider_id, settings, pool.open(settings))

    def calls(self, provider_id: str) -> CallOuts:
        """A provider's other calls out of its own code."""
        return DIRECT if self.recorder is None else self.recorder.calls(provider_id)


class Siblings(Mapping[str, Any]):
    """The providers of one API but one, as they are now."""

    def __init__(self, providers: Mapping[str, Any], but: str) -> None:
        self._providers = providers
        self._but = but

    def __getitem__(self, key: str) -> Any:
        if key == self._but:
            raise KeyError(key)
        return self._providers[key]

    def __iter__(self) -> Iterator[str]:
        return (key for key in self._providers if key != self._but)

    def __len__(self) -> int:
        return sum(1 for _ in self)


async def start(
    one: ConfiguredProvider,
    entry: ApiEntry,
    supplies: Supplies,
    apis: Mapping[str, Any],
    siblings: Mapping[str, Any],
    kv: KVStore,
    limit: float = START_LIMIT,
    around: Around | None = None,
) -> Running:
    """Import, create, check and start a provider. Raises StartupError with one line.

    `around` wraps the clients of other servers that the provider opens.
    """
    create = _creator(one)
    deps = Deps(
        provider_id=one.provider_id,
        apis=apis,
        siblings=Siblings(siblings, one.provider_id),
        upstream=_opener(supplies.upstream(one.provider_id), around),
        ids=supplies.ids,
        clock=supplies.clock,
        log=logging.getLogger(f"specstack.providers.{one.provider_id}"),
        cache_dir=supplies.cache_dir,
        kv=kv,
        calls=supplies.calls(one.provider_id),
    )
    provider = await _step(one, "create", lambda: create(one.config, deps), limit)
    protocol = load_reference(entry.protocol or "")
    faults = faults_of(provider, one.spec, protocol)
    if faults:
        raise StartupError(
            *(f"{one.where}: {describe(one)}: {fault} [{one.spec.module}]" for fault in faults)
        )
    try:
        await _step(one, "start", provider.start, limit)
    except StartupError:
        await stop(Running(one, provider))
        raise
    return Running(one, provider)


async def stop(running: Running, limit: float = STOP_LIMIT) -> None:
    """Stop a provider; what goes wrong is logged, for the others must stop too."""
    name = describe(running.configured)
    try:
        async with asyncio.timeout(limit):
            await running.provider.stop()
    except TimeoutError:
        _log.warning("%s did not stop within %g s", name, limit)
    except BaseException as error:
        if not is_failure(error):
            raise
        _log.exception("%s failed to stop", name)


def _opener(
    opened: Callable[[UpstreamSettings], Upstream], around: Around | None
) -> Callable[[UpstreamSettings], Upstream]:
    return opened if around is None else lambda settings: around(opened(settings), settings)


def _creator(one: ConfiguredProvider) -> Callable[..., Awaitable[Any]]:
    try:
        module = import_module(one.spec.module)
    except ImportError as error:
        raise _missing(one, error) from None
    except BaseException as error:
        if not is_failure(error):
            raise
        raise _failed(one, "import", error) from error
    create = getattr(module, "create", None)
    if not inspect.iscoroutinefunction(create):
        raise StartupError(f"{one.where}: {one.spec.module} has no `async def create(config, deps)`; add it")
    return create


async def _step(one: ConfiguredProvider, what: str, begin: Callable[[], Awaitable[T]], limit: float) -> T:
    try:
        async with asyncio.timeout(limit):
            return await begin()
    except TimeoutError:
        message = f"{one.where}: {describe(one)} did not {what} within {limit:g} s"
        raise StartupError(message) from None
    except ImportError as error:
        raise _missing(one, error) from None
    except BaseException as error:
        if not is_failure(error):
            raise
        raise _failed(one, what, error) from error


def _missing(one: ConfiguredProvider, error: ImportError) -> StartupError:
    """A package that is not installed, or a module of the provider that is not there."""
    spec: ProviderSpec = one.spec
    package = (error.name or "").partition(".")[0]
    ours = spec.module.partition(".")[0]
    if package == ours or not package:
        reason = redactor.clean(str(error), prose=True)
        return StartupError(f"{one.where}: {describe(one)} cannot be imported: {reason}")
    if spec.extra:
        needs = f"needs the extra \"{spec.extra}\": pip install 'specstack[{spec.extra}]'"
    else:
        needs = f"needs the package {package}: pip install {package}"
    return StartupError(f"{one.where}: provider {spec.provider_type} {needs}")


def _failed(one: ConfiguredProvider, what: str, error: BaseException) -> StartupError:
    if isinstance(error, StartupError):
        return StartupError(*(redactor.clean(line, prose=True) for line in error.lines))
    _log.debug("%s failed to %s", describe(one), what, exc_info=error)
    reason = redactor.clean(" ".join(str(error).split()), prose=True) or type(error).__name__
    if not isinstance(error, ApiError | OSError | ValueError | RuntimeError):
        reason = f"{type(error).__name__}: {reason}"
    return StartupError(f"{one.where}: {describe(one)} did not {what}: {reason}")
