"""The whole server as the contract tests see it: every API, with inference by a loopback model server.

The app is made anew each time that its lifespan begins, so that every test starts from the same state.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import httpx
import schemathesis
from fastapi import FastAPI

from specstack.assembly import build
from specstack.auth.keys import hash_of
from specstack.config import RunConfig, load_reference, read_config
from specstack.resolver import Supplies
from specstack.runtime import Runtime
from specstack.sources import RandomIds, SystemClock, cache_dir
from specstack.upstream import UpstreamPool
from specstack_api import errors
from specstack_codegen.bundle import load_spec
from specstack_codegen.source import plain
from specstack_server import SERVER
from specstack_wire import Scope
from support import loopback_replies as replies
from support import stored
from support.fresh import Asgi, Fresh
from support.fuzzing import Json, Known, codes_of, configuration, example_ids, settled
from support.loopback_upstream import LoopbackUpstream
from support.storage import fresh_file

SPEC: Final[Json] = plain(load_spec(Path(__file__).parents[2] / "spec").openapi)
"""The bundle with all its extensions."""
BUNDLE: Final[Json] = json.loads((files("specstack_api") / "openapi.json").read_bytes())
"""The bundle as it is published."""

# Two of a kind and no default, so that a registration without a provider is refused; the second has the name
# that the examples of the spec give.
PROVIDERS: Final = ("loopback", "ollama")
EXAMPLE_MODELS: Final = example_ids(SPEC, "model")
ANNOUNCED: Final = [Known(f"{PROVIDERS[0]}/{name}", {"model_type": kind}) for name, kind in replies.MODELS]
KNOWN: Final = {known.id: known for known in (*EXAMPLE_MODELS, *ANNOUNCED)}


def registration(known: Known) -> Json:
    """The body that registers a known model: whatever its name, the loopback server answers for it."""
    kind = known.attributes.get("model_type", "llm")
    prefix = known.id.partition("/")[0]
    return {
        "model_id": known.id,
        "provider_id": prefix if prefix in PROVIDERS else PROVIDERS[0],
        "provider_model_id": "echo",
        "model_type": kind,
    }


KEY: Final = "sk-the-key-of-the-fuzz"
_OWNER: Final = Scope(owner=f"key-{hash_of(KEY).partition(':')[2][:12]}")
"""Who bears the key."""


GENEROUS: Final = [{"per": "day", "requests": 10**9, "tokens": 10**12}]
"""Limits that count everything and refuse nothing."""


def run_config(
    upstream: LoopbackUpstream,
    announced: bool = True,
    keyed: bool = False,
    limits: Sequence[Json] = GENEROUS,
) -> RunConfig:
    """Every API, two providers at the loopback server; when `keyed`, for those who bear `KEY`.

    Without `announced`, for a loopback server that lists no models, the first takes registrations that name
    no provider. `limits` are those of callers with the key.
    """
    config: Json = {"base_url": upstream.base_url, "rerank_path": "rerank", "timeout_seconds": 20}
    entry = {"provider_type": "remote::openai-compatible", "config": config}
    providers: list[Json] = [{"provider_id": name, **entry} for name in PROVIDERS]
    providers[0]["default"] = not announced
    document: Json = {"version": 2, "distro_name": "contract", "providers": {"inference": providers}}
    document["storage"] = {
        "backends": {
            "kv_default": {"type": "kv_sqlite", "db_path": "kv.db"},
            "sql_default": {"type": "sql_sqlite", "db_path": "sql.db"},
        },
        # What was created can be fetched, whether that was asked for or not.
        "stores": {"inference": {"mode": "all"}},
    }
    document["telemetry"] = {"prometheus": True}
    if keyed:
        auth = {"provider_config": {"type": "api_keys", "plain_keys": KEY}}
        document["server"] = {"auth": auth, "quota": {"authenticated": list(limits)}}
    # What one app has registered, another does not know.
    return _stored_at(_read(json.dumps(document)), kv=fresh_file(), sql=stored.database([Scope(), _OWNER]))


@cache
def _read(document: str) -> RunConfig:
    """Read once: the search for installed packages takes a third of the time in which an app starts."""
    return read_config(document, "contract.yaml", SERVER, {})


def _stored_at(config: RunConfig, *, kv: str, sql: str) -> RunConfig:
    storage = config.stack.storage
    paths = {"kv_default": kv, "sql_default": sql}
    backends = {
        name: backend.model_copy(update={"db_path": paths[name]})
        for name, backend in (storage.backends or {}).items()
    }
    stack = config.stack.model_copy(update={"storage": storage.model_copy(update={"backends": backends})})
    return replace(config, stack=stack)


async def prepare(app: Asgi) -> None:
    """Register the models that the spec's examples name, as a client would."""
    async with client(app) as calls:
        for known in EXAMPLE_MODELS:
            (await calls.post("/v1/models", json=registration(known))).raise_for_status()


