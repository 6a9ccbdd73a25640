"""The line to try a server with: made from the spec's examples and what the server knows."""

import json
import shlex
from typing import Any

import httpx
import pytest

from specstack.assembly import Application, build
from specstack.cli.banner import banner
from specstack.config import read_config
from specstack_server import SERVER
from support.loopback_upstream import LoopbackUpstream

CONFIG = """
version: 2
distro_name: t
providers:
  inference:
    - provider_id: {id}
      provider_type: remote::openai-compatible
      config: {{base_url: "${{env.UP}}"}}
"""


async def tried(app: Application) -> tuple[str, list[str]]:
    """The banner's command as words, and the banner; waits until the providers told what they have."""
    await app.runtime.discover(5)
    shown = banner(app, "http://t", "")
    (line,) = [line for line in shown.splitlines() if line.startswith("  try ")]
    return shown, shlex.split(line)[1:]


async def sent(app: Application, words: list[str]) -> httpx.Response:
    method = "POST" if "-d" in words else "GET"
    body = words[words.index("-d") + 1].encode() if "-d" in words else None
    url = next(word for word in words if word.startswith("http://"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        return await client.request(method, url, content=body, headers={"content-type": "application/json"})


@pytest.mark.parametrize(
    ("provider_id", "models", "path", "model"),
    [
        # A known model that the first example does not name stands in for its model.
        ("up", [{"id": "some-embed"}, {"id": "it's"}], "/v1/chat/completions", "up/it's"),
        # An example whose own model is known is taken as it is.
        ("llama-cpp", [{"id": "a"}, {"id": "smollm2-135m-instruct"}], "/v1/chat/completions",
         "llama-cpp/smollm2-135m-instruct"),
        ("embeddings", [{"id": "all-minilm-l6-v2"}], "/v1/embeddings", "embeddings/all-minilm-l6-v2"),
        # With nothing that an example fits, something that always answers.
        ("up", [{"id": "some-embed"}], None, None),
        ("up", [], None, None),
    ],
)  # fmt: skip
async def test_the_shown_command_works(
    provider_id: str, models: list[dict[str, Any]], path: str | None, model: str | None
) -> None:
    with LoopbackUpstream.running() as upstream:
        upstream.app.models = {"data": models}
        text = CONFIG.format(id=json.dumps(provider_id))
        app = build(read_config(text, "run.yaml", SERVER, {"UP": upstream.base_url}))
        await app.start()
        try:
            shown, words = await tried(app)
            reply = await sent(app, words)
        finally:
            await app.stop()
        assert all(one["id"] in shown for one in models)
        assert reply.status_code == 200, reply.text
        assert ("-d" in words) == (path is not None)
        if path is not None:
            assert words[2] == f"http://t{path}"
            assert json.loads(words[-1])["model"] == model
