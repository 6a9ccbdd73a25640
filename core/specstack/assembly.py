"""A server from a run config: providers started, generated routers mounted, models warm."""

import asyncio
import logging
import os
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from specstack import logs
from specstack.access_log import NAME, AccessLog, Lines
from specstack.auth import auth_provider
from specstack.auth.hook import authentication
from specstack.config import RunConfig, load_reference
from specstack.descriptors import GeneratedServer, Operation
from specstack.external.documents import documents
from specstack.http import ErrorTable, Hook, HttpSettings, ObserverFor, SpecApp, build_app
from specstack.http.app import BUNDLE_PATH
from specstack.http.cors import Cors, CorsRules
from specstack.http.dispatch import AsgiApp, Receive, Scope
from specstack.http.reply import Send
from specstack.keeping import admission, observing_kept, watch_kept
from specstack.recorder.modes import mode_of
from specstack.resolver import Supplies
from specstack.runtime import Runtime
from specstack.sources import RandomIds, SystemClock, cache_dir
from specstack.startup import StartupError
from specstack.upstream import UpstreamPool
from specstack_server import SERVER as SERVER
from specstack_wire import codec_of

if TYPE_CHECKING:
    from specstack.quota import Gate
    from specstack.recorder.recorder import Recorder
    from specstack.workers.seat import Seat

_OFF = ("", "0", "false", "no", "off")
VALIDATING = os.environ.get("SPECSTACK_VALIDATE_REPLIES", "").lower() not in _OFF
"""Whether every reply is checked against the spec, for tests (see `specstack.testing.validator`)."""

_log = logging.getLogger("specstack")


