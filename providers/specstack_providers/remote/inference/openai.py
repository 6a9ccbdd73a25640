"""OpenAI's own API."""

import re
from collections.abc import Mapping
from typing import Any, Final

from specstack_api.provider_config.inference.remote_openai import RemoteOpenaiConfig
from specstack_providers.remote.inference.openai_compatible import OpenAICompatible, Traits
from specstack_wire import Deps

# OpenAI lists models of all its APIs alike; these serve none of the operations that this provider has.
_OTHER_APIS: Final = re.compile(
    r"^(whisper|tts|dall-e|sora|gpt-image|chatgpt-image|omni-moderation|text-moderation)|-(tts|transcribe|realtime)\b"
)


class OpenAI(OpenAICompatible):
    """Announces only models for chat, completions and embeddings, unless the config names models."""

    def _admits(self, entry: Mapping[str, Any]) -> bool:
        if self._allowed is None and _OTHER_APIS.search(entry["id"]):
            return False
        return super()._admits(entry)


async def create(config: RemoteOpenaiConfig, deps: Deps) -> OpenAI:
    """The provider of OpenAI's API, or of what stands in for it at `base_url`."""
    return OpenAI(config, Traits(config.api_key, "openai_api_key"), deps)
