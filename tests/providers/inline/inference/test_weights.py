"""Reading weights ahead of the engine, with progress."""

from pathlib import Path

import pytest

from specstack_providers.inline.inference import weights


def test_progress_counts_up_to_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_PIECE", 1000)
    file = tmp_path / "model"
    file.write_bytes(b"x" * 2500)
    told: list[tuple[int, int]] = []
    weights.read_through(file, lambda done, total: told.append((done, total)))
    assert told == [(1000, 2500), (2000, 2500), (2500, 2500)]


def test_an_empty_file_is_read_in_no_time(tmp_path: Path) -> None:
    (tmp_path / "model").touch()
    weights.read_through(tmp_path / "model", lambda done, total: pytest.fail("there is nothing to tell"))
