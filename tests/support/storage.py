"""Storage for providers under test."""

import atexit
import tempfile
from pathlib import Path
from uuid import uuid4

from specstack.storage.kv.sqlite import SqliteKV
from specstack_wire import KVStore


def no_storage() -> KVStore:
    """For providers that keep nothing: the first call fails, because the file cannot be made."""
    return SqliteKV(Path("/dev/null/kv.db")).namespace("none")


_FILES = tempfile.TemporaryDirectory(prefix="specstack-tests-")
atexit.register(_FILES.cleanup)


def fresh_file() -> str:
    """The path of a database that no other server has."""
    return f"{_FILES.name}/{uuid4().hex}.db"
