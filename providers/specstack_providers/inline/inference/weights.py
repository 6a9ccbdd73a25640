"""Where a configured model's weights are: a path of the user's, or the model store, fetched if need be."""

import asyncio
import logging
from pathlib import Path

from specstack_api.errors import InvalidValue
from specstack_providers.model_store import ModelStore
from specstack_providers.progress import Progress, ProgressBar

_PIECE = 1 << 23


async def find_weights(
    model_id: str, path: str | None, store: str | None, cache_dir: Path, log: logging.Logger
) -> Path:
    """The file (for a stored model: its main file) or folder of a model's weights.

    A stored model that is not in the cache is fetched, with a progress bar on stderr. Raises `InvalidValue`
    when the config gives not exactly one of `path` and `store`, and `WeightsUnavailable` with the mending
    command.
    """
    if (path is None) == (store is None):
        raise InvalidValue(f"model {model_id!r}: give one of `path` and `store`")
    if path is not None:
        return Path(path).expanduser()  # noqa: ASYNC240 - a look at the environment, not the disk
    assert store is not None
    models = ModelStore(cache_dir)
    if models.present(store):
        return models.find(store)
    entry = models.entry(store)
    log.info("fetching %s (%.0f MB, %s)", entry.title, entry.download_size / 1e6, entry.licence)
    return await asyncio.to_thread(models.pull, store, ProgressBar(f"fetching {store}"))


def read_through(path: Path, progress: Progress) -> None:
    """Reads a file once, from front to back, so that an engine that maps it finds it in memory.

    On a cold disk this is most of the time of loading, and quicker than the engine's own scattered reads.
    """
    total, done = path.stat().st_size, 0
    piece = memoryview(bytearray(_PIECE))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(piece):
            done += count
            progress(done, total)
