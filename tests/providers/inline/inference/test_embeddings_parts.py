"""What inline::embeddings does without a model: batches, cores, turns, imports."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from specstack_api.errors import ModelUnavailable
from specstack_providers.inline.inference import embed_workers
from specstack_providers.inline.inference.embed_engine import BATCH_TOKENS, batches_of
from specstack_providers.inline.inference.embed_workers import Workers, usable_cores


def test_batches_hold_every_text_once_and_keep_to_both_limits() -> None:
    lengths = [2, 256, 17, 900, 0, 40, 40, 256] * 20
    batches = list(batches_of(lengths, 32))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[index] for index in batch)
        assert len(batch) == 1 or (len(batch) <= 32 and longest * len(batch) <= BATCH_TOKENS)
    assert max(len(batch) for batch in batches_of([2] * 100, 32)) == 32
    assert [len(batch) for batch in batches_of([5] * 10, 4)] == [4, 4, 2]
    assert list(batches_of([], 4)) == []


@pytest.mark.parametrize(
    ("quota", "most"), [("100000 100000", 1), ("max 100000", 10**6), ("nonsense", 10**6)]
)
def test_a_containers_quota_limits_the_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, most: int
) -> None:
    monkeypatch.setattr(embed_workers, "_QUOTA", tmp_path / "absent")
    free = usable_cores()
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(embed_workers, "_QUOTA", tmp_path / "cpu.max")
    assert usable_cores() == min(free, most)
    assert free >= 1


async def test_requests_take_turns() -> None:
    workers = Workers(1)
    order: list[str] = []
    jobs = [lambda: order.append("large")] * 50
    large = asyncio.create_task(workers.spread(jobs))
    await asyncio.sleep(0)
    await workers.spread([lambda: order.append("small")])
    assert not large.done()
    assert order.index("small") < 10
    await large
    assert order.count("large") == 50
    await workers.close()


async def test_results_keep_the_order_of_the_jobs() -> None:
    workers = Workers(3)
    pauses = [0.03, 0.0, 0.02, 0.0, 0.01]
    jobs = [lambda i=i, pause=pause: threading.Event().wait(pause) or i for i, pause in enumerate(pauses)]
    assert await workers.spread(jobs) == [0, 1, 2, 3, 4]
    await workers.close()


async def test_a_job_that_fails_ends_the_others_of_its_request() -> None:
    workers = Workers(2)
    done: list[int] = []

    def job(index: int) -> None:
        if index == 3:
            raise ValueError("third")
        done.append(index)

    with pytest.raises(ValueError, match="third"):
        await workers.spread(lambda i=i: job(i) for i in range(1000))
    assert len(done) < 50
    await workers.close()


async def test_closing_ends_what_waits_with_an_error_that_says_so() -> None:
    workers = Workers(1)
    blocked = threading.Event()
    running = asyncio.create_task(workers.run(lambda: blocked.wait(5)))
    waiting = asyncio.create_task(workers.run(lambda: None))
    await asyncio.sleep(0.05)
    closing = asyncio.create_task(workers.close())
    with pytest.raises(ModelUnavailable, match="stopping"):
        await waiting
    blocked.set()
    assert await running is True
    await closing
    with pytest.raises(ModelUnavailable):
        await workers.run(lambda: None)


def test_heavy_packages_are_not_imported_before_a_provider_is_made() -> None:
    program = (
        "import sys, specstack_providers.inline.inference.embeddings;"
        "print([name for name in ('numpy', 'onnxruntime', 'tokenizers') if name in sys.modules])"
    )
    paths = [path for path in sys.path if path]
    found = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}; {program}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "[]"
