"""Bringing tables up to date in a process of its own: Alembic and SQLAlchemy would stay in memory."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specstack.storage.sql.schema import Branch, Making

if TYPE_CHECKING:
    from specstack.storage.sql.base import SqlBackend

LIMIT = 60.0
"""Seconds after which it is done in this process."""
_CODE = """import json, sys
told = json.load(sys.stdin)
sys.path[:] = told.pop("path")
from specstack.storage.sql import apart
apart.upgrade(**told)
"""


def upgraded_apart(backend: "SqlBackend") -> bool:
    """Whether it is done. If not, for whatever reason, it is to be done here, which tells that reason."""
    if "alembic" in sys.modules or not Path(sys.executable or "none").name.startswith(("python", "pypy")):
        return False
    making = backend.making
    told = {
        "path": sys.path,
        "module": type(backend).__module__,
        "name": type(backend).__qualname__,
        "place": backend.place,
        "backend": making.name,
        "branches": [(one.api, one.package, one.revisions) for one in making.branches],
    }
    try:
        # The place may hold a password: it is in no argument and no variable, where others would see it.
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", _CODE],
            input=json.dumps(told).encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=LIMIT,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def upgrade(module: str, name: str, place: str, backend: str, branches: list[Any]) -> None:
    """What the other process does."""
    known = tuple(Branch(api, package, tuple(revisions)) for api, package, revisions in branches)
    getattr(import_module(module), name)(place, Making(backend, known, migrate=True)).upgrade_here()
