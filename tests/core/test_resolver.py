"""Start-up: order, dependencies, checks, time limits, and one readable line per failure."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest

from core import toy
from specstack import resolver, runtime
from specstack.config import read_config
from specstack.descriptors import ProviderSpec
from specstack.resolver import Supplies
from specstack.runtime import Runtime
from specstack.sources import RandomIds, SystemClock
from specstack.startup import StartupError
from specstack.upstream import UpstreamPool
from specstack_wire import Deps, Request, RequestContext
from support.storage import no_storage

CTX = RequestContext(request_id="r")


@pytest.fixture(autouse=True)
def working() -> Iterator[None]:
    toy.Toy.log.clear()
    toy.module("toy_provider", toy.create)
    yield
    toy.module("toy_provider", None)


def config(providers: dict[str, list[str]], rest: str = "") -> str:
    """A run config: per API, `id type [more]`."""
    lines = ["version: 2", "distro_name: toys", "providers:"]
    for api, items in providers.items():
        lines.append(f"  {api}:")
        for item in items:
            provider_id, type_, *more = item.split(" ", 2)
            fields = [f"provider_id: {provider_id}", f"provider_type: {type_}", *more]
            lines.append(f"    - {{{', '.join(fields)}}}")
    return "\n".join([*lines, rest])


async def started(specs: list[ProviderSpec], text: str) -> Runtime:
    server = toy.server(specs)
    supplies = Supplies(UpstreamPool(), RandomIds(), SystemClock(), Path("/nowhere"))
    return await Runtime.start(read_config(text, "run.yaml", server, {}), server, supplies)


async def failure(specs: list[ProviderSpec], text: str) -> str:
    with pytest.raises(StartupError) as caught:
        await started(specs, text)
    return str(caught.value)


async def test_providers_start_after_what_they_need_and_stop_in_reverse() -> None:
    specs = [
        toy.spec("alone", "a", requires=("other",), optional=("routed",)),
        toy.spec("other", "o"),
        toy.spec("routed", "r", requires=("other",)),
    ]
    found = await started(specs, config({"alone": ["one a"], "routed": ["two r"], "other": ["three o"]}))
    assert [one for one in toy.Toy.log if one.startswith("start")] == [
        "start three",
        "start two",
        "start one",
    ]
    deps = found.providers("alone")["one"].deps
    assert {name: type(api).__name__ for name, api in deps.apis.items()} == {
        "other": "ToysRouter",
        "routed": "ToysRouter",
    }
    assert deps.apis["other"] is found.api("other")
    toy.Toy.log.clear()
    await found.stop()
    assert toy.Toy.log == ["stop one", "stop two", "stop three"]


async def test_an_optional_api_that_nobody_serves_is_absent() -> None:
    found = await started([toy.spec("alone", "a", optional=("other",))], config({"alone": ["one a"]}))
    assert found.providers("alone")["one"].deps.apis == {}


async def test_an_api_that_manages_a_table_needs_what_the_table_routes_to() -> None:
    specs = [toy.spec("alone", "a", requires=("catalogue",)), toy.spec("routed", "r")]
    await started(specs, config({"alone": ["one a"], "routed": ["two r"]}))
    assert toy.Toy.log == ["create two", "start two", "create one", "start one"]


async def test_siblings_are_the_others_as_they_are_now() -> None:
    text = config({"alone": ["one a default: true", "two a"]})
    found = await started([toy.spec("alone", "a")], text)
    one, two = (found.providers("alone")[name] for name in ("one", "two"))
    assert dict(one.deps.siblings) == {"two": two}
    assert dict(two.deps.siblings) == {"one": one}
    assert found.default_provider("alone") is one


async def test_a_missing_api() -> None:
    specs = [toy.spec("alone", "a", requires=("catalogue",)), toy.spec("routed", "r")]
    assert await failure(specs, config({"alone": ["one a"]})) == (
        "run.yaml:5: providers.alone[0]: provider 'one' (a) needs the API catalogue; "
        "add a provider to providers.routed"
    )


async def test_a_cycle_is_shown() -> None:
    specs = [
        toy.spec("alone", "a", requires=("other",)),
        toy.spec("other", "o", requires=("routed",)),
        toy.spec("routed", "r", requires=("alone",)),
    ]
    text = config({"alone": ["one a"], "other": ["two o"], "routed": ["three r"]})
    assert await failure(specs, text) == (
        "run.yaml:5: providers.alone[0]: these providers need each other in a circle: "
        "alone/one -> other/two -> routed/three -> alone/one; take one of them out"
    )
    assert toy.Toy.log == []


async def test_only_what_the_served_apis_need_is_started() -> None:
    specs = [toy.spec("alone", "a", requires=("other",)), toy.spec("other", "o"), toy.spec("routed", "r")]
    text = config({"alone": ["one a"], "other": ["two o"], "routed": ["three r"]}, "apis: [alone]")
    found = await started(specs, text)
    assert [one.configured.provider_id for one in found.running] == ["two", "one"]
    assert [entry.name for entry in found.served()] == ["alone", "always"]


async def test_what_is_served() -> None:
    specs = [toy.spec("alone", "a"), toy.spec("routed", "r")]
    found = await started(specs, config({"routed": ["one r"]}))
    assert [entry.name for entry in found.served()] == ["routed", "catalogue", "always"]
    found = await started(specs, config({"routed": ["one r"], "alone": ["two a"]}, "apis: [routed]"))
    assert [entry.name for entry in found.served()] == ["routed", "catalogue", "always"]


async def test_a_package_that_is_not_installed() -> None:
    async def needs_xllamacpp(config: toy.Config, deps: Deps) -> Any:
        import xllama_not_there  # type: ignore  # noqa: F401

    toy.module("toy_provider", needs_xllamacpp)
    text = config({"alone": ["one inline::llama-cpp"]})
    assert await failure([toy.spec("alone", "inline::llama-cpp", extra="llama-cpp")], text) == (
        'run.yaml:5: providers.alone[0]: provider inline::llama-cpp needs the extra "llama-cpp": '
        "pip install 'specstack[llama-cpp]'"
    )
    assert await failure([toy.spec("alone", "inline::llama-cpp")], text) == (
        "run.yaml:5: providers.alone[0]: provider inline::llama-cpp needs the package xllama_not_there: "
        "pip install xllama_not_there"
    )


async def test_a_module_that_is_not_there_or_has_no_create() -> None:
    text = config({"alone": ["one a"]})
    assert await failure([toy.spec("alone", "a", module="toy_absent")], text) == (
        "run.yaml:5: providers.alone[0]: provider 'one' (a) cannot be imported: No module named 'toy_absent'"
    )
    toy.module("toy_provider", None)
    assert await failure([toy.spec("alone", "a")], text) == (
        "run.yaml:5: providers.alone[0]: toy_provider has no `async def create(config, deps)`; add it"
    )
    toy.module("toy_provider", lambda config, deps: None)
    assert "has no `async def create(config, deps)`" in await failure([toy.spec("alone", "a")], text)


class NotAsync(toy.Toy):
    def play(self, ctx: Any, request: Any) -> Any: ...


class WrongParameters(toy.Toy):
    async def play(self, request: Any) -> Any: ...


class NotImplementing(toy.Toys):
    pass


class OfNoFamily:
    async def play(self, ctx: Any, request: Any) -> Any: ...


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: NotAsync, "create returned the class NotAsync, not an instance of it"),
        (lambda: object.__new__(NotAsync), "play is not declared with `async def`"),
        (lambda: object.__new__(WrongParameters), "play(request: Any) -> Any does not take (ctx, request)"),
        (lambda: NotImplementing(), "it does not implement play, which its spec lists as a capability"),
        (lambda: OfNoFamily(), "it has no method start; inherit from Toys"),
    ],
)
async def test_an_implementation_that_does_not_keep_its_protocol(made: Any, message: str) -> None:
    async def wrong(config: toy.Config, deps: Deps) -> Any:
        return made()

    toy.module("toy_provider", wrong)
    found = await failure([toy.spec("alone", "a")], config({"alone": ["one a"]}))
    assert found.splitlines()[0] == (
        f"run.yaml:5: providers.alone[0]: provider 'one' (a): {message} [toy_provider]"
    )


async def test_a_capability_that_the_protocol_does_not_have() -> None:
    found = await failure([toy.spec("alone", "a", capabilities=("sing",))], config({"alone": ["one a"]}))
    assert "its spec lists the capability sing, which Toys does not have" in found


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("base_url must be\na whole URL"), "base_url must be a whole URL"),
        (KeyError("x"), "KeyError: 'x'"),
        (RuntimeError(), "RuntimeError"),
        (asyncio.CancelledError(), "CancelledError: CancelledError"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
@pytest.mark.parametrize("when", ["create", "start"])
async def test_a_failure_is_one_line_and_stops_what_ran(error: BaseException, reason: str, when: str) -> None:
    class Failing(toy.Toy):
        async def start(self) -> None:
            raise error

    async def failing(config: toy.Config, deps: Deps) -> Any:
        if when == "create":
            raise error
        return Failing(config, deps)

    toy.module("toy_failing", failing)
    specs = [toy.spec("alone", "a", module="toy_failing", requires=("other",)), toy.spec("other", "o")]
    found = await failure(specs, config({"alone": ["one a"], "other": ["two o"]}))
    assert found == f"run.yaml:5: providers.alone[0]: provider 'one' (a) did not {when}: {reason}"
    assert toy.Toy.log[-1] == "stop two"
    assert ("stop one" in toy.Toy.log) == (when == "start")


async def test_a_module_that_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy_leaving.py").write_text("import sys\nsys.exit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = await failure([toy.spec("alone", "a", module="toy_leaving")], config({"alone": ["one a"]}))
    assert found == "run.yaml:5: providers.alone[0]: provider 'one' (a) did not import: SystemExit: 3"


async def test_a_start_that_is_not_async() -> None:
    class Plain(toy.Toy):
        def start(self) -> Any:
            raise OSError("no wheels")

    async def plain(config: toy.Config, deps: Deps) -> Any:
        return Plain(config, deps)

    toy.module("toy_plain", plain)
    found = await failure([toy.spec("alone", "a", module="toy_plain")], config({"alone": ["one a"]}))
    assert found == "run.yaml:5: providers.alone[0]: provider 'one' (a) did not start: no wheels"


async def test_a_provider_that_does_not_get_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(toy.Toy):
        async def start(self) -> None:
            await asyncio.sleep(60)

    async def slow(config: toy.Config, deps: Deps) -> Any:
        return Slow(config, deps)

    toy.module("toy_provider", slow)
    server = toy.server([toy.spec("alone", "a")])
    (one,) = read_config(config({"alone": ["one a"]}), "run.yaml", server, {}).providers
    supplies = Supplies(UpstreamPool(), RandomIds(), SystemClock(), Path("/nowhere"))
    kv = no_storage()
    with pytest.raises(StartupError, match=r"provider 'one' \(a\) did not start within 0.1 s"):
        await resolver.start(one, server.apis["alone"], supplies, {}, {}, kv, limit=0.1)


async def test_a_provider_that_does_not_stop_holds_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    class Stuck(toy.Toy):
        async def stop(self) -> None:
            if self.deps.provider_id != "one":
                raise {"two": RuntimeError, "three": asyncio.CancelledError, "four": SystemExit}[
                    self.deps.provider_id
                ]
            await asyncio.sleep(60)

    async def stuck(config: toy.Config, deps: Deps) -> Any:
        return Stuck(config, deps)

    toy.module("toy_provider", stuck)
    text = config({"alone": ["one a default: true", "two a", "three a", "four a"]})
    found = await started([toy.spec("alone", "a")], text)
    with caplog.at_level(logging.WARNING):
        for running in found.running:
            await resolver.stop(running, limit=0.1)
    assert [one.message for one in caplog.records] == [
        "provider 'one' (a) did not stop within 0.1 s",
        "provider 'two' (a) failed to stop",
        "provider 'three' (a) failed to stop",
        "provider 'four' (a) failed to stop",
    ]


async def test_resources_of_the_run_config() -> None:
    specs = [toy.spec("routed", "r")]
    two = {"routed": ["one r", "two r"]}
    head = "registered_resources:\n  models:\n"
    found = await started(specs, config(two, head + "    - {model_id: m, provider_id: two}"))
    route = await found.table("toy").resolve(CTX, "m")
    reply = await route.provider.play(CTX, Request.of(None))
    assert reply.body == {"by": "two"}
    items = ["{model_id: m}", "{model_id: n, provider_id: three}", "{model_id: two/k}"]
    text = config(two, head + "".join(f"    - {item}\n" for item in items))
    where = "registered_resources.models"
    assert (await failure(specs, text)).splitlines() == [
        f"run.yaml:9: {where}[0]: Name the provider that the toy is for (providers: one, two).",
        f"run.yaml:10: {where}[1]: No provider 'three' serves models; there are: one, two.",
    ]


async def test_no_default_provider() -> None:
    found = await started([toy.spec("routed", "r")], config({"routed": ["one r", "two r"]}))
    with pytest.raises(StartupError, match=r"providers.routed: which of one, two serves .* `default: true`"):
        found.default_provider("routed")
    with pytest.raises(StartupError, match=r"the API alone has no provider; add one"):
        found.default_provider("alone")


async def test_health_is_asked_in_parallel_and_honest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "HEALTH_LIMIT", 0.2)
    text = config({"routed": ["a r", "b r config: {mood: slow}", "c r config: {mood: broken}", "d r", "e r"]})
    found = await started([toy.spec("routed", "r")], text)
    monkeypatch.setattr(found.running[3].provider, "health", AsyncMock(return_value=None))
    monkeypatch.setattr(found.running[4].provider, "health", AsyncMock(side_effect=asyncio.CancelledError))
    states = {one.configured.provider_id: health for one, health in await found.health(found.running)}
    assert {name: (one.status, one.message) for name, one in states.items()} == {
        "a": ("ok", ""),
        "b": ("error", "did not answer within 0.2 s"),
        "c": ("error", "RuntimeError: lost a wheel"),
        "d": ("error", "its health() returned NoneType, not a Health"),
        "e": ("error", "CancelledError: "),
    }
