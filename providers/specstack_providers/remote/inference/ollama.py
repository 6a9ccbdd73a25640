"""An Ollama server, through its OpenAI-style endpoints and its own list of pulled models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from specstack_api.provider_config.inference.remote_ollama import RemoteOllamaConfig
from specstack_providers.remote.inference.discovery import entries
from specstack_providers.remote.inference.openai_compatible import OpenAICompatible, Traits
from specstack_wire import Deps, RequestContext, UpstreamError


class Ollama(OpenAICompatible):
    """Ollama's own list tells a model's family, and with it embedding models whose name does not."""

    def __init__(self, config: RemoteOllamaConfig, deps: Deps) -> None:
        super().__init__(config, Traits(config.api_key), deps)
        root = config.base_url.rstrip("/").removesuffix("/v1")
        self._root = deps.upstream(replace(self._settings, base_url=root))

    async def stop(self) -> None:
        await self._root.aclose()
        await super().stop()

    async def _listed(self, ctx: RequestContext) -> list[dict[str, Any]]:
        try:
            reply = await self._root.request(ctx, "GET", "api/tags", headers=self._headers_for(ctx))
        except UpstreamError as error:
            raise self._errors.failed(error) from error
        if reply.status != 200:  # a gateway that lets only the OpenAI-style paths through
            return await super()._listed(ctx)
        return [_typed(entry) for entry in entries(self._parsed(self._checked(ctx, reply)))]


def _typed(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry, with `type: embedding` if its family is one of encoders, such as `bert` or `nomic-bert`."""
    details = entry.get("details")
    family = cast(dict[str, Any], details).get("family") if isinstance(details, dict) else None
    return {**entry, "type": "embedding"} if isinstance(family, str) and "bert" in family else entry


async def create(config: RemoteOllamaConfig, deps: Deps) -> Ollama:
    """The provider of one Ollama server."""
    return Ollama(config, deps)
