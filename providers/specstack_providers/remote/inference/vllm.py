"""A vLLM server: the family's ways, with reranking at vLLM's own path."""

from specstack_api.provider_config.inference.remote_vllm import RemoteVllmConfig
from specstack_providers.remote.inference.openai_compatible import OpenAICompatible, Traits
from specstack_wire import Deps


async def create(config: RemoteVllmConfig, deps: Deps) -> OpenAICompatible:
    """The provider of one vLLM server."""
    return OpenAICompatible(config, Traits(config.api_token, "vllm_api_token", "rerank"), deps)
