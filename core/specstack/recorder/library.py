"""The recordings of a directory: one JSON file per exchange, and an index that is made from the files."""

import contextlib
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from specstack.recorder.exchange import Exchange, RecordingDamaged, canonical, differences, read, write

INDEX = ".index.sqlite"
# Nothing is wrong with the index itself.
_NOT_OURS = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PERM")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS recordings (
    path TEXT PRIMARY KEY, size INTEGER, modified INTEGER,
    provider TEXT, test TEXT, digest TEXT, turn INTEGER, target TEXT, used REAL
);
CREATE INDEX IF NOT EXISTS by_digest ON recordings (provider, digest, test, turn);
"""


class Library:
    """Finds and keeps recordings. The files count; the index only finds them, and may be deleted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._index: sqlite3.Connection | None = None
        self._used: dict[str, float] = {}

    def find(self, provider: str, test: str, digest: str, turn: int) -> Exchange | None:
        """The recording of a request: of this test if it has one, else of another; its turn, or the last.

        Raises RecordingDamaged.
        """
        with self._lock:
            rows = self._opened().execute(
                "SELECT path FROM recordings WHERE provider = ? AND digest = ?"
                " ORDER BY test = ? DESC, turn = ? DESC, turn DESC, path",
                (provider, digest, test, turn),
            )
            # Files may have gone since.
            name = next((name for (name,) in rows if (self.folder / name).exists()), None)
            if name is not None:
                self._used[name] = time.time()
        if name is not None:
            return read(self.folder / name)
        # A damaged file is not in an index that was made after the damage.
        damaged = self.folder / _plain(provider) / _plain(test) / _file_name(digest, turn)
        return read(damaged) if damaged.exists() else None

    def keep(self, exchange: Exchange) -> Path:
        """Write a recording, in place of the one for the same request, test and turn."""
        path = self.folder / place_of(exchange) / _file_name(exchange.digest, exchange.turn)
        write(path, exchange)
        with self._lock:
            self._enter(self._opened(), path)
            self._opened().commit()
        return path

    def forget(self, provider: str, test: str) -> None:
        """Remove what a test has of a provider, before it is recorded anew."""
        for path in sorted((self.folder / _plain(provider) / _plain(test)).glob("*.json")):
            with contextlib.suppress(RecordingDamaged):
                if read(path).test != test:
                    continue  # its name makes the same directory
            self.remove(path)

    def remove(self, path: Path) -> None:
        """Remove one recording."""
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()
        with self._lock:
            index = self._opened()
            index.execute("DELETE FROM recordings WHERE path = ?", (self._name(path),))
            index.commit()

    def files(self) -> list[Path]:
        """Every recording, in order."""
        return sorted(path for path in self.folder.glob("*/*/*.json") if not path.name.startswith("."))

    def strays(self) -> list[Path]:
        """JSON files that lie where nothing is looked for, in order."""
        found = (path for path in self.folder.rglob("*.json") if not path.name.startswith("."))
        return sorted(set(found) - set(self.files()))

    def nearest(self, exchange: Exchange) -> tuple[Path, list[str]] | None:
        """The recording of the provider whose request is most like this one, and where they differ."""
        best: tuple[int, Path, list[str]] | None = None
        for path in self._candidates(exchange):
            with contextlib.suppress(RecordingDamaged, OSError):
                other = read(path)
                if (other.kind, other.provider) != (exchange.kind, exchange.provider):
                    continue
                found = list(differences(canonical(exchange.request), canonical(other.request)))
                if other.target != exchange.target:
                    found.insert(0, f"target: {exchange.target} is asked, {other.target} is recorded")
                if best is None or len(found) < best[0]:
                    best = (len(found), path, found)
        return None if best is None else best[1:]

    def unused(self, since: float) -> list[Path]:
        """The recordings that have neither been written nor used after a time, in Unix seconds."""
        with self._lock:
            rows = self._opened().execute(
                "SELECT path FROM recordings WHERE used IS NULL OR used < ? ORDER BY path", (since,)
            )
            return [self.folder / path for (path,) in rows]

    def in_use(self, since: float) -> bool:
        """Whether any recording has been written or used after a time, in Unix seconds."""
        with self._lock:
            rows = self._opened().execute("SELECT 1 FROM recordings WHERE used >= ? LIMIT 1", (since,))
            return rows.fetchone() is not None

    def close(self) -> None:
        """Note what was used, and close the index."""
        with self._lock:
            if self._index is not None:
                self._index.executemany(
                    "UPDATE recordings SET used = ? WHERE path = ?",
                    [(when, path) for path, when in self._used.items()],
                )
                self._index.commit()
                self._index.close()
                self._index = None

    def _candidates(self, exchange: Exchange) -> Iterator[Path]:
        yield from sorted((self.folder / _plain(exchange.provider)).glob("*/*.json"))

    def _opened(self) -> sqlite3.Connection:
        if self._index is not None:
            return self._index
        path = self.folder / INDEX
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                self._index = self._current(path)
            except sqlite3.DatabaseError as error:
                if error.sqlite_errorname.startswith(_NOT_OURS):
                    raise
                # It is made from the files, so a damaged one is no loss.
                path.unlink(missing_ok=True)
                self._index = self._current(path)
        except (sqlite3.DatabaseError, OSError):
            # Recordings can be replayed from where nothing can be written.
            self._index = self._current(":memory:")
        return self._index

    def _current(self, path: Path | str) -> sqlite3.Connection:
        """The index, after the files that are new, changed or gone have been entered."""
        index = sqlite3.connect(path, check_same_thread=False, timeout=30)
        index.executescript(_SCHEMA)
        known = {
            name: (size, modified)
            for name, size, modified in index.execute("SELECT path, size, modified FROM recordings")
        }
        for file in self.files():
            if known.pop(self._name(file), None) != _stamp(file):
                with contextlib.suppress(RecordingDamaged):
                    self._enter(index, file)
        index.executemany("DELETE FROM recordings WHERE path = ?", [(name,) for name in known])
        index.commit()
        return index

    def _enter(self, index: sqlite3.Connection, path: Path) -> None:
        found = read(path)
        index.execute(
            "INSERT OR REPLACE INTO recordings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._name(path),
                *_stamp(path),
                found.provider,
                found.test,
                found.digest,
                found.turn,
                found.target,
                path.stat().st_mtime,
            ),
        )

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def _file_name(digest: str, turn: int) -> str:
    return f"{digest}-{turn}.json" if turn > 1 else f"{digest}.json"


def place_of(exchange: Exchange) -> Path:
    """The directory of a recording, below that of all."""
    return Path(_plain(exchange.provider), _plain(exchange.test))


def _stamp(path: Path) -> tuple[int, int]:
    told = path.stat()
    return told.st_size, told.st_mtime_ns


def _plain(name: str) -> str:
    """A name as a directory's: what is no letter, digit, dot, dash or underscore becomes a dash."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:120] or "unnamed"
