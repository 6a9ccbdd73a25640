"""What keeping chat completions costs: CPU of a request with the inference store and without it.

Calls go through the generated endpoint in this process, to a handler whose reply is there already, so that
the store is most of what differs. All threads count, and so does writing the last row. Calls come at the rate
of a busy server, not as fast as the endpoint can: that would leave the writer no interpreter to run in, and
measure a queue that grows out of the processor's caches. The writer has a thread beside the event loop: where
others want the processor, its part is most of what the figure grows by.

Ids count up, so that new entries of the index by id stand side by side. Those of most upstreams are random:
with 20,000 rows that took SQLite alone another 2.5 us per row, and more in larger tables. On a quiet machine:

    python bench/inference_store.py [--requests 20000] [--rounds 5] [--chunks 40] [--rate 5000]
"""

import argparse
import asyncio
import gc
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from specstack.config import read_config
from specstack.http import ErrorTable, HttpSettings
from specstack.http.endpoint import Endpoint
from specstack.keeping import keepers, observing_kept
from specstack.resolver import Supplies
from specstack.runtime import Runtime
from specstack.sources import RandomIds, SystemClock, cache_dir
from specstack.upstream import UpstreamPool
from specstack_api import errors
from specstack_api.models.inference import CreateChatCompletionResponse, CreateChatCompletionStreamResponse
from specstack_server import SERVER
from specstack_server.operations.inference import CREATE_CHAT_COMPLETION
from specstack_wire import Event, Payload, Stream
from specstack_wire.payload import UNREAD

MODES = ("off", "requested", "all")
BURST = 16
"""Requests that come at once."""
TEXT = "The quick brown fox jumps over the lazy dog. " * 10
MESSAGES = [{"role": "system", "content": TEXT}, {"role": "user", "content": TEXT}]


def request(stream: bool) -> bytes:
    body = {"model": "m", "messages": MESSAGES, "metadata": {"topic": "bench"}, "stream": stream}
    return json.dumps(body).encode()


