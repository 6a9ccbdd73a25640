"""Reading a state of the spec out of git, without touching the work tree."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from specstack_codegen.review.errors import ReviewError


def toplevel(start: Path) -> Path | None:
    """The work tree that `start` lies in; None where there is none."""
    done = _git(start, "rev-parse", "--show-toplevel")
    return Path(done.stdout.decode().strip()) if done.returncode == 0 else None


def commit(repository: Path, ref: str) -> str | None:
    """The full id of the commit that `ref` names; None when it names none."""
    done = _git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    return done.stdout.decode().strip() if done.returncode == 0 else None


def merge_base(repository: Path, one: str, other: str) -> str | None:
    """The best common ancestor of two commits; None when they share no history."""
    done = _git(repository, "merge-base", one, other)
    return done.stdout.decode().strip() if done.returncode == 0 else None


def extract(repository: Path, sha: str, path: str, target: Path) -> bool:
    """Write what stands under `path` in a commit below `target`; False when there is nothing."""
    done = _git(repository, "--literal-pathspecs", "archive", "--format=tar", sha, "--", path)
    if done.returncode != 0:
        return False
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(target, filter="data")
    return (target / path).exists()


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(  # noqa: S603  no shell; refs stand behind --end-of-options
            ["git", "-C", str(folder), *arguments],  # noqa: S607  the git of whoever calls
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise ReviewError("git is not installed, so refs cannot be read; give folders or files") from error
