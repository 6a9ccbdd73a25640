"""The conformance kit: what any provider must do, whoever wrote it.

    pytest --pyargs specstack.testing.conformance --specstack-provider my-config.yaml

Each provider of the run config is asked every operation that its spec file says it can, with the example
requests of the API's spec, in this process and with every reply checked against the spec. `--specstack-id`
chooses one provider, `--specstack-resource` the resource to ask for. With `--inference-mode` recordings
answer for what the provider asks.
"""

import asyncio
import json
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module, util
from typing import Any, cast
from urllib.parse import quote

import httpx
import pytest

from specstack.assembly import SERVER, Application, build
from specstack.config import ConfiguredProvider, RunConfig, load_config
from specstack.descriptors import GeneratedServer
from specstack.distributions import find_distribution
from specstack.inprocess import AsyncTransport
from specstack.recorder.modes import mode_of
from specstack.resolver import STOP_LIMIT, Running
from specstack.startup import StartupError
from specstack.testing.cases import Case
from specstack_wire import RequestContext

_AT_ONCE = 4
_DISCOVERY_SECONDS = 30.0
_NONE = "there-is-none-of-this-name"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each provider, or for each of its operations."""
    if not {"asked", "named"} & set(metafunc.fixturenames):
        return
    config = run_config(metafunc.config)
    chosen: str | None = metafunc.config.getoption("specstack_id")
    providers = [one for one in config.providers if chosen in (None, one.provider_id)]
    if not providers:
        known = ", ".join(one.provider_id for one in config.providers)
        raise pytest.UsageError(
            f"--specstack-id {chosen}: no such provider in {config.file}; there are: {known}"
        )
    if "named" in metafunc.fixturenames:
        metafunc.parametrize("named", providers, ids=[one.provider_id for one in providers])
        return
    found = [(one, case) for one in providers for case in cases_of(one, config.server)]
    if "streamed" in metafunc.function.__name__:
        found = [(one, case) for one, case in found if case.operation.stream is not None]
    elif "unknown" in metafunc.function.__name__:
        found = [(one, case) for one, case in found if case.key is not None]
    ids = [f"{one.provider_id}-{case.operation.name}" for one, case in found]
    metafunc.parametrize("asked", found, ids=ids)


def run_config(config: pytest.Config) -> RunConfig:
    """The run config that the option names."""
    given: str | None = config.getoption("specstack_provider")
    if given is None:
        raise pytest.UsageError("name a run config with the provider: --specstack-provider my-config.yaml")
    try:
        return load_config(find_distribution(given).path, SERVER)
    except StartupError as error:
        raise pytest.UsageError("\n".join(error.lines)) from None


def cases_of(provider: ConfiguredProvider, server: GeneratedServer) -> list[Case]:
    """The cases of the operations that a provider says it can, of its API's package or one from outside."""
    for one in (server, *server.external):
        package = one.providers.partition(".")[0]
        name = f"{package}.conformance.{provider.api}"
        if util.find_spec(f"{package}.conformance") is None or util.find_spec(name) is None:
            continue
        cases = cast("tuple[Case, ...]", import_module(name).CASES)
        return [case for case in cases if case.operation.name in provider.spec.capabilities]
    return []


