"""From texts to vectors without blocking the event loop: tokens first, then batches of like length."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import TypeVar

from specstack_api.errors import ModelUnavailable, Overloaded
from specstack_providers.inline.inference.embed_model import SentenceModel, Vectors
from specstack_providers.inline.inference.embed_workers import Workers

T = TypeVar("T")

BATCH_TOKENS = 512
"""Tokens of a batch, padding included. More is slower (it leaves the caches) and makes others wait longer."""

_TOKENISED_TOGETHER = 64


class Embedder:
    """One loaded model at work on shared threads."""

    def __init__(self, model: SentenceModel, workers: Workers, batch_size: int) -> None:
        self.model = model
        self.failure = ""
        self._workers = workers
        self._batch_size = batch_size

    async def each(
        self, texts: Sequence[str], finish: Callable[[Vectors], Sequence[T]]
    ) -> tuple[list[T], int]:
        """What `finish` makes of the texts' vectors, in the order of the texts, and their tokens in all.

        `finish` is called in a worker thread, with some of the vectors at a time. Raises `Overloaded` or
        `ModelUnavailable`.
        """
        with self._workers.request():
            try:
                found = await self._each(texts, finish)
            except (Overloaded, ModelUnavailable):
                raise
            except Exception as error:
                self.failure = f"{type(error).__name__}: {error}"
                raise
            self.failure = ""
            return found

    async def _each(
        self, texts: Sequence[str], finish: Callable[[Vectors], Sequence[T]]
    ) -> tuple[list[T], int]:
        chunks = (
            texts[start : start + _TOKENISED_TOGETHER] for start in range(0, len(texts), _TOKENISED_TOGETHER)
        )
        tokenised = await self._workers.spread(partial(self.model.tokens, chunk) for chunk in chunks)
        tokens = list(chain.from_iterable(tokenised))
        batches = list(batches_of([len(one) for one in tokens], self._batch_size))

        def compute(batch: Sequence[int]) -> Sequence[T]:
            return finish(self.model.vectors([tokens[index] for index in batch]))

        results = await self._workers.spread(partial(compute, batch) for batch in batches)
        by_index = dict(zip(chain.from_iterable(batches), chain.from_iterable(results), strict=True))
        return [by_index[index] for index in range(len(texts))], sum(map(len, tokens))


def batches_of(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Cuts texts of these lengths (in tokens) into batches of their numbers, the longest first.

    A batch has at most `most` texts and `BATCH_TOKENS` tokens, or one longer text.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    start = 0
    while start < len(order):
        longest = max(1, lengths[order[start]])
        size = max(1, min(most, BATCH_TOKENS // longest))
        yield order[start : start + size]
        start += size