def client(app: Asgi) -> httpx.AsyncClient:
    """A client, with the key, of an app in this process whose lifespan runs already."""
    headers = {"authorization": f"Bearer {KEY}"}
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://testserver", headers=headers
    )


def whole(
    upstream: LoopbackUpstream,
    announced: bool = True,
    keyed: bool = False,
    limits: Sequence[Json] = GENEROUS,
) -> Fresh:
    """The app as `stack-serve` runs it; when `keyed`, for those who bear `KEY`, within their limits."""

    @asynccontextmanager
    async def started() -> AsyncIterator[Asgi]:
        app = build(run_config(upstream, announced, keyed, limits))
        await app.start()
        try:
            if limits is GENEROUS:
                await prepare(app)
            yield app
        finally:
            await app.stop()

    return Fresh(started)


def bare(upstream: LoopbackUpstream) -> Fresh:
    """The generated routers in a FastAPI app that knows nothing of ours."""

    @asynccontextmanager
    async def started() -> AsyncIterator[Asgi]:
        supplies = Supplies(UpstreamPool(), RandomIds(), SystemClock(), cache_dir())
        runtime = await Runtime.start(run_config(upstream), SERVER, supplies)
        app = FastAPI()
        for entry in runtime.served():
            app.include_router(load_reference(entry.router)(runtime.api(entry.name)))
        try:
            await prepare(app)
            yield app
        finally:
            await runtime.stop()

    return Fresh(started)


def schema_of(app: Fresh | str, keyed: bool = False, linked: bool = False) -> Any:
    """The published bundle, configured from the spec, for calls to `app` in this process, or at its URL.

    What it says of credentials holds for a server that is `keyed`. When `linked`, for sequences of calls to a
    server whose providers announce nothing, stored completions are asked for by the ids that its links give:
    a dictionary would take their place.
    """
    kept: dict[str, Sequence[str]] = {} if linked else {"path.completion_id": stored.IDS}
    config = configuration(
        SPEC,
        {"model": EXAMPLE_MODELS if linked else list(KNOWN.values())},
        values={
            "path.provider_id": PROVIDERS,
            "body.provider_id": PROVIDERS,
            **kept,
            "listChatCompletions.query.after": stored.IDS,
        },
        codes=codes_of(errors),
        auth={"BearerKey": {"bearer": KEY}} if keyed else None,
    )
    bundle = BUNDLE if keyed else {name: part for name, part in BUNDLE.items() if name != "security"}
    schema = schemathesis.openapi.from_dict(bundle, config=config)
    if isinstance(app, str):
        schema.config.update(base_url=app)
    else:
        schema.app = app
    settled(schema.config)
    return schema


def restore(schema: Any, model_id: str) -> None:
    """Put back a known model that a test has deleted."""
    if model_id in KNOWN:
        headers = {"authorization": f"Bearer {KEY}"}
        case = schema["/v1/models"]["POST"].Case(body=registration(KNOWN[model_id]), headers=headers)
        response = case.call()
        assert response.status_code == 200, response.text