@dataclass(slots=True)
class Server:
    """A running server, asked from tests that know no event loop."""

    app: Application
    client: httpx.AsyncClient
    runner: asyncio.Runner
    wanted: str | None
    recorder: Any
    timeout: float

    @classmethod
    def of(cls, app: Application, runner: asyncio.Runner, config: pytest.Config, recorder: Any) -> "Server":
        """The server, started and told what its providers have. Fails the test where it does not start."""
        try:
            runner.run(app.start())
        except StartupError as error:
            pytest.fail("\n".join(error.lines), pytrace=False)
        runner.run(app.runtime.discover(_DISCOVERY_SECONDS))
        client = httpx.AsyncClient(transport=AsyncTransport(app), base_url="http://localhost", timeout=600)
        wanted: str | None = config.getoption("specstack_resource")
        seconds = float(str(config.getoption("specstack_timeout")))
        return cls(app, client, runner, wanted, recorder, seconds)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What comes of work on the server's event loop."""
        return self.runner.run(work)

    def running(self, provider: str) -> Running:
        """A provider of the run config as it runs."""
        return next(one for one in self.app.runtime.running if one.configured.provider_id == provider)

    def resource(self, provider: str, case: Case) -> str:
        """The id of a resource of the provider that the operation can use; skips if there is none."""
        found = self.found(provider, case)
        if found is not None:
            return found
        needs = "".join(f" with {name} {' or '.join(values)}" for name, values in case.requires.items())
        pytest.skip(
            f"the provider {provider} has no {case.resource}{needs}; name one with --specstack-resource"
        )

    def found(self, provider: str, case: Case) -> str | None:
        """The same; "" for an operation that names no resource, None if there is none."""
        if case.resource is None:
            return ""
        table = self.app.runtime.table(case.resource)
        for entry in self.run(table.entries(RequestContext("conformance"))):
            fits = all(entry.attributes.get(name) in values for name, values in case.requires.items())
            if entry.provider_id == provider and fits and self.wanted in (None, entry.identifier):
                return entry.identifier
        return None

    def ask(self, case: Case, resource: str, **fields: Any) -> httpx.Response:
        """The reply to the case's request."""
        return self.run(self.asking(case, resource, **fields))

    async def asking(self, case: Case, resource: str, **fields: Any) -> httpx.Response:
        """`ask`, for several at once."""
        method, path, options = request_of(case, resource, **fields)
        try:
            async with asyncio.timeout(self.timeout):
                return await self.client.request(method, path, **options)
        except TimeoutError:
            pytest.fail(
                f"{method} {path} has not come to its end within {self.timeout:g} s (--specstack-timeout)"
            )


def request_of(case: Case, resource: str, **fields: Any) -> tuple[str, str, dict[str, Any]]:
    """Method, path and the rest of a case's request for a resource, with some fields of the body changed."""
    params = dict(case.params)
    body: Any = case.body
    if isinstance(body, dict):
        body = {**cast("dict[str, Any]", body), **fields}
    if case.key is not None:
        location, name = case.key
        if location == "body":
            body = {**body, name: resource}
        else:
            params[location, name] = resource
    path = case.operation.path
    greedy = {param.name for param in case.operation.params if param.greedy}
    for (location, name), value in params.items():
        if location == "path":
            path = path.replace("{" + name + "}", quote(value, safe="/" if name in greedy else ""))
    query = {name: value for (location, name), value in params.items() if location == "query"}
    headers = {name: value for (location, name), value in params.items() if location == "header"}
    options: dict[str, Any] = {"params": query, "headers": headers}
    if body is not None:
        options["json"] = body
    return case.operation.method, path, options


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The server of the run config."""
    asked: str | None = request.config.getoption("inference_mode")
    recorder: Any = None
    if mode_of(asked) is not None:
        recorder = request.getfixturevalue("recorder")
    app = build(run_config(request.config), recorder=recorder, validating=True)
    with asyncio.Runner() as runner:
        found = Server.of(app, runner, request.config, recorder)
        yield found
        runner.run(found.client.aclose())
        runner.run(app.stop())


Asked = tuple[ConfiguredProvider, Case]


def test_it_answers(server: Server, asked: Asked) -> None:
    """The example request is answered as the spec says; the reply names the resource as the caller did."""
    provider, case = asked
    resource = server.resource(provider.provider_id, case)
    fields = {case.stream: False} if case.stream else {}
    reply = server.ask(case, resource, **fields)
    assert reply.status_code == case.operation.reply.status, reply.text
    if case.names_resource and reply.content:
        named: Mapping[str, Any] = reply.json()
        assert {name: named[name] for name in case.names_resource if name in named} == dict.fromkeys(
            [name for name in case.names_resource if name in named], resource
        )


def test_it_answers_streamed(server: Server, asked: Asked) -> None:
    """A stream has events that the spec allows, each naming the resource, and ends as the spec says."""
    provider, case = asked
    stream = case.operation.stream
    assert stream is not None
    resource = server.resource(provider.provider_id, case)
    fields = {case.stream: True} if case.stream else {}
    reply = server.ask(case, resource, **fields)
    assert reply.status_code == case.operation.reply.status, reply.text
    events = list(events_of(reply.text, sse=stream.media == "text/event-stream"))
    if stream.end is not None:
        assert events.pop() == stream.end, "the stream does not end as it should"
    assert events, "there is no event"
    for event in map(json.loads, events):
        assert "error" not in event or event["error"] is None, event
        assert all(event[name] == resource for name in case.names_resource if name in event), event


def events_of(text: str, *, sse: bool) -> Iterator[str]:
    """The data of each event."""
    if not sse:
        yield from filter(None, text.splitlines())
        return
    for block in text.replace("\r\n", "\n").split("\n\n"):
        lines = [line[5:].removeprefix(" ") for line in block.splitlines() if line.startswith("data:")]
        if lines:
            yield "\n".join(lines)


def test_an_unknown_resource_is_refused(server: Server, asked: Asked) -> None:
    """An id that names neither a resource nor a provider reaches nobody: the error is the resource's own."""
    _, case = asked
    assert case.resource is not None
    missing = server.app.runtime.table(case.resource).resource.not_found
    reply = server.ask(case, _NONE)
    assert reply.status_code == getattr(missing, "status", 404), reply.text


