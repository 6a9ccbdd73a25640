"""inline::embeddings and its weights: fetched, damaged, of one's own, wrong. Always with the real model."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from specstack_api.errors import InvalidValue, ModelUnavailable
from support.embeddings import STORED, made, vectors

from .conftest import make_deps

pytestmark = [pytest.mark.live, pytest.mark.model]


async def refused_start(cache_dir: Path | None = None, **model: str) -> str:
    config = {"models": [{"model_id": "mini", **(model or {"store": STORED})}]}
    found = await made(make_deps(cache_dir=cache_dir), start=False, threads=1, **config)
    with pytest.raises(ModelUnavailable) as caught:
        await found.start()
    assert (await found.health()).status == "error"
    await found.stop()
    assert "\n" not in caught.value.message
    return caught.value.message


async def test_weights_that_cannot_be_had_name_the_command(
    embedding_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    message = await refused_start(tmp_path)
    assert message.startswith(f"cannot fetch {STORED}")
    assert f"`specstack models pull {STORED}`" in message


async def test_damaged_weights_name_the_command(embedding_files: Path, tmp_path: Path) -> None:
    copy = tmp_path / "models" / STORED
    shutil.copytree(embedding_files, copy)
    with (copy / "model.onnx").open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"damage")
    message = await refused_start(tmp_path)
    assert "damaged" in message
    assert f"`specstack models pull {STORED}`" in message


async def test_a_folder_of_ones_own_serves_as_well(
    live_embeddings: Any, embedding_files: Path, tmp_path: Path
) -> None:
    shutil.copytree(embedding_files, tmp_path / "own")
    own = await made(make_deps(), threads=1, models=[{"model_id": "mini", "path": str(tmp_path / "own")}])
    assert await vectors(own, "hello") == await vectors(live_embeddings, "hello")
    await own.stop()


@pytest.mark.parametrize(
    ("file", "says"),
    [("model.onnx", "is no ONNX model"), ("tokenizer.json", "is no tokenizer"), (None, "has no model.onnx")],
)
async def test_wrong_folders_say_what_is_wrong(
    embedding_files: Path, tmp_path: Path, file: str | None, says: str
) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    if file is not None:
        shutil.copytree(embedding_files, folder, dirs_exist_ok=True)
        (folder / file).write_bytes(b"not this")
    message = await refused_start(path=str(folder))
    assert says in message
    assert str(folder) in message


async def test_model_ids_are_unique_and_weights_have_one_source(embedding_files: Path) -> None:
    with pytest.raises(InvalidValue, match="two models have the model_id 'a'"):
        await made(make_deps(), models=[{"model_id": "a", "store": STORED}] * 2)
    with pytest.raises(InvalidValue, match="`path` and `store`"):
        await made(make_deps(), models=[{"model_id": "a"}])
