"""Tables in a SQLite file: one writing thread, two reading, write-ahead log."""

import sqlite3
from collections.abc import Collection, Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specstack.storage.sql.base import SqlBackend, untaken
from specstack.storage.sql.insertion import Statement
from specstack.storage.sql.schema import COLUMN, VERSIONS, Making
from specstack.storage.sqlite_file import BUSY, write_ahead

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

READERS = 2
PAGE = 16384
"""Bytes of a page in files that are made here."""
CHECKPOINT = 2000
"""Pages after which the write-ahead log is brought into the file."""
CACHE = 1024
"""KB of a connection's own cache; behind it is the system's, and rows are hardly ever asked for twice."""
_TAKEN = frozenset({sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE})


class SqliteSql(SqlBackend):
    """A file that several processes may have open. What was written survives the end of the process.

    Writes are synced to disk at checkpoints, not one by one: a power cut may lose the last of them, and
    never leaves the file broken.
    """

    dialect = "sqlite"

    def __init__(self, path: Path | str, making: Making) -> None:
        super().__init__(making, readers=READERS, writers=1)
        self.path = Path(path)
        self._inserts: sqlite3.Connection | None = None

    @property
    def place(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def waits_for_use(self) -> bool:
        """A file that is not there holds nothing that could be of another version."""
        return not self.path.exists()

    def applied(self) -> Collection[str]:
        """The revisions in the file; none where there is no file."""
        if not self.path.exists():
            return ()
        with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=rw", BUSY, uri=True)) as db:
            if not db.execute("select 1 from sqlite_master where name = ?", (VERSIONS,)).fetchone():
                return ()
            return [row[0] for row in db.execute(f"select {COLUMN} from {VERSIONS}")]

    def connected(self) -> "Engine":
        """An engine over the file, which is made if it is not there."""
        from sqlalchemy import create_engine, event
        from sqlalchemy.pool import QueuePool

        engine = create_engine(
            "sqlite+pysqlite://",
            creator=self._connection,
            poolclass=QueuePool,
            pool_size=READERS + 1,
            max_overflow=0,
            hide_parameters=True,
        )
        event.listen(engine, "begin", _begin)
        return engine

    def look(self) -> None:
        """Ask for the revisions, which takes nothing but the driver."""
        self.applied()

    def execute(self, statements: Iterable[Statement]) -> None:
        """Execute statements in one transaction, with nothing but the driver."""
        if not self.in_use:
            raise self.closed()
        if self._inserts is None:
            self._inserts = self._connection()
        try:
            with self._inserts as db:
                db.execute("begin immediate")
                for text, values in statements:
                    db.execute(text, values)
        except sqlite3.IntegrityError as error:
            raise self.refused(error) from None
        except sqlite3.DataError as error:
            raise untaken(error) from None
        except sqlite3.Error:
            self._close()
            raise

    def shut(self) -> None:
        """Close connections."""
        self._close()
        super().shut()

    def _close(self) -> None:
        db, self._inserts = self._inserts, None
        if db is not None:
            db.close()

    def lock(self, db: "Connection") -> None:
        """Writing transactions hold the file's only lock already."""

    def is_taken(self, error: Any) -> bool:
        """Whether a key or a unique column is taken."""
        return error.sqlite_errorcode in _TAKEN

    def safe(self, text: str) -> str:
        """With the file, which is no secret to who runs the server."""
        return f"the SQLite file {self.path}: {text}"

    def _connection(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        db = sqlite3.connect(self.path, BUSY, isolation_level=None, check_same_thread=False)
        try:
            # Rows hold whole documents: pages of the usual 4 KB would be torn between them. Of a file that is
            # there already, the size stays as it is.
            db.execute(f"pragma page_size = {PAGE}")
            write_ahead(db)
            db.execute("pragma synchronous = normal")
            db.execute(f"pragma cache_size = -{CACHE}")
            db.execute(f"pragma wal_autocheckpoint = {CHECKPOINT}")
        except BaseException:
            db.close()
            raise
        return db


def _begin(db: "Connection") -> None:
    # A writer takes the lock at the start: one that has read before could not wait for another.
    db.exec_driver_sql("begin immediate" if db.get_execution_options().get("writes") else "begin")
