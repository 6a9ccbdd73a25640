"""A llama.cpp engine behind the provider's call-outs, so that its answers can be recorded and replayed."""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from specstack_providers.inline.inference.llama_engine import EngineSettings, LlamaEngine, Raw
from specstack_providers.inline.inference.llama_grammar import Grammar
from specstack_wire import CallOuts


class EngineFront:
    """One model. Its weights are found and loaded when something must really be asked of it.

    Without a recorder that is in `load`. `find` gives the weights' file. Methods raise what those of
    `LlamaEngine` raise.
    """

    def __init__(
        self,
        settings: EngineSettings,
        find: Callable[[], Awaitable[Path]],
        calls: CallOuts,
        log: logging.Logger,
    ) -> None:
        self.settings = settings
        self.engine: LlamaEngine | None = None
        self.vocabulary = 0
        self.bos = ""
        self.build = ""
        self._find = find
        self._calls = calls
        self._log = log
        self._ready = False

    @property
    def loaded(self) -> bool:
        """Whether requests can be answered."""
        return self._ready and (self.engine is None or self.engine.loaded)

    async def load(self) -> None:
        """Learn what requests need to know of the model. Raises `ModelUnavailable` if it cannot be read."""
        asked = {"do": "load", "context": self.settings.context, "embedding": self.settings.embedding}
        facts = await self._call(asked, self._facts)
        self.vocabulary, self.bos, self.build = facts["vocabulary"], facts["bos"], facts["build"]
        self._ready = True

    async def close(self) -> None:
        """Free the model, if it was loaded."""
        self._ready = False
        if self.engine is not None:
            await self.engine.close()

    async def generate(self, request: Mapping[str, Any], *, param: str | None = None) -> AsyncGenerator[Raw]:
        """llama.cpp's chunks for a completion; closing the generator stops the run."""

        async def live() -> AsyncGenerator[Raw]:
            engine = await self._live()
            async with aclosing(engine.generate(request, param=param)) as chunks:
                async for chunk in chunks:
                    yield chunk

        asked = {"do": "generate", **request}
        async with aclosing(self._calls.stream(self.settings.name, asked, live)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def supports(self, grammar: Grammar) -> bool:
        """Whether llama.cpp takes the grammar."""

        async def live() -> bool:
            return await (await self._live()).supports(grammar)

        return await self._call({"do": "supports", "grammar": grammar.rules}, live)

    async def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Raw:
        """llama.cpp's answer to what it does not offer in the process."""

        async def live() -> Raw:
            return await (await self._live()).ask(path, body)

        return await self._call({"do": "ask", "path": path, "body": body}, live)

    async def embed(self, inputs: list[str] | list[list[int]]) -> Raw:
        """llama.cpp's reply to an embeddings request."""

        async def live() -> Raw:
            return await (await self._live()).embed(inputs)

        return await self._call({"do": "embed", "input": inputs}, live)

    async def _call(self, asked: Mapping[str, Any], live: Callable[[], Awaitable[Any]]) -> Any:
        return await self._calls.call(self.settings.name, asked, live)

    async def _facts(self) -> Raw:
        engine = await self._live()
        build = f"{version('xllamacpp')} {engine.settings.path.name}"
        return {"vocabulary": engine.vocabulary, "bos": engine.bos, "build": build}

    async def _live(self) -> LlamaEngine:
        if self.engine is None:
            engine = LlamaEngine(replace(self.settings, path=await self._find()), self._log)
            await engine.load()
            self.engine = engine
        return self.engine