class Application:
    """An ASGI app that starts its providers with its lifespan, or by `start` where nobody runs that.

    `runtime` and `http` exist from then on. Who serves with several processes says before the start which
    `seat` this one has.
    """

    def __init__(
        self, config: RunConfig, recorder: "Recorder | None" = None, *, validating: bool = VALIDATING
    ) -> None:
        self.config = config
        self.server = config.server
        self.seat: Seat | None = None
        self._auth = auth_provider(config.stack.server.auth)
        self._cors = CorsRules.of(config.stack.server.cors)
        self._recorder = recorder
        self._validating = validating
        self._runtime: Runtime | None = None
        self._http: SpecApp | None = None
        self._front: AsgiApp | None = None
        self._gate: Gate | None = None
        self._lines: Lines | None = None
        self._ending: asyncio.Task[None] | None = None

    @property
    def runtime(self) -> Runtime:
        """The running parts. Raises RuntimeError before the start."""
        if self._runtime is None:
            raise RuntimeError("the application has not started")
        return self._runtime

    @property
    def http(self) -> SpecApp:
        """The HTTP side alone. Raises RuntimeError before the start."""
        if self._http is None:
            raise RuntimeError("the application has not started")
        return self._http

    @property
    def front(self) -> AsgiApp:
        """The HTTP side as browsers of other sites may see it. Raises RuntimeError before the start."""
        if self._front is None:
            raise RuntimeError("the application has not started")
        return self._front

    @property
    def recording(self) -> bool:
        """Whether calls are recorded, or answered from recordings."""
        return self._recorder is not None

    async def start(self) -> None:
        """Start providers, fill tables, mount routers, unless that is done. Raises StartupError."""
        if self._runtime is not None:
            return
        logs.keep_secrets(self.config, self)
        logs.guard_others()
        self._runtime = await Runtime.start(self.config, self.server, self._supplies())
        try:
            if self._auth is not None:
                await self._auth.start()
            self._http = self._mounted(self._runtime)
            self._front = self._fronted(self._http)
        except BaseException:
            await self.stop()
            raise

    def retire(self) -> None:
        """Say from now on that the server is not ready, and serve on."""
        if self._runtime is not None:
            self._runtime.phase = "stopping"

    async def stop(self) -> None:
        """Stop providers and close connections; streams under way end with an error event.

        `start` makes everything anew. Whoever asks meanwhile waits too, and who is cancelled ends nothing:
        what waits to be written is written.
        """
        runtime, self._runtime = self._runtime, None
        if runtime is not None:
            self._ending = asyncio.get_running_loop().create_task(self._end(runtime), name="stop the parts")
        if self._ending is not None:
            await asyncio.shield(self._ending)

    async def _end(self, runtime: Runtime) -> None:
        if self._auth is not None:
            await self._auth.stop()
        if self._gate is not None:
            await self._gate.aclose()
        await runtime.stop()
        if self._lines is not None:
            self._lines.stop()
            self._lines = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, or the lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        else:
            await self.front(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        try:
            await self.start()
        except StartupError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        first = iter((message,))

        async def replay() -> Any:
            for early in first:
                return early
            return await receive()

        await self.http(scope, replay, send)

    def _supplies(self) -> Supplies:
        recorder = self._recorder
        if recorder is None:
            return Supplies(UpstreamPool(), RandomIds(), SystemClock(), cache_dir(), seat=self.seat)
        return Supplies(UpstreamPool(), recorder.ids, recorder.clock, cache_dir(), recorder)

    def _mounted(self, runtime: Runtime) -> SpecApp:
        served = runtime.served()
        routers = [load_reference(entry.router)(runtime.api(entry.name)) for entry in served]
        _warm(runtime.operations())
        settings = self.config.stack.server
        errors = ErrorTable.from_module(
            import_module(self.server.errors), *(import_module(one.errors) for one in self.server.external)
        )
        watch_kept(runtime)
        hooks: list[Hook] = []
        observers = [*runtime.telemetry.observers, *self._observers(), observing_kept(runtime)]
        if self._auth is not None:
            hooks.append(authentication(self._auth, errors))
        self._gate = self._quota(runtime, errors)
        if self._gate is not None:
            from specstack.quota import token_counter

            hooks.append(self._gate)
            observers.append(token_counter(self._gate))
        hooks += admission(runtime)
        observers += self._access_log(runtime)
        return build_app(
            routers,
            settings=HttpSettings(
                errors=errors,
                body_limit=settings.body_limit_bytes,
                request_timeout=settings.request_timeout_seconds,
                hooks=tuple(hooks),
                observers=tuple(observers),
            ),
            documents=documents(self.server),
            startup=_nothing,
            shutdown=self.stop,
        )

    def _observers(self) -> tuple[ObserverFor, ...]:
        if not self._validating:
            return ()
        from specstack.testing.validator import noting

        return (noting,)

    def _quota(self, runtime: Runtime, errors: ErrorTable) -> "Gate | None":
        """What counts calls; None where the run config limits nobody."""
        settings = self.config.stack.server.quota
        if not (settings.anonymous or settings.authenticated or settings.tenant):
            return None
        from specstack.quota import gate_of

        for name in ("authenticated", "tenant"):
            if self._auth is None and getattr(settings, name):
                _log.warning("server.quota.%s limits nobody: without server.auth, no caller is known", name)
        store = runtime.storage.kv("quota")
        # Windows follow the machine's clock; that of a recording stands still.
        return gate_of(settings, store, runtime.operations(), errors, SystemClock())

    def _fronted(self, app: SpecApp) -> AsgiApp:
        front: AsgiApp = app
        if self._validating:
            from specstack.testing.validator import Validated

            front = Validated(app, documents(self.server)[BUNDLE_PATH])
        return front if self._cors is None else Cors(front, self._cors)

    def _access_log(self, runtime: Runtime) -> tuple[ObserverFor, ...]:
        """What notes every call, if this process has set up its log so."""
        style = logs.style()
        if style is None or not logging.getLogger(NAME).isEnabledFor(logging.INFO):
            return ()
        lines = self._lines = Lines()
        runtime.telemetry.meters.watch("log_dropped", lambda: [((), float(lines.dropped))])
        return (AccessLog(lines, style, logs.process()).observer_for,)


def build(
    config: RunConfig, *, recorder: "Recorder | None" = None, validating: bool = VALIDATING
) -> Application:
    """The app that serves `config`. It starts with its lifespan, or with `await app.start()`.

    Without a `recorder` the environment says whether calls are recorded. `validating` checks every reply
    against the spec, for tests. Raises StartupError where the environment asks for a mode that there is not.
    """
    return Application(config, recorder or _recorder(config.server), validating=validating)


def _recorder(server: GeneratedServer) -> "Recorder | None":
    try:
        mode = mode_of(None)
    except ValueError as error:
        raise StartupError(str(error)) from None
    if mode is None or mode == "live":
        return None
    from specstack.recorder.recorder import from_environment

    return from_environment(import_module(server.errors))


async def _nothing() -> None:
    """The application has started before its HTTP side exists."""


def _warm(operations: Iterable[Operation]) -> None:
    """Build the validators that the operations need, so that no first request pays for it."""
    for op in operations:
        models: list[Any] = [op.params_model, op.reply.model]
        models.append(op.body.model if op.body else None)
        models.append(op.stream.item if op.stream else None)
        models.extend(variant.model for variant in op.variants)
        if op.websocket:
            models.extend((op.websocket.receive, op.websocket.send))
        for model in models:
            if model is not None:
                codec_of(model)