def test_an_unknown_resource_of_the_provider(server: Server, asked: Asked) -> None:
    """An id under the provider's own name may be handed to it as it is.

    Who tells which resources it has must refuse one that it does not have, by an error that is the caller's
    fault. Who does not may take any id, but must not fail over it.
    """
    provider, case = asked
    assert case.resource is not None
    resource = server.app.runtime.table(case.resource).resource
    fields = {case.stream: False} if case.stream else {}
    reply = server.ask(case, f"{provider.provider_id}/{_NONE}", **fields)
    refused = 400 <= reply.status_code < 500
    if resource.discover in provider.spec.capabilities:
        told = f"{provider.provider_id} has the capability `{resource.discover}`, so it knows its own ids"
        assert refused, f"{told}, and yet it answers for another: {reply.text}"
    else:
        assert refused or reply.status_code == case.operation.reply.status, reply.text


def test_several_at_once(server: Server, asked: Asked) -> None:
    """Calls at the same time do not disturb each other."""
    provider, case = asked
    resource = server.resource(provider.provider_id, case)
    fields = {case.stream: False} if case.stream else {}

    async def all_of_them() -> list[httpx.Response]:
        return await asyncio.gather(*(server.asking(case, resource, **fields) for _ in range(_AT_ONCE)))

    statuses = {reply.status_code for reply in server.run(all_of_them())}
    # Who is full may say so, if it says so.
    assert statuses <= {case.operation.reply.status, 429, 503} and case.operation.reply.status in statuses


def test_it_tells_how_it_is(server: Server, named: ConfiguredProvider) -> None:
    """Health comes within its time limit and is no error while the provider answers."""
    for _, health in server.run(server.app.runtime.health([server.running(named.provider_id)])):
        assert health.status in ("ok", "unknown"), health.message


def test_it_tells_what_it_has(server: Server, named: ConfiguredProvider) -> None:
    """A provider with the capability that lists its resources gives a list that the spec allows.

    A server goes on without a list that fails, so this alone shows it.
    """
    provider = server.running(named.provider_id).provider

    async def all_lists() -> None:
        for name in server.app.runtime.server.apis[named.api].routed_by:
            table = server.app.runtime.table(name)
            if table.resource.discover in named.spec.capabilities:
                async with asyncio.timeout(_DISCOVERY_SECONDS):
                    await table.discover(RequestContext("conformance"), provider)

    server.run(all_lists())


def test_it_starts_again(server: Server, named: ConfiguredProvider, pytestconfig: pytest.Config) -> None:
    """The provider can be started a second time in the same process, beside the first, and stopped.

    The second one answers, and when it has stopped, within its time limit and without an error, the first
    still does.
    """
    app = build(server.app.config, recorder=server.recorder, validating=True)
    again = Server.of(app, server.runner, pytestconfig, server.recorder)
    try:
        _answers_something(again, named)
    finally:
        second = again.running(named.provider_id)
        again.app.runtime.running.remove(second)  # the server would only log what goes wrong
        server.run(_stop(second))
        server.run(again.client.aclose())
        server.run(app.stop())
    _answers_something(server, named)


def _answers_something(server: Server, named: ConfiguredProvider) -> None:
    """Ask the first operation that the provider has a resource for, if there is one."""
    for case in cases_of(named, server.app.config.server):
        resource = server.found(named.provider_id, case)
        if resource is not None:
            reply = server.ask(case, resource, **({case.stream: False} if case.stream else {}))
            assert reply.status_code == case.operation.reply.status, reply.text
            return


async def _stop(running: Running) -> None:
    try:
        async with asyncio.timeout(STOP_LIMIT):
            await running.provider.stop()
    except TimeoutError:
        pytest.fail(f"{running.configured.provider_id} did not stop within {STOP_LIMIT:g} s")