def whole(number: int) -> bytes:
    message = {"role": "assistant", "content": TEXT, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": 200, "completion_tokens": 100, "total_tokens": 300}
    head = {"id": f"chatcmpl-{number:029d}", "object": "chat.completion", "created": 1764000000, "model": "m"}
    return json.dumps({**head, "choices": [choice], "usage": usage}).encode()


def chunks(number: int, many: int) -> list[bytes]:
    head = {
        "id": f"chatcmpl-{number:029d}",
        "object": "chat.completion.chunk",
        "created": 1764000000,
        "model": "m",
    }
    found: list[bytes] = []
    for at in range(many):
        last = at == many - 1
        choice = {"index": 0, "delta": {"content": " fox"}, "finish_reason": "stop" if last else None}
        found.append(json.dumps({**head, "choices": [choice]}).encode())
    return found


Handler = Callable[[Any, Any], Any]


def replying(count: int) -> Handler:
    before, _, after = whole(0).partition(b"%029d" % 0)
    numbers = iter(range(count))

    async def handler(ctx: Any, request: Any) -> Payload[Any]:
        # Bytes that come into being now, as they do from an upstream: old ones would be in no cache.
        raw = b"%b%029d%b" % (before, next(numbers), after)
        return Payload[Any].from_raw(raw, CreateChatCompletionResponse)

    return handler


def streaming(count: int, many: int) -> Handler:
    pieces = [chunks(number, many) for number in range(min(count, 200))]
    turn = iter(range(count))

    async def events(mine: list[bytes]) -> AsyncIterator[Event[Any]]:
        for raw in mine:
            # Bytes of their own, as they come from an upstream.
            yield Event(UNREAD, bytes(bytearray(raw)), CreateChatCompletionStreamResponse)

    async def handler(ctx: Any, request: Any) -> Stream[Any]:
        return Stream[Any].events(events(pieces[next(turn) % len(pieces)]))

    return handler


async def measure(mode: str, count: int, handler: Handler, body: bytes, folder: str, rate: float) -> float:
    """Microseconds of CPU per request, at so many requests a second."""
    config: dict[str, Any] = {
        "version": 2,
        "distro_name": "bench",
        "providers": {
            "inference": [
                {
                    "provider_id": "p",
                    "provider_type": "remote::openai-compatible",
                    "config": {"base_url": "http://127.0.0.1:9/v1", "allowed_models": []},
                }
            ]
        },
        "storage": {
            "backends": {
                "kv_default": {"type": "kv_sqlite", "db_path": f"{folder}/kv.db"},
                "sql_default": {"type": "sql_sqlite", "db_path": f"{folder}/{mode}-{time.time_ns()}.db"},
            },
            "stores": {"inference": {"mode": mode, "max_write_queue_size": count}},
        },
    }
    supplies = Supplies(UpstreamPool(), RandomIds(), SystemClock(), cache_dir())
    runtime = await Runtime.start(read_config(json.dumps(config), "bench", SERVER, {}), SERVER, supplies)
    endpoint = Endpoint(CREATE_CHAT_COMPLETION, handler)
    endpoint.bind(HttpSettings(ErrorTable.from_module(errors), observers=(observing_kept(runtime),)))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    path = CREATE_CHAT_COMPLETION.path
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}

    async def send(message: Any) -> None:
        pass

    async def one() -> None:
        own = bytes(bytearray(body))
        messages = iter([{"type": "http.request", "body": own, "more_body": False}])

        async def receive() -> Any:
            for message in messages:
                return message
            return await asyncio.Future[Any]()

        await endpoint(dict(scope), receive, send)

    # The first rows open the database.
    for _ in range(100):
        await one()
    (keeper,) = keepers(runtime).values()
    await asyncio.sleep(1.5 if mode == "all" else 0.1)
    # As the server does when it has started.
    gc.collect()
    gc.freeze()
    begun = time.process_time()
    loop = asyncio.get_running_loop()
    due = loop.time()
    for number in range(count - 100):
        await one()
        if number % BURST == BURST - 1:
            due = max(due + BURST / rate, loop.time())
            await asyncio.sleep(due - loop.time())
    await keeper.settled(60)
    used = time.process_time() - begun
    kept = keeper.counts.written
    assert kept == (count if mode == "all" else 0), (mode, kept, keeper.counts)
    await runtime.stop()
    return used / (count - 100) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chunks", type=int, default=40)
    parser.add_argument("--rate", type=float, default=5000, help="requests per second; streams a tenth")
    given = parser.parse_args()
    kinds: dict[str, tuple[Callable[[int], Handler], int, bytes, float]] = {
        "whole": (replying, given.requests, request(False), given.rate),
        f"stream of {given.chunks} chunks": (
            lambda count: streaming(count, given.chunks),
            max(given.requests // 10, 200),
            request(True),
            given.rate / 10,
        ),
    }
    with tempfile.TemporaryDirectory() as folder:
        for kind, (make, count, body, rate) in kinds.items():
            found: dict[str, list[float]] = {mode: [] for mode in MODES}
            for _ in range(given.rounds):
                for mode in MODES:
                    found[mode].append(asyncio.run(measure(mode, count, make(count), body, folder, rate)))
                for file in Path(folder).iterdir():
                    file.unlink()
            least = {mode: min(values) for mode, values in found.items()}
            print(f"{kind}: {least['off']:.1f} us of CPU per request without the store")
            for mode in MODES[1:]:
                added = [one - off for one, off in zip(found[mode], found["off"], strict=True)]
                middle, most = statistics.median(added), max(added)
                told = f"median of rounds {middle:+.1f}, most {most:+.1f}"
                print(f"  {mode}: {least[mode] - least['off']:+.1f} us, least against least ({told})")


if __name__ == "__main__":
    main()
