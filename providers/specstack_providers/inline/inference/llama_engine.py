"""One llama.cpp engine in this process: loading, slots, generation that can be cancelled, shutdown.

llama.cpp runs its own scheduler thread, which batches whatever its slots hold at the time. Each running
request occupies one thread here that waits in C++ without the interpreter lock. Requests beyond the slots
wait in asyncio, where waiting costs nothing and cancelling is immediate.
"""

import asyncio
import contextlib
import gc
import http.client
import importlib
import json
import logging
import os
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from specstack_api.errors import (
    ContextLengthExceeded,
    InternalError,
    InvalidValue,
    ModelUnavailable,
    Overloaded,
)
from specstack_providers.inline.inference.llama_grammar import PROBE, Grammar
from specstack_providers.inline.inference.weights import read_through
from specstack_providers.progress import ProgressBar

Raw = dict[str, Any]
"""A request to llama.cpp, or a chunk from it."""

_PROMPT_BATCH = 128
"""Tokens of a prompt between two looks at the cancel flag; larger ones are hardly faster on a CPU."""

_PROBES_KEPT = 512
_LONG_INPUT = re.compile(r"input \((\d+) tokens\) is too large.*current batch size: (\d+)")
_RETRY_AFTER_SECONDS = "2"


def generation_threads() -> int:
    """Threads for generation. More spin at llama.cpp's barriers when anything else wants the cores."""
    return max(1, (os.cpu_count() or 1) // 2)


def batch_threads() -> int:
    """Threads for every step of more than one token: reading prompts, and several requests together.

    Reading alone would scale to all cores, but concurrent generation collapses there as it does with
    too many generation threads.
    """
    return generation_threads()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How to run one GGUF file, once `path` names it. `context` is in tokens and for each of the `slots`.

    `max_tokens` limits chat answers whose request names no limit.
    """

    name: str
    path: Path = Path()
    context: int = 4096
    max_tokens: int = 1024
    slots: int = 4
    threads: int = field(default_factory=generation_threads)
    batch_threads: int = field(default_factory=batch_threads)
    waiting: int = 64
    embedding: bool = False


class LlamaEngine:
    """A loaded model. `load` before use, `close` after; not usable again then."""

    def __init__(self, settings: EngineSettings, log: logging.Logger) -> None:
        self.settings = settings
        self._log = log
        self._server: Any = None
        self._closing = False
        self._key = secrets.token_urlsafe(32)
        self._address = ""
        self._slots = asyncio.Semaphore(settings.slots)
        self._waiting = 0
        self._running: set[threading.Event] = set()
        self._pool = ThreadPoolExecutor(settings.slots, thread_name_prefix=f"llama-{settings.name}")
        self._side = ThreadPoolExecutor(2, thread_name_prefix=f"llama-{settings.name}-side")
        self._probed: OrderedDict[str, bool] = OrderedDict()
        self.vocabulary = 0
        self.bos = ""

    @property
    def loaded(self) -> bool:
        """Whether requests can be answered."""
        return self._server is not None and not self._closing

    @property
    def address(self) -> str:
        """llama.cpp's own loopback address. It answers nobody without this engine's secret key."""
        return self._address

    async def load(self) -> None:
        """Reads the model, in a thread. Raises `ModelUnavailable` in one line when it cannot be read."""
        await asyncio.get_running_loop().run_in_executor(self._side, self._load)

    async def close(self) -> None:
        """Stops what runs, frees the model and its threads. Safe to call twice."""
        self._closing = True
        for stop in tuple(self._running):
            stop.set()
        await asyncio.to_thread(self._close)

    async def generate(self, request: Mapping[str, Any], *, param: str | None = None) -> AsyncGenerator[Raw]:
        """Runs a completion and yields llama.cpp's chunks; closing the generator stops the run.

        `request` is in llama.cpp's own terms; `param` is the caller's field that the prompt came from. Raises
        `ContextLengthExceeded`, `Overloaded` (too many wait already), `InvalidValue` (the engine refused the
        request) or `ModelUnavailable`.
        """
        await self._enter()
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[Raw | None] = asyncio.Queue()
        stop = threading.Event()

        def take(chunk: Raw) -> bool:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(chunks.put_nowait, chunk)
                return stop.is_set()
            return True

        def left(_: Any) -> None:
            self._running.discard(stop)
            self._slots.release()
            chunks.put_nowait(None)

        finished = False
        self._running.add(stop)
        run = loop.run_in_executor(self._pool, self._complete, dict(request), take, stop)
        run.add_done_callback(left)
        try:
            while (chunk := await chunks.get()) is not None:
                if "error" in chunk:
                    raise _refusal(cast(Raw, chunk["error"]), param)
                if "prompt_progress" not in chunk:
                    finished = finished or any(choice["finish_reason"] for choice in chunk["choices"])
                    yield chunk
            await run
            if not finished:
                raise self._unavailable() if self._closing else InternalError("the model's engine broke off")
        finally:
            stop.set()

    async def supports(self, grammar: Grammar) -> bool:
        """Whether llama.cpp takes the grammar.

        It ignores one that it cannot read and then generates freely, without a word. So the question is put
        to it: under the grammar with a mark in front, does it write the mark?
        """
        if grammar.rules in self._probed:
            self._probed.move_to_end(grammar.rules)
            return self._probed[grammar.rules]
        request = {"prompt": "1 2 3 4", "n_predict": 2, "temperature": 0, "grammar": grammar.probe()}
        text = ""
        async with contextlib.aclosing(self.generate(request)) as chunks:
            async for chunk in chunks:
                text += "".join(choice["text"] for choice in chunk["choices"])
        self._probed[grammar.rules] = text.startswith(PROBE[0])
        if len(self._probed) > _PROBES_KEPT:
            self._probed.popitem(last=False)
        return self._probed[grammar.rules]

    async def ask(self, path: str, body: Mapping[str, Any] | None = None) -> Raw:
        """Asks llama.cpp's own loopback server, for what it does not offer in the process.

        Raises `InvalidValue` with its message when it refuses.
        """
        if not self.loaded:
            raise self._unavailable()
        return await asyncio.get_running_loop().run_in_executor(self._side, self._ask, path, body)

    async def embed(self, inputs: list[str] | list[list[int]]) -> Raw:
        """llama.cpp's reply to an embeddings request. Raises as `generate`."""
        await self._enter()
        run = asyncio.get_running_loop().run_in_executor(self._pool, self._embed, inputs)
        run.add_done_callback(lambda _: self._slots.release())
        reply = await run
        if "error" in reply:
            raise _refusal(cast(Raw, reply["error"]), "input")
        return reply

    async def _enter(self) -> None:
        """Takes a slot, in order of arrival. Raises `Overloaded` when too many wait."""
        if not self.loaded:
            raise self._unavailable()
        if self._slots.locked() and self._waiting >= self.settings.waiting:
            raise Overloaded(
                f"{self.settings.name} has {self._waiting} requests waiting, its limit; try again soon",
                headers={"retry-after": _RETRY_AFTER_SECONDS},
            )
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        if not self.loaded:
            self._slots.release()
            raise self._unavailable()

    def _unavailable(self) -> ModelUnavailable:
        return ModelUnavailable(f"{self.settings.name} is not loaded (the server is starting or stopping)")

    def _complete(self, request: Raw, take: Callable[[Raw], bool], stop: threading.Event) -> None:
        server = self._server
        if server is None or stop.is_set():
            return
        try:
            server.handle_completions({**request, "stream": True, "return_progress": True}, take)
        except (ValueError, RuntimeError) as error:
            take({"error": {"code": 400, "message": str(error)}})

    def _embed(self, inputs: list[str] | list[list[int]]) -> Raw:
        server = self._server
        if server is None:
            raise self._unavailable()
        try:
            return cast(Raw, server.handle_embeddings({"input": inputs}))
        except (ValueError, RuntimeError) as error:
            return {"error": {"code": 400, "message": str(error)}}

    def _load(self) -> None:
        # Heavy, and only there with the extra `llama-cpp`.
        xllamacpp: Any = importlib.import_module("xllamacpp")

        settings = self.settings
        if not settings.path.is_file():
            raise ModelUnavailable(f"no such model file: {settings.path} (model {settings.name})")
        self._log.info("loading %s from %s", settings.name, settings.path)
        read_through(settings.path, ProgressBar(f"loading {settings.name}"))
        try:
            self._serve(xllamacpp, mean_pooling=False)
            if settings.embedding and "error" in self._embed(["a"]):
                # The file does not say how its tokens' vectors become one; most take the mean.
                self._server = None
                self._serve(xllamacpp, mean_pooling=True)
        except (RuntimeError, ValueError) as error:
            raise ModelUnavailable(
                f"llama.cpp cannot load {settings.path} (model {settings.name}): it is damaged, no GGUF "
                f"file, or needs more memory than there is ({str(error)[:200]})"
            ) from error
        meta = cast(Raw, self._ask("/v1/models", None)["data"][0]["meta"])
        self.vocabulary = int(meta["n_vocab"])
        self.bos = str(self._ask("/props", None).get("bos_token", ""))
        self._log.info("%s is ready: %d slots of %d tokens", settings.name, settings.slots, settings.context)

    def _serve(self, xllamacpp: Any, *, mean_pooling: bool) -> None:
        """Starts llama.cpp and has it do one task.

        Without that its destructor may come before its task loop, and then waits for ever for the loop's end,
        with the interpreter's lock held.
        """
        self._server = xllamacpp.Server(self._params(xllamacpp, mean_pooling=mean_pooling))
        self._address = str(self._server.listening_address)
        if self.settings.embedding:
            self._ask("/embedding", {"content": "a"})
        else:
            self._server.handle_completions({"prompt": "a", "n_predict": 0, "stream": True}, _take_all)

    def _params(self, xllamacpp: Any, *, mean_pooling: bool) -> Any:
        settings = self.settings
        params = xllamacpp.CommonParams()
        params.model.path = str(settings.path)
        params.model_alias = {settings.name}
        params.n_parallel = settings.slots
        params.n_ctx = settings.context * settings.slots
        params.n_batch = _PROMPT_BATCH
        params.cpuparams.n_threads = settings.threads
        params.cpuparams_batch.n_threads = settings.batch_threads
        params.use_jinja = True
        params.prefill_assistant = False
        params.verbosity = -1
        # llama.cpp always opens a loopback port: nobody but this engine may use it.
        params.hostnames = ["127.0.0.1"]
        params.api_keys = [self._key]
        params.ui = False
        params.endpoint_slots = False
        if settings.embedding:
            params.embedding = True
            # A text that is embedded must fit into one batch.
            params.n_batch = params.n_ubatch = settings.context
            if mean_pooling:
                params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        return params

    def _ask(self, path: str, body: Mapping[str, Any] | None) -> Raw:
        url = urlsplit(self._address)
        connection = http.client.HTTPConnection(cast(str, url.hostname), url.port, timeout=60)
        try:
            connection.request(
                "GET" if body is None else "POST",
                path,
                None if body is None else json.dumps(body).encode(),
                {"authorization": f"Bearer {self._key}", "content-type": "application/json"},
            )
            reply = connection.getresponse()
            content = cast(Raw, json.loads(reply.read() or b"{}"))
        except (OSError, ValueError) as error:
            raise InternalError(f"the engine of {self.settings.name} does not answer: {error}") from error
        finally:
            connection.close()
        if reply.status != http.client.OK:
            raise _refusal(cast(Raw, content.get("error", {"message": f"status {reply.status}"})))
        return content

    def _close(self) -> None:
        self._pool.shutdown(wait=True)
        self._side.shutdown(wait=True)
        # Freed by its destructor, which also closes the port.
        self._server = None
        gc.collect()


def _take_all(_: Raw) -> bool:
    return False


def _refusal(error: Raw, param: str | None = None) -> Exception:
    """What llama.cpp refused, in our terms."""
    message = str(error.get("message", "no reason given"))
    if error.get("type") == "exceed_context_size_error":
        return _too_long(str(error.get("n_prompt_tokens")), str(error.get("n_ctx")), param)
    if long := _LONG_INPUT.search(message):
        return _too_long(long[1], long[2], param)
    if error.get("code") == http.client.BAD_REQUEST:
        return InvalidValue(f"the model's engine refused the request: {message}", param=param)
    return InternalError(f"the model's engine failed: {message}")


def _too_long(tokens: str, limit: str, param: str | None) -> ContextLengthExceeded:
    return ContextLengthExceeded(
        f"the prompt has {tokens} tokens and the model's context holds {limit}; shorten it, or raise the "
        "provider's context_length",
        param=param,
    )
