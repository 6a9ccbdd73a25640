"""An engine that is freed as soon as it is there.

In a process of its own: one that hangs holds the interpreter's lock, so nothing inside can stop it.
"""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.model

ONE_LIFE = """
import asyncio, logging, sys
from pathlib import Path
from specstack_providers.inline.inference.llama_engine import EngineSettings, LlamaEngine

async def live(embedding):
    settings = EngineSettings(name="m", path=Path(sys.argv[1]), context=256, slots=1, embedding=embedding)
    engine = LlamaEngine(settings, logging.getLogger())
    await engine.load()
    await engine.close()

for embedding in (False, True, True):
    asyncio.run(live(embedding))
"""
"""The chat model's file names no pooling, so an embedding engine is made and freed twice in a life."""


def test_it_can_be_freed_at_once(chat_weights: Path) -> None:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        run = subprocess.run(
            [sys.executable, "-c", ONE_LIFE, str(chat_weights)], capture_output=True, text=True, timeout=100
        )
    finally:
        for one in busy:
            one.kill()
            one.wait()
    assert run.returncode == 0, run.stderr
